"""Goods changing hands, at the counter and through a carrier, on a real database."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from oms.delivery.v1 import delivery_service_pb2 as wire
from oms.delivery.v1.delivery_events_pb2 import DeliveryEvent
from oms.order.v1.order_events_pb2 import OrderEvent

from services.delivery.adapters.event_codec import CODEC
from services.delivery.adapters.pickup_codes import HmacPickupCodes
from services.delivery.adapters.publications import publish
from services.delivery.application.handlers import DeliveryHandlers
from services.delivery.entrypoints.grpc_server import SCOPES, DeliveryGrpc
from services.kernel.adapters.event_log import decode_rows, read_log
from services.kernel.domain.errors import Invalid, NotFound, Rejected
from services.kernel.entrypoints.calls import CALLER, Caller
from tests.support.stack import TENANT, Stack, running

pytestmark = pytest.mark.stack
CONTEXT: Any = None
SECRET = "only-for-tests-0123456789"  # noqa: S105 - of a run
CODES = HmacPickupCodes(SECRET.encode())
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


class SetClock:
    """A clock that tests put forward."""

    def __init__(self) -> None:
        self.at = NOON

    def now(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
async def stack(
    postgres_dsn: str, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stack]:
    monkeypatch.setenv("OMS_DELIVERY_PICKUP_CODE_SECRET", SECRET)
    async with running(postgres_dsn, ["delivery"], clock=clock) as started:
        yield started


@pytest.fixture
def delivery(stack: Stack) -> DeliveryGrpc:
    host = stack["delivery"]
    return DeliveryGrpc(DeliveryHandlers(host.runner, CODES), CODES, host.reader)


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


async def start(stack: Stack, milestone: str, order_id: str = "O1", quantity: int = 2) -> None:
    group = {
        "groupId": f"{order_id}.1",
        "sourceSiteId": "hub",
        "handoverSiteId": "shop",
        "lines": [{"lineId": "1", "sku": "MILK", "quantity": str(quantity)}],
        "promisedAt": "2026-11-02T17:00:00Z",
    }
    step = {"stepId": milestone.lower(), "completesOn": f"MILESTONE_{milestone}"}
    fields = {"groupStepStarted": {"orderId": order_id, "group": group, "step": step}}
    await stack.publish(ParseDict(fields, OrderEvent()), f"order-{order_id}")
    await stack.settle()


async def cancel(stack: Stack, order_id: str = "O1") -> None:
    said = ParseDict({"orderCancelled": {"orderId": order_id}}, OrderEvent())
    await stack.publish(said, f"order-{order_id}")
    await stack.settle()


async def ready(delivery: DeliveryGrpc, group_id: str = "O1.1") -> int:
    request = wire.MarkReadyRequest(request_id=f"ready-{group_id}", group_id=group_id)
    return (await delivery.MarkReady(request, CONTEXT)).version


async def hand_over(delivery: DeliveryGrpc, request_id: str, code: str) -> int:
    request = wire.HandOverRequest(request_id=request_id, group_id="O1.1", pickup_code=code)
    return (await delivery.HandOver(request, CONTEXT)).version


async def shown(delivery: DeliveryGrpc, version: int = 0) -> wire.Handover:
    request = wire.GetHandoverRequest(group_id="O1.1", min_version=version)
    return (await delivery.GetHandover(request, CONTEXT)).handover


async def code_of(delivery: DeliveryGrpc) -> str:
    request = wire.GetPickupCodeRequest(group_id="O1.1")
    return (await delivery.GetPickupCode(request, CONTEXT)).pickup_code


async def public(stack: Stack) -> list[DeliveryEvent]:
    log = decode_rows(CODEC, await read_log(stack["delivery"].database.sql, 0, 1_000))
    return [said for recorded in log if (said := publish(recorded)) is not None]


def wrong_of(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06d}"


async def test_the_code_is_shown_as_soon_as_the_group_is_ready(
    stack: Stack, delivery: DeliveryGrpc
) -> None:
    """Whoever made it ready asks at once, however far behind the tables are."""
    sql = stack["delivery"].database.sql
    for n in range(5):
        fields = {
            "groupStepStarted": {
                "orderId": f"P{n}",
                "group": {"groupId": f"P{n}.1", "sourceSiteId": "hub", "handoverSiteId": "shop"},
                "step": {"stepId": "staging", "completesOn": "MILESTONE_READY"},
            }
        }
        await stack.publish(ParseDict(fields, OrderEvent()), f"order-P{n}")
        query = "SELECT 1 FROM events WHERE originator_id = $1"
        while not await sql.fetchval(query, f"{TENANT}/handover-P{n}.1"):
            await asyncio.sleep(0.001)
        request = wire.GetPickupCodeRequest(group_id=f"P{n}.1")
        assert len((await delivery.GetPickupCode(request, CONTEXT)).pickup_code) == 6


async def test_a_customer_collects_what_was_really_picked(
    stack: Stack, delivery: DeliveryGrpc
) -> None:
    await start(stack, "READY", quantity=3)
    await start(stack, "READY", quantity=2)
    assert (await shown(delivery)).status == wire.HANDOVER_STATUS_EXPECTED
    code = await code_of(delivery)
    with pytest.raises(Rejected, match="STEP_CONFLICT"):
        await hand_over(delivery, "early", code)
    assert await ready(delivery) == await ready(delivery)
    await start(stack, "HANDED_OVER", quantity=1)
    arrival = wire.AnnounceArrivalRequest(request_id="here", group_id="O1.1")
    await delivery.AnnounceArrival(arrival, CONTEXT)
    version = await hand_over(delivery, "over", code)
    assert await hand_over(delivery, "over", code) == version
    handover = await shown(delivery, version)
    assert handover.status == wire.HANDOVER_STATUS_HANDED_OVER
    assert handover.status_label.fr == "Remise au client"
    assert handover.arrived_at.ToDatetime(UTC) == NOON
    said = await public(stack)
    assert [event.WhichOneof("event") for event in said] == [
        "ready_for_pickup",
        "customer_arrived",
        "handed_over",
    ]
    over = said[-1].handed_over
    assert (over.source_site_id, over.handover_site_id) == ("hub", "shop")
    assert [(line.sku, line.quantity) for line in over.lines] == [("MILK", 2)]


async def test_wrong_codes_are_counted_although_they_are_refused(
    stack: Stack, delivery: DeliveryGrpc, clock: SetClock
) -> None:
    await start(stack, "READY")
    await ready(delivery)
    code = await code_of(delivery)
    for n in range(4):
        for _ in range(2):  # the counter's terminal asks again: counted once
            with pytest.raises(Rejected, match="WRONG_PICKUP_CODE"):
                await hand_over(delivery, f"try-{n}", wrong_of(code))
    with pytest.raises(Rejected, match="IDEMPOTENCY_MISMATCH"):
        await hand_over(delivery, "try-3", code)
    with pytest.raises(Rejected, match="WRONG_PICKUP_CODE"):
        await hand_over(delivery, "try-4", wrong_of(code))
    for given in (code, wrong_of(code)):
        with pytest.raises(Rejected, match="PICKUP_LOCKED"):
            await hand_over(delivery, f"locked-{given}", given)
    await stack.settle()
    assert (await shown(delivery)).locked_until.ToDatetime(UTC) == NOON + timedelta(minutes=15)
    clock.at += timedelta(minutes=15)
    await hand_over(delivery, "at-last", code)


async def test_what_a_carrier_takes_is_not_handed_over_at_the_counter(
    stack: Stack, delivery: DeliveryGrpc
) -> None:
    """A mode may have goods made ready for a carrier: the goods leave once."""
    await start(stack, "READY")
    await ready(delivery)
    code = await code_of(delivery)
    counter = wire.ListHandoversRequest(site_id="shop")
    assert len((await delivery.ListHandovers(counter, CONTEXT)).handovers) == 1
    await start(stack, "HANDED_TO_CARRIER")
    assert not (await delivery.ListHandovers(counter, CONTEXT)).handovers
    with pytest.raises(Rejected, match="STEP_CONFLICT: a carrier"):
        await hand_over(delivery, "over", code)
    with pytest.raises(Rejected, match="STEP_CONFLICT: a carrier"):
        await hand_over(delivery, "guess", wrong_of(code))
    taken = wire.HandToCarrierRequest(request_id="van", group_id="O1.1", carrier_id="van-7")
    await delivery.HandToCarrier(taken, CONTEXT)
    assert [event.WhichOneof("event") for event in await public(stack)] == [
        *("ready_for_pickup", "handed_to_carrier")
    ]


async def test_guessing_under_one_request_id_learns_nothing(
    stack: Stack, delivery: DeliveryGrpc, clock: SetClock
) -> None:
    await start(stack, "READY")
    await ready(delivery)
    code = await code_of(delivery)
    first, second = wrong_of(code), wrong_of(wrong_of(code))
    with pytest.raises(Rejected, match="WRONG_PICKUP_CODE"):
        await hand_over(delivery, "same", first)
    for guess in (second, code):  # the answer to the right one must be no other
        with pytest.raises(Rejected, match="IDEMPOTENCY_MISMATCH"):
            await hand_over(delivery, "same", guess)
    for n in range(2, 6):
        with pytest.raises(Rejected, match="WRONG_PICKUP_CODE"):
            await hand_over(delivery, f"try-{n}", first)
    for guess in (second, code):  # locked by now
        with pytest.raises(Rejected, match="IDEMPOTENCY_MISMATCH"):
            await hand_over(delivery, "same", guess)
    clock.at += timedelta(minutes=15)
    with pytest.raises(Rejected, match="WRONG_PICKUP_CODE"):
        await hand_over(delivery, "try-6", first)  # the first request is forgotten by now
    for guess in (second, code):
        with pytest.raises(Rejected, match="IDEMPOTENCY_MISMATCH"):
            await hand_over(delivery, "same", guess)
    await hand_over(delivery, "at-last", code)


async def test_guessing_in_parallel_gets_five_guesses(stack: Stack, delivery: DeliveryGrpc) -> None:
    await start(stack, "READY")
    await ready(delivery)
    code = int(await code_of(delivery))
    answers = await asyncio.gather(
        *(hand_over(delivery, f"g{n}", f"{(code + n) % 1_000_000:06d}") for n in range(1, 41)),
        return_exceptions=True,
    )
    reasons = [str(answer.reason) for answer in answers if isinstance(answer, Rejected)]
    assert reasons.count("WRONG_PICKUP_CODE") == 5
    assert reasons.count("PICKUP_LOCKED") == 35
    assert not [event for event in await public(stack) if event.HasField("handed_over")]


async def test_a_carrier_takes_and_delivers(stack: Stack, delivery: DeliveryGrpc) -> None:
    await start(stack, "HANDED_TO_CARRIER")
    taking = wire.HandToCarrierRequest(
        request_id="take", group_id="O1.1", carrier_id="van", tracking_reference="P-7"
    )
    done = wire.RecordDeliveredRequest(request_id="done", group_id="O1.1")
    with pytest.raises(Rejected, match="STEP_CONFLICT"):
        await delivery.RecordDelivered(done, CONTEXT)
    await delivery.HandToCarrier(taking, CONTEXT)
    await delivery.HandToCarrier(taking, CONTEXT)
    await delivery.RecordDelivered(done, CONTEXT)
    await cancel(stack)
    listed = await delivery.ListShipments(wire.ListShipmentsRequest(site_id="hub"), CONTEXT)
    (shipment,) = listed.shipments
    assert shipment.status == wire.SHIPMENT_STATUS_DELIVERED
    assert (shipment.carrier_id, shipment.tracking_reference) == ("van", "P-7")
    said = await public(stack)
    assert [event.WhichOneof("event") for event in said] == ["handed_to_carrier", "delivered"]
    assert [line.quantity for line in said[1].delivered.lines] == [2]


async def test_a_cancelled_order_is_handed_to_nobody(stack: Stack, delivery: DeliveryGrpc) -> None:
    await cancel(stack, "never-started")
    await start(stack, "READY")
    await start(stack, "HANDED_TO_CARRIER", "O2")
    await ready(delivery)
    await cancel(stack)
    await cancel(stack, "O2")
    with pytest.raises(Rejected, match="STEP_CONFLICT"):
        await hand_over(delivery, "over", await code_of(delivery))
    cancelled = await delivery.ListHandovers(
        wire.ListHandoversRequest(site_id="shop", status=wire.HANDOVER_STATUS_CANCELLED), CONTEXT
    )
    assert [handover.group_id for handover in cancelled.handovers] == ["O1.1"]
    gone = await delivery.ListShipments(
        wire.ListShipmentsRequest(site_id="hub", status=wire.SHIPMENT_STATUS_CANCELLED), CONTEXT
    )
    assert [shipment.group_id for shipment in gone.shipments] == ["O2.1"]


async def test_handovers_are_listed_oldest_first_page_by_page(
    stack: Stack, delivery: DeliveryGrpc
) -> None:
    for n in range(5):
        await start(stack, "READY", f"O{n}")
    await ready(delivery, "O3.1")
    await stack.settle()
    seen, token = [], ""
    while True:
        request = wire.ListHandoversRequest(
            site_id="shop",
            status=wire.HANDOVER_STATUS_EXPECTED,
            page_size=2,
            page_token=token,
        )
        page = await delivery.ListHandovers(request, CONTEXT)
        seen += [handover.group_id for handover in page.handovers]
        token = page.next_page_token
        if not token:
            break
    assert seen == ["O0.1", "O1.1", "O2.1", "O4.1"]


async def test_nobody_sees_another_tenants_groups(stack: Stack, delivery: DeliveryGrpc) -> None:
    await start(stack, "READY")
    await ready(delivery)
    code = await code_of(delivery)
    with calling("other"):
        for call in (
            shown(delivery),
            code_of(delivery),
            ready(delivery),
            hand_over(delivery, "x", code),
        ):
            with pytest.raises(NotFound):
                await call
        listed = await delivery.ListHandovers(wire.ListHandoversRequest(site_id="shop"), CONTEXT)
        assert not listed.handovers


async def test_malformed_requests_name_the_field(stack: Stack, delivery: DeliveryGrpc) -> None:
    for call, field in (
        (hand_over(delivery, "r", "12345"), "pickup_code"),
        (hand_over(delivery, "r", "12345\n"), "pickup_code"),
        (hand_over(delivery, "r", "１２３４５６"), "pickup_code"),
        (hand_over(delivery, "", "123456"), "request_id"),
        (delivery.HandToCarrier(wire.HandToCarrierRequest(request_id="r"), CONTEXT), "group_id"),
        (delivery.ListShipments(wire.ListShipmentsRequest(page_size=-1), CONTEXT), "page_size"),
    ):
        with pytest.raises(Invalid, match=field):
            await call


def test_the_counter_cannot_look_a_code_up() -> None:
    assert SCOPES["/oms.delivery.v1.DeliveryService/GetPickupCode"] == "delivery:code"
    assert list(SCOPES.values()).count("delivery:code") == 1


async def test_read_models_take_every_event_twice(stack: Stack, delivery: DeliveryGrpc) -> None:
    await start(stack, "READY", quantity=3)
    await start(stack, "READY", quantity=2)
    await delivery.AnnounceArrival(
        wire.AnnounceArrivalRequest(request_id="here", group_id="O1.1"), CONTEXT
    )
    await ready(delivery)
    code = await code_of(delivery)
    with pytest.raises(Rejected):
        await hand_over(delivery, "wrong", wrong_of(code))
    await hand_over(delivery, "over", code)
    await start(stack, "HANDED_TO_CARRIER", "O2")
    await start(stack, "HANDED_TO_CARRIER", "O2", quantity=1)
    await delivery.HandToCarrier(
        wire.HandToCarrierRequest(request_id="take", group_id="O2.1", carrier_id="van"), CONTEXT
    )
    await start(stack, "READY", "O3")
    await cancel(stack, "O3")
    await stack.settle()
    host = stack["delivery"]

    async def rows() -> list[Any]:
        return [
            [dict(row) for row in await host.reader.sql.fetch(f"SELECT * FROM {table} ORDER BY 2")]
            for model in host.service.read_models
            for table in model.tables
        ]

    before = await rows()
    assert all(before)
    log = decode_rows(CODEC, await read_log(host.database.sql, 0, 100))
    for model in host.service.read_models:
        await model.project(log, host.database.sql)
        for recorded in reversed(log):
            await model.project([recorded], host.database.sql)
        assert await rows() == before
        # And from nothing, in one batch.
        for table in model.tables:
            await host.database.sql.execute(f"DELETE FROM {table}")
        await model.project(log, host.database.sql)
    assert await rows() == before
