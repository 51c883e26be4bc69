"""A return from delivery to refund, on a real database."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from oms.catalog.v1.catalog_events_pb2 import CatalogEvent
from oms.order.v1.order_events_pb2 import OrderEvent
from oms.returns.v1 import returns_service_pb2 as wire
from oms.returns.v1.returns_events_pb2 import DISPOSITION_RESTOCK, DISPOSITION_WRITE_OFF

from services.kernel.adapters.event_log import decode_rows, read_log
from services.kernel.domain.errors import Invalid, NotFound, Rejected
from services.kernel.entrypoints.calls import CALLER, Caller
from services.returns.adapters.event_codec import CODEC
from services.returns.application.handlers import Policy, ReturnsHandlers
from services.returns.domain.return_case import Refusal as CaseRefusal
from services.returns.domain.returnable_commands import Refusal
from services.returns.entrypoints.grpc_server import ReturnsGrpc
from services.returns.read_models.known_sites import is_known
from tests.support.stack import Stack, running

pytestmark = pytest.mark.stack
CONTEXT: Any = None


@pytest.fixture
async def stack(postgres_dsn: str) -> AsyncIterator[Stack]:
    async with running(postgres_dsn, ["returns"]) as started:
        for site_id in ("S1", "S2"):
            said = ParseDict({"siteUpserted": {"site": {"siteId": site_id}}}, CatalogEvent())
            await started.publish(said, f"site-{site_id}")
        await started.settle()
        yield started


@pytest.fixture
def returns(stack: Stack) -> ReturnsGrpc:
    window = timedelta(days=30)
    host = stack["returns"]
    handlers = ReturnsHandlers(host.runner, Policy(window, limit_percent=50), is_known)
    return ReturnsGrpc(handlers, host.reader, window)


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


def event(fields: dict[str, Any]) -> OrderEvent:
    return ParseDict(fields, OrderEvent())


async def deliver(stack: Stack, order_id: str = "O1", group: str = "O1.1") -> None:
    amount = {"amountMinor": "1500", "currency": "EUR"}
    captured = {"orderId": order_id, "groupId": group, "amount": amount}
    await stack.publish(event({"paymentCaptured": captured}), f"order-{order_id}")
    delivered = [
        {"lineId": "L1", "sku": "milk", "quantity": "3", "netMinor": "1000"},
        {"lineId": "L2", "sku": "bread", "quantity": "1", "netMinor": "500"},
    ]
    completed = {
        "orderId": order_id,
        "groupId": group,
        "handoverSiteId": "S1",
        "delivered": delivered,
        "currency": "EUR",
    }
    await stack.publish(event({"groupCompleted": completed}), f"order-{order_id}")
    await stack.settle()


def opening(return_id: str, quantity: int = 1, **fields: Any) -> wire.OpenReturnRequest:
    chosen = {"request_id": f"open-{return_id}", "order_id": "O1", "site_id": "S2", **fields}
    lines = [wire.ReturnedQuantity(line_id="L1", quantity=quantity)]
    return wire.OpenReturnRequest(return_id=return_id, lines=lines, **chosen)


def inspecting(return_id: str, quantity: int = 1) -> wire.InspectReturnRequest:
    lines = [
        wire.InspectedQuantity(line_id="L1", quantity=quantity, disposition=DISPOSITION_RESTOCK)
    ]
    return wire.InspectReturnRequest(
        request_id=f"inspect-{return_id}", return_id=return_id, lines=lines
    )


def validating(return_id: str, amount: int, **fields: Any) -> wire.ValidateRefundRequest:
    chosen = {"request_id": f"validate-{return_id}", "preview_version": 2, "clerk_id": "c7"}
    return wire.ValidateRefundRequest(
        return_id=return_id, amount_minor=amount, **{**chosen, **fields}
    )


async def test_units_come_back_one_by_one_and_refunds_add_up(
    stack: Stack, returns: ReturnsGrpc
) -> None:
    await deliver(stack)
    amounts = []
    for return_id in ("R1", "R2", "R3"):
        opened = await returns.OpenReturn(opening(return_id), CONTEXT)
        again = await returns.OpenReturn(opening(return_id), CONTEXT)
        assert opened.version == again.version == 1
        assert (await returns.InspectReturn(inspecting(return_id), CONTEXT)).version == 2
        preview = await returns.PreviewRefund(
            wire.PreviewRefundRequest(return_id=return_id), CONTEXT
        )
        assert preview.preview_version == 2
        amount = preview.amount.amount_minor
        amounts.append(amount)
        validated = await returns.ValidateRefund(validating(return_id, amount), CONTEXT)
        shown = await returns.GetReturn(
            wire.GetReturnRequest(return_id=return_id, min_version=validated.version), CONTEXT
        )
        assert shown.return_case.status == wire.RETURN_STATUS_REFUNDED
        assert shown.return_case.refunded.amount_minor == amount
        assert shown.return_case.lines[0].disposition == DISPOSITION_RESTOCK
    assert amounts == [333, 333, 334]
    await stack.settle()
    left = await returns.GetReturnable(wire.GetReturnableRequest(order_id="O1"), CONTEXT)
    assert [(line.line_id, line.returnable_quantity) for line in left.lines] == [
        ("L1", 0),
        ("L2", 1),
    ]
    assert (left.captured_minor, left.refunded_minor) == (1500, 1000)


def withdrawing(return_id: str, reason: str = "") -> wire.WithdrawReturnRequest:
    return wire.WithdrawReturnRequest(
        request_id=f"withdraw-{return_id}", return_id=return_id, reason=reason
    )


async def returnable_milk(returns: ReturnsGrpc) -> int:
    left = await returns.GetReturnable(wire.GetReturnableRequest(order_id="O1"), CONTEXT)
    return next(line.returnable_quantity for line in left.lines if line.line_id == "L1")


async def test_units_of_a_withdrawn_return_come_back_in_another(
    stack: Stack, returns: ReturnsGrpc
) -> None:
    await deliver(stack)
    await returns.OpenReturn(opening("R1", quantity=2), CONTEXT)
    await returns.OpenReturn(opening("R2"), CONTEXT)
    withdrawn = await returns.WithdrawReturn(withdrawing("R1", "changed my mind"), CONTEXT)
    again = await returns.WithdrawReturn(withdrawing("R1", "changed my mind"), CONTEXT)
    assert withdrawn.version == again.version == 2
    shown = await returns.GetReturn(wire.GetReturnRequest(return_id="R1", min_version=2), CONTEXT)
    assert shown.return_case.status == wire.RETURN_STATUS_WITHDRAWN
    assert shown.return_case.reason == "changed my mind"
    await stack.settle()
    assert await returnable_milk(returns) == 2
    await returns.OpenReturn(opening("R3", quantity=2), CONTEXT)
    await stack.settle()
    assert await returnable_milk(returns) == 0
    for return_id in ("R1", "R3"):
        asked = wire.PreviewRefundRequest(return_id=return_id)
        assert (await returns.PreviewRefund(asked, CONTEXT)).amount.amount_minor == 666


async def test_a_return_that_was_looked_at_is_not_withdrawn(
    stack: Stack, returns: ReturnsGrpc
) -> None:
    await deliver(stack)
    await returns.OpenReturn(opening("R1"), CONTEXT)
    await returns.InspectReturn(inspecting("R1"), CONTEXT)
    with pytest.raises(Rejected) as refusal:
        await returns.WithdrawReturn(withdrawing("R1"), CONTEXT)
    assert refusal.value.reason is CaseRefusal.STEP_CONFLICT
    await stack.settle()
    assert await returnable_milk(returns) == 2


async def test_of_a_withdrawal_and_an_inspection_at_once_one_wins(
    stack: Stack, returns: ReturnsGrpc
) -> None:
    await deliver(stack)
    for n in range(3):
        await returns.OpenReturn(opening(f"R{n}"), CONTEXT)
        answers = await asyncio.gather(
            returns.WithdrawReturn(withdrawing(f"R{n}"), CONTEXT),
            returns.InspectReturn(inspecting(f"R{n}"), CONTEXT),
            return_exceptions=True,
        )
        refused = [answer for answer in answers if isinstance(answer, BaseException)]
        assert len(refused) == 1
        assert isinstance(refused[0], Rejected)
        assert refused[0].reason is CaseRefusal.STEP_CONFLICT


async def test_an_opening_again_after_the_withdrawal_claims_nothing(
    stack: Stack, returns: ReturnsGrpc
) -> None:
    await deliver(stack)
    await returns.OpenReturn(opening("R1"), CONTEXT)
    await returns.WithdrawReturn(withdrawing("R1"), CONTEXT)
    for request_id in ("open-R1", "open-R1-again"):
        with pytest.raises(Rejected):
            await returns.OpenReturn(opening("R1", request_id=request_id), CONTEXT)
    await stack.settle()
    assert await returnable_milk(returns) == 3


async def test_two_cases_at_once_cannot_return_the_same_unit(
    stack: Stack, returns: ReturnsGrpc
) -> None:
    await deliver(stack)
    answers = await asyncio.gather(
        *(returns.OpenReturn(opening(f"R{n}", quantity=2), CONTEXT) for n in range(6)),
        return_exceptions=True,
    )
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert len(refused) == 5
    assert all(
        isinstance(error, Rejected) and error.reason is Refusal.QUANTITY_NOT_RETURNABLE
        for error in refused
    )
    await stack.settle()
    cases = await returns.ListReturns(wire.ListReturnsRequest(order_id="O1"), CONTEXT)
    assert len(cases.returns) == 1


async def test_a_reason_that_no_table_can_hold_is_refused(
    stack: Stack, returns: ReturnsGrpc
) -> None:
    await deliver(stack)
    await returns.OpenReturn(opening("R1"), CONTEXT)
    await returns.InspectReturn(inspecting("R1"), CONTEXT)
    for reason in ("a\0b", "a\nb", "\x1b[2J"):
        with pytest.raises(Invalid, match="reason"):
            await returns.ValidateRefund(validating("R1", 333, reason=reason), CONTEXT)
    validated = await returns.ValidateRefund(validating("R1", 333, reason="abîmé\u00a0!"), CONTEXT)
    request = wire.GetReturnRequest(return_id="R1", min_version=validated.version)
    assert (await returns.GetReturn(request, CONTEXT)).return_case.reason == "abîmé\u00a0!"


async def test_a_redelivered_message_counts_once(stack: Stack, returns: ReturnsGrpc) -> None:
    await deliver(stack)
    await deliver(stack)
    left = await returns.GetReturnable(wire.GetReturnableRequest(order_id="O1"), CONTEXT)
    assert left.lines[0].delivered_quantity == 3


async def test_a_refund_exceeding_the_capture_is_refused_whole(
    stack: Stack, returns: ReturnsGrpc
) -> None:
    completed = {
        "orderId": "O2",
        "groupId": "O2.1",
        "currency": "EUR",
        "delivered": [{"lineId": "L1", "sku": "milk", "quantity": "1", "netMinor": "1000"}],
    }
    await stack.publish(event({"groupCompleted": completed}), "order-O2")
    await stack.settle()
    await returns.OpenReturn(opening("R1", order_id="O2"), CONTEXT)
    await returns.InspectReturn(inspecting("R1"), CONTEXT)
    with pytest.raises(Rejected) as refusal:
        await returns.ValidateRefund(validating("R1", 1000), CONTEXT)
    assert refusal.value.reason is Refusal.REFUND_EXCEEDS_CAPTURE
    await stack.settle()
    shown = await returns.GetReturn(wire.GetReturnRequest(return_id="R1"), CONTEXT)
    assert shown.return_case.status == wire.RETURN_STATUS_INSPECTED


async def test_a_stale_preview_is_refused(stack: Stack, returns: ReturnsGrpc) -> None:
    await deliver(stack)
    await returns.OpenReturn(opening("R1"), CONTEXT)
    early = await returns.PreviewRefund(wire.PreviewRefundRequest(return_id="R1"), CONTEXT)
    await returns.InspectReturn(inspecting("R1"), CONTEXT)
    with pytest.raises(Rejected) as refusal:
        await returns.ValidateRefund(
            validating("R1", 333, preview_version=early.preview_version), CONTEXT
        )
    assert refusal.value.reason is CaseRefusal.PREVIEW_STALE


async def test_goods_come_back_only_to_a_site_that_there_is(
    stack: Stack, returns: ReturnsGrpc
) -> None:
    await deliver(stack)
    with pytest.raises(NotFound, match="no site with id 'S-TYPO'"):
        await returns.OpenReturn(opening("R1", site_id="S-TYPO"), CONTEXT)
    await returns.OpenReturn(opening("R1", request_id="again"), CONTEXT)


async def test_another_tenant_sees_nothing(stack: Stack, returns: ReturnsGrpc) -> None:
    await deliver(stack)
    await returns.OpenReturn(opening("R1"), CONTEXT)
    await stack.settle()
    with calling("other"):
        for call in (
            returns.GetReturn(wire.GetReturnRequest(return_id="R1"), CONTEXT),
            returns.PreviewRefund(wire.PreviewRefundRequest(return_id="R1"), CONTEXT),
            returns.GetReturnable(wire.GetReturnableRequest(order_id="O1"), CONTEXT),
            returns.InspectReturn(inspecting("R1"), CONTEXT),
            returns.OpenReturn(opening("R9"), CONTEXT),
            returns.WithdrawReturn(withdrawing("R1"), CONTEXT),
        ):
            with pytest.raises(NotFound):
                await call
        assert not (await returns.ListReturns(wire.ListReturnsRequest(), CONTEXT)).returns


async def test_cases_are_listed_page_by_page(stack: Stack, returns: ReturnsGrpc) -> None:
    for n in range(5):
        order_id = f"O{n}"
        await deliver(stack, order_id, f"{order_id}.1")
        site_id = "S1" if n % 2 else "S2"
        await returns.OpenReturn(opening(f"R{n}", order_id=order_id, site_id=site_id), CONTEXT)
    await stack.settle()
    seen, token = [], ""
    while True:
        request = wire.ListReturnsRequest(page_size=2, page_token=token)
        page = await returns.ListReturns(request, CONTEXT)
        seen += [case.return_id for case in page.returns]
        token = page.next_page_token
        if not token:
            break
    assert seen == ["R4", "R3", "R2", "R1", "R0"]
    at_site = await returns.ListReturns(wire.ListReturnsRequest(site_id="S1"), CONTEXT)
    assert [case.return_id for case in at_site.returns] == ["R3", "R1"]
    with pytest.raises(Invalid):
        await returns.ListReturns(wire.ListReturnsRequest(page_token="!"), CONTEXT)


async def test_read_models_take_every_event_twice(stack: Stack, returns: ReturnsGrpc) -> None:
    await deliver(stack)
    await returns.OpenReturn(opening("R1", quantity=2), CONTEXT)
    lines = [
        wire.InspectedQuantity(line_id="L1", quantity=1, disposition=DISPOSITION_WRITE_OFF),
        wire.InspectedQuantity(line_id="L1", quantity=1, disposition=DISPOSITION_RESTOCK),
    ]
    await returns.InspectReturn(
        wire.InspectReturnRequest(request_id="i", return_id="R1", lines=lines), CONTEXT
    )
    await returns.ValidateRefund(validating("R1", 600, reason="worn"), CONTEXT)
    await returns.OpenReturn(opening("R2"), CONTEXT)
    await returns.WithdrawReturn(withdrawing("R2"), CONTEXT)
    await stack.settle()
    host = stack["returns"]

    async def rows() -> list[Any]:
        return [
            [dict(row) for row in await host.reader.sql.fetch(f"SELECT * FROM {table}")]
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
