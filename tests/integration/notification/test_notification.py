"""Messages from the fact to the mailbox and to endpoints that behave well and badly."""

import asyncio
import base64
import contextlib
import hmac
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from oms.catalog.v1.catalog_events_pb2 import CatalogEvent
from oms.notification.v1 import notification_service_pb2 as wire
from oms.order.v1.order_events_pb2 import OrderEvent

from services.kernel.domain.errors import Invalid, NotFound, Rejected
from services.kernel.entrypoints.calls import CALLER, Caller
from services.notification.adapters.webhook_http import WebhookHttp
from services.notification.application.ports import Delivery, Outcome
from services.notification.application.webhooks import MAX_WEBHOOKS, Refusal, WebhookHandlers
from services.notification.domain.signature import secret_of
from services.notification.entrypoints.grpc_server import NotificationGrpc
from tests.support.stack import Stack, eventually, running

pytestmark = pytest.mark.stack
CONTEXT: Any = None
READY = {"fr": "Prête : vous pouvez venir", "en": "Ready: you can come"}


@dataclass
class Endpoint:
    """A retailer's server: answers what it is told to, and keeps what it got."""

    status: int = 200
    headers: str = ""
    delay_s: float = 0.0
    port: int = 0
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answering: set["asyncio.Task[Any]"] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.got]

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.answering.add(task)
        try:
            await self._answer(reader, writer)
        finally:
            self.answering.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = head.split("\r\n")[1:-2]
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
        self.got.append((headers, body))
        await asyncio.sleep(self.delay_s)
        writer.write(
            f"HTTP/1.1 {self.status} x\r\n{self.headers}content-length: 0\r\n\r\n".encode()
        )
        await writer.drain()

    async def stop(self) -> None:
        tasks = list(self.answering)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def endpoint(
    status: int = 200, headers: str = "", delay_s: float = 0.0
) -> AsyncIterator[Endpoint]:
    server = Endpoint(status, headers, delay_s)
    listening = await asyncio.start_server(server.answer, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        await server.stop()


@pytest.fixture(autouse=True)
def _development(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMS_NOTIFICATION_ALLOW_PRIVATE_WEBHOOKS", "true")
    monkeypatch.setenv("OMS_NOTIFICATION_IDLE_S", "0.05")
    monkeypatch.setenv("OMS_NOTIFICATION_WEBHOOK_TIMEOUT_S", "3")


@pytest.fixture
async def stack(postgres_dsn: str) -> AsyncIterator[Stack]:
    async with running(postgres_dsn, ["notification"]) as started:
        yield started


@pytest.fixture
def notification(stack: Stack) -> NotificationGrpc:
    return servicer(stack)


def servicer(stack: Stack) -> NotificationGrpc:
    host = stack["notification"]
    numbers = iter(range(1000))
    handlers = WebhookHandlers(host.runner, lambda: secret_of(bytes([next(numbers)]) * 32))
    return NotificationGrpc(handlers, host.reader, allow_private=True)


@pytest.fixture(autouse=True)
def _as_demo() -> Iterator[None]:
    with calling("demo"):
        yield


@contextmanager
def calling(tenant: str) -> Iterator[None]:
    token = CALLER.set(Caller(tenant, "key-1", frozenset(), "corr", ""))
    try:
        yield
    finally:
        CALLER.reset(token)


async def tell(stack: Stack, order_id: str = "O1", tenant: str = "demo", **step: Any) -> None:
    """Speak of a visible step that starts."""
    chosen = {
        "stepId": "arrival",
        "type": "STEP_TYPE_WAIT",
        "visibility": "VISIBILITY_LABEL",
        "label": READY,
        **step,
    }
    started = {"orderId": order_id, "group": {"groupId": f"{order_id}.1"}, "step": chosen}
    event = ParseDict({"groupStepStarted": started}, OrderEvent())
    await stack.publish(event, f"order-{order_id}", tenant=tenant)
    await stack.settle()


async def register(notification: NotificationGrpc, server: Endpoint, name: str = "erp") -> str:
    answer = await notification.RegisterWebhook(
        wire.RegisterWebhookRequest(request_id=f"r-{name}", webhook_id=name, url=server.url),
        CONTEXT,
    )
    return answer.secret


async def mailbox(
    notification: NotificationGrpc, order_id: str = "O1", **fields: Any
) -> wire.ListMessagesResponse:
    request = wire.ListMessagesRequest(order_id=order_id, **fields)
    return await notification.ListMessages(request, CONTEXT)


async def deliveries(
    notification: NotificationGrpc, name: str = "erp"
) -> list[wire.WebhookDelivery]:
    request = wire.ListWebhookDeliveriesRequest(webhook_id=name)
    return list((await notification.ListWebhookDeliveries(request, CONTEXT)).deliveries)


async def became(
    notification: NotificationGrpc, status: "wire.DeliveryStatus.ValueType", name: str = "erp"
) -> bool:
    return {each.status for each in await deliveries(notification, name)} == {status}


async def outcomes(stack: Stack) -> list[str]:
    rows = await stack["notification"].database.sql.fetch(
        "SELECT topic FROM events ORDER BY notification_id"
    )
    return [row[0] for row in rows]


def is_signed(headers: dict[str, str], body: bytes, secret: str) -> bool:
    """Check as a receiver does, without our own code."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    return expected in headers["webhook-signature"].split(" ")


async def test_a_message_reaches_mailbox_and_endpoint_once(
    stack: Stack, notification: NotificationGrpc
) -> None:
    async with endpoint() as server:
        secret = await register(notification, server)
        await tell(stack)
        await tell(stack, visibility="VISIBILITY_HIDDEN")
        await eventually(lambda: became(notification, wire.DELIVERY_STATUS_SENT))
        await eventually(lambda: _has(notification, 1))
        (message,) = (await mailbox(notification)).messages
        assert (message.text.fr, message.text.en) == (READY["fr"], READY["en"])
        assert (message.group_id, message.step_id) == ("O1.1", "arrival")
        await stack.settle()
        await asyncio.sleep(0.3)
        ((headers, body),) = server.got
        assert headers["webhook-id"] == message.message_id
        assert is_signed(headers, body, secret)
        assert json.loads(body)["data"]["order_id"] == "O1"
        assert sorted(await outcomes(stack)) == [
            *("message.queued.v1", "message.sent.v1", "message.sent.v1")
        ]


async def name(
    stack: Stack, sku: str, called: str, tenant: str = "demo", english: str = ""
) -> None:
    product = {"sku": sku, "name": called, "localizedName": {"en": english}}
    said = ParseDict({"productUpserted": {"product": product}}, CatalogEvent())
    await stack.publish(said, f"product-{sku}", tenant=tenant)
    await stack.settle()


async def shorten(stack: Stack, order_id: str, sku: str) -> None:
    shorted = {"orderId": order_id, "groupId": f"{order_id}.1", "sku": sku}
    said = ParseDict({"groupLineShorted": shorted}, OrderEvent())
    await stack.publish(said, f"order-{order_id}")
    await stack.settle()


async def test_messages_call_products_by_their_newest_name_or_by_their_reference(
    stack: Stack, notification: NotificationGrpc
) -> None:
    await shorten(stack, "O1", "356")
    await name(stack, "356", "Pommes")
    await name(stack, "356", "Pommes Gala", english="Gala apples")
    await name(stack, "357", "Poires", tenant="other")
    await shorten(stack, "O2", "356")
    await shorten(stack, "O3", "357")
    for order_id, called in (("O1", "(réf. 356)"), ("O2", "Pommes Gala"), ("O3", "(réf. 357)")):
        await eventually(partial(_has, notification, 1, order_id))
        (message,) = (await mailbox(notification, order_id)).messages
        assert called in message.text.fr
        assert (
            called.replace("réf.", "ref.").replace("Pommes Gala", "Gala apples") in message.text.en
        )
        recorded = await stack["notification"].database.sql.fetchval(
            "SELECT convert_from(state, 'UTF8') FROM events WHERE originator_id = $1"
            " AND topic = 'message.queued.v1'",
            f"demo/message-{message.message_id}",
        )
        assert json.loads(recorded)["text"] == {"fr": message.text.fr, "en": message.text.en}


async def _has(notification: NotificationGrpc, count: int, order_id: str = "O1") -> bool:
    return len((await mailbox(notification, order_id)).messages) == count


async def test_nothing_is_sent_from_a_restart(postgres_dsn: str) -> None:
    async with endpoint() as server:
        async with running(postgres_dsn, ["notification"], prefix="again_") as stack:
            notification = servicer(stack)
            await register(notification, server)
            await tell(stack)
            await eventually(lambda: became(notification, wire.DELIVERY_STATUS_SENT))
            await eventually(lambda: _has(notification, 1))
        async with running(postgres_dsn, ["notification"], prefix="again_") as stack:
            notification = servicer(stack)
            await stack["notification"].database.sql.execute("UPDATE watermarks SET position = 0")
            await stack["notification"].consumers[0].assign(0)
            await tell(stack)  # the same position, so the same event
            await asyncio.sleep(0.5)
            assert await _has(notification, 1)
            assert len(server.got) == 1
            assert sorted(await outcomes(stack)) == [
                *("message.queued.v1", "message.sent.v1", "message.sent.v1")
            ]


async def test_a_failing_endpoint_is_tried_again_with_the_same_id(
    stack: Stack, notification: NotificationGrpc
) -> None:
    async with endpoint(500) as server:
        await register(notification, server)
        await tell(stack)
        await eventually(lambda: _tried(notification, 1))
        (waiting,) = await deliveries(notification)
        assert waiting.status == wire.DELIVERY_STATUS_PENDING
        assert waiting.last_outcome == "HTTP 500"
        assert waiting.next_attempt_at.ToDatetime() > waiting.queued_at.ToDatetime()
        server.status = 204
        await _hurry(stack)
        await eventually(lambda: became(notification, wire.DELIVERY_STATUS_SENT))
        assert len(server.ids) == 2
        assert len(set(server.ids)) == 1


async def _tried(notification: NotificationGrpc, times: int, name: str = "erp") -> bool:
    shown = await deliveries(notification, name)
    return [each.attempts for each in shown if each.last_outcome] == [times]


async def _hurry(stack: Stack, first_attempt: str = "first_attempt_at") -> None:
    await stack["notification"].database.sql.execute(
        "UPDATE delivery SET next_attempt_at = '-infinity',"
        f" first_attempt_at = {first_attempt} WHERE state = 'pending'"
    )


async def test_a_busy_endpoint_is_left_alone_as_long_as_it_asks(
    stack: Stack, notification: NotificationGrpc
) -> None:
    async with endpoint(503, "retry-after: 3600\r\n") as server:
        await register(notification, server)
        await tell(stack)
        await eventually(lambda: _tried(notification, 1))
        (waiting,) = await deliveries(notification)
        pause = waiting.next_attempt_at.ToDatetime() - waiting.queued_at.ToDatetime()
        assert pause.total_seconds() >= 3600


async def test_after_three_days_a_delivery_is_dead_until_redelivered(
    stack: Stack, notification: NotificationGrpc
) -> None:
    async with endpoint(500) as server:
        await register(notification, server)
        await tell(stack)
        await eventually(lambda: _tried(notification, 1))
        await _hurry(stack, "first_attempt_at - interval '73 hours'")
        await eventually(lambda: became(notification, wire.DELIVERY_STATUS_DEAD))
        assert (await outcomes(stack)).count("message.failed.v1") == 1
        server.status = 200
        (dead,) = await deliveries(notification)
        again = wire.RedeliverWebhookRequest(
            request_id="again-1", webhook_id="erp", message_id=dead.message_id
        )
        await notification.RedeliverWebhook(again, CONTEXT)
        await eventually(lambda: became(notification, wire.DELIVERY_STATUS_SENT))
        await notification.RedeliverWebhook(again, CONTEXT)
        await asyncio.sleep(0.3)
        assert len(server.ids) == 3
        assert set(server.ids) == {dead.message_id}
        assert (await outcomes(stack)).count("message.sent.v1") == 2  # mailbox, and the redelivery


async def test_an_endpoint_that_is_gone_is_disabled(
    stack: Stack, notification: NotificationGrpc
) -> None:
    async with endpoint(410) as server:
        await register(notification, server)
        await tell(stack)
        await eventually(lambda: became(notification, wire.DELIVERY_STATUS_DEAD))
        (shown,) = (await notification.ListWebhooks(wire.ListWebhooksRequest(), CONTEXT)).webhooks
        assert shown.status == wire.WEBHOOK_STATUS_DISABLED
        assert shown.disabled_reason == "gone"
        await tell(stack, "O2")
        await eventually(lambda: _has(notification, 1, "O2"))
        assert len(await deliveries(notification)) == 1
        enabling = wire.EnableWebhookRequest(request_id="e", webhook_id="erp")
        await notification.EnableWebhook(enabling, CONTEXT)
        server.status = 200
        await tell(stack, "O3")
        await eventually(lambda: _received(server, 2))


async def _received(server: Endpoint, count: int) -> bool:
    return len(server.got) == count


async def test_a_slow_endpoint_does_not_hold_up_another(
    stack: Stack, notification: NotificationGrpc
) -> None:
    async with endpoint(delay_s=2.5) as slow, endpoint() as quick:
        await register(notification, slow, "slow")
        await register(notification, quick, "quick")
        for n in range(12):
            await tell(stack, f"O{n}")
        await eventually(lambda: _received(quick, 12), within_s=2.0)
        assert len(slow.got) <= 4


async def test_slow_endpoints_of_one_tenant_do_not_take_every_place(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMS_NOTIFICATION_WEBHOOKS_IN_FLIGHT", "4")
    async with (
        running(postgres_dsn, ["notification"]) as stack,
        endpoint(delay_s=0.8) as slow,
        endpoint() as quick,
    ):
        notification = servicer(stack)
        for n in range(4):
            await register(notification, slow, f"slow-{n}")
        with calling("other"):
            await register(notification, quick, "quick")
        for n in range(6):
            await tell(stack, f"O{n}")
        await tell(stack, "O9", tenant="other")
        await eventually(lambda: _received(quick, 1), within_s=2.5)
        assert len(slow.got) < 20


async def test_an_endpoint_that_breaks_our_own_code_stops_no_other(
    stack: Stack, notification: NotificationGrpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = WebhookHttp.send

    async def breaks(outlet: WebhookHttp, delivery: Delivery) -> Outcome:
        if delivery.endpoint_id == "odd":
            raise ZeroDivisionError
        return await send(outlet, delivery)

    monkeypatch.setattr(WebhookHttp, "send", breaks)
    async with endpoint() as odd, endpoint(delay_s=0.4) as other:
        await register(notification, odd, "odd")
        await register(notification, other, "other")
        await tell(stack)
        await eventually(lambda: became(notification, wire.DELIVERY_STATUS_SENT, "other"))
        assert len(other.got) == 1
        await eventually(lambda: _tried(notification, 1, "odd"))
        assert (await deliveries(notification, "odd"))[
            0
        ].last_outcome == "failed: ZeroDivisionError"


async def test_an_endpoint_that_was_deleted_is_not_registered_by_a_late_repeat(
    stack: Stack, notification: NotificationGrpc
) -> None:
    async with endpoint() as server:
        await register(notification, server)
        gone = wire.DeleteWebhookRequest(request_id="gone", webhook_id="erp")
        await notification.DeleteWebhook(gone, CONTEXT)
        with pytest.raises(Rejected, match="IDEMPOTENCY_MISMATCH"):
            await register(notification, server)


async def test_a_redirect_leads_nowhere(stack: Stack, notification: NotificationGrpc) -> None:
    async with endpoint() as inner:
        async with endpoint(302, f"location: {inner.url}\r\n") as server:
            await register(notification, server)
            await tell(stack)
            await eventually(lambda: _tried(notification, 1))
            assert (await deliveries(notification))[0].last_outcome == "HTTP 302"
        assert not inner.got


async def test_in_production_a_private_address_is_never_called(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with endpoint() as server:
        async with running(postgres_dsn, ["notification"], prefix="private_") as stack:
            await register(servicer(stack), server)
        monkeypatch.setenv("OMS_NOTIFICATION_ALLOW_PRIVATE_WEBHOOKS", "false")
        async with running(postgres_dsn, ["notification"], prefix="private_") as stack:
            notification = servicer(stack)
            await tell(stack)
            await eventually(lambda: _tried(notification, 1))
            assert (await deliveries(notification))[0].last_outcome == "address refused"
        assert not server.got


async def test_a_rotated_secret_signs_beside_the_old_one(
    stack: Stack, notification: NotificationGrpc
) -> None:
    async with endpoint() as server:
        old = await register(notification, server)
        rotating = wire.RotateWebhookSecretRequest(request_id="rot-1", webhook_id="erp")
        new = (await notification.RotateWebhookSecret(rotating, CONTEXT)).secret
        assert (await notification.RotateWebhookSecret(rotating, CONTEXT)).secret == new != old
        await tell(stack)
        await eventually(lambda: _received(server, 1))
        assert is_signed(*server.got[0], new)
        assert is_signed(*server.got[0], old)


async def test_endpoints_are_administered_by_their_tenant_only(
    stack: Stack, notification: NotificationGrpc
) -> None:
    async with endpoint() as server:
        secret = await register(notification, server)
        assert await register(notification, server) == secret
        with pytest.raises(Rejected) as refusal:
            await notification.RegisterWebhook(
                wire.RegisterWebhookRequest(request_id="x", webhook_id="erp", url=server.url),
                CONTEXT,
            )
        assert refusal.value.reason is Refusal.ID_REUSED
        with calling("other"):
            assert not (
                await notification.ListWebhooks(wire.ListWebhooksRequest(), CONTEXT)
            ).webhooks
            for call in (
                notification.DisableWebhook(
                    wire.DisableWebhookRequest(request_id="d", webhook_id="erp"), CONTEXT
                ),
                notification.DeleteWebhook(
                    wire.DeleteWebhookRequest(request_id="d", webhook_id="erp"), CONTEXT
                ),
                notification.RotateWebhookSecret(
                    wire.RotateWebhookSecretRequest(request_id="d", webhook_id="erp"), CONTEXT
                ),
                notification.ListWebhookDeliveries(
                    wire.ListWebhookDeliveriesRequest(webhook_id="erp"), CONTEXT
                ),
                notification.RedeliverWebhook(
                    wire.RedeliverWebhookRequest(request_id="d", webhook_id="erp", message_id="m"),
                    CONTEXT,
                ),
            ):
                with pytest.raises(NotFound):
                    await call
        await tell(stack, tenant="other")
        await asyncio.sleep(0.3)
        assert not server.got
        with calling("other"):
            await eventually(lambda: _has(notification, 1))
        assert await _has(notification, 0)


async def test_a_tenant_has_a_bounded_number_of_endpoints(notification: NotificationGrpc) -> None:
    for n in range(MAX_WEBHOOKS):
        await register(notification, Endpoint(port=9), f"w{n}")
    with pytest.raises(Rejected) as refusal:
        await register(notification, Endpoint(port=9), "one-more")
    assert refusal.value.reason is Refusal.TOO_MANY_WEBHOOKS
    deleting = wire.DeleteWebhookRequest(request_id="d", webhook_id="w0")
    await notification.DeleteWebhook(deleting, CONTEXT)
    await register(notification, Endpoint(port=9), "one-more")


async def test_old_settled_deliveries_are_forgotten_and_mailboxes_are_not(
    postgres_dsn: str,
) -> None:
    async with endpoint() as server:
        async with running(postgres_dsn, ["notification"], prefix="old_") as stack:
            notification = servicer(stack)
            await register(notification, server)
            await tell(stack)
            await eventually(lambda: became(notification, wire.DELIVERY_STATUS_SENT))
            await eventually(lambda: _has(notification, 1))
            server.status = 500
            await tell(stack, "O2")
            await eventually(lambda: _has(notification, 1, "O2"))
            await stack["notification"].database.sql.execute(
                "UPDATE delivery SET queued_at = queued_at - interval '31 days'"
            )
        async with running(postgres_dsn, ["notification"], prefix="old_") as stack:
            notification = servicer(stack)
            await eventually(lambda: became(notification, wire.DELIVERY_STATUS_PENDING))
            assert await _has(notification, 1)


async def test_a_mailbox_is_read_page_by_page(stack: Stack, notification: NotificationGrpc) -> None:
    for _ in range(5):
        await tell(stack)
    await eventually(lambda: _has(notification, 5))
    first = await mailbox(notification, page_size=3)
    rest = await mailbox(notification, page_size=3, page_token=first.next_page_token)
    assert (len(first.messages), len(rest.messages), rest.next_page_token) == (3, 2, "")
    ids = [message.message_id for message in (*first.messages, *rest.messages)]
    assert len(set(ids)) == 5
    newest = await mailbox(notification, page_size=3, newest_first=True)
    older = await mailbox(
        notification, page_size=3, newest_first=True, page_token=newest.next_page_token
    )
    assert older.next_page_token == ""
    assert [message.message_id for message in (*newest.messages, *older.messages)] == ids[::-1]
    with pytest.raises(Invalid):
        await mailbox(notification, page_token="x")
