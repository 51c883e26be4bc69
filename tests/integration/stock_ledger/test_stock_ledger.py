"""The stock ledger on a real database: batches, promises, feeds that race, and the books."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from oms.common.v1.common_pb2 import GroupLine, SkuQuantity
from oms.delivery.v1.delivery_events_pb2 import DeliveryEvent, HandedOver, HandedToCarrier
from oms.order.v1.order_events_pb2 import (
    Group,
    OrderAccepted,
    OrderCancelled,
    OrderCompleted,
    OrderEvent,
)
from oms.picking.v1.picking_events_pb2 import (
    SHORT_REASON_NOT_FOUND,
    LinePicked,
    LinePutBack,
    LineShorted,
    PickingEvent,
)
from oms.returns.v1.returns_events_pb2 import (
    DISPOSITION_RESTOCK,
    DISPOSITION_WRITE_OFF,
    ReturnInspected,
    ReturnLine,
    ReturnsEvent,
)
from oms.sourcing.v1.sourcing_events_pb2 import PlanDecided, SourcingEvent
from oms.stock_ledger.v1 import stock_ledger_service_pb2 as wire
from oms.stock_ledger.v1.stock_ledger_events_pb2 import StockLine

from services.kernel.domain.errors import Invalid, NotFound, Rejected
from services.kernel.entrypoints.calls import CALLER, Caller, Encoded
from services.stock_ledger.application.handlers import Reservations
from services.stock_ledger.entrypoints.grpc_server import StockLedgerGrpc
from services.stock_ledger.read_models.availability import alternatives
from services.stock_ledger.read_models.known_levels import KnownLevels
from services.stock_ledger.read_models.verification import Violation, violations
from tests.support.stack import TENANT, Stack, eventually, running

pytestmark = pytest.mark.stack
NOTHING: Any = None


class Clock:
    def __init__(self) -> None:
        self.at = datetime(2026, 3, 2, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at


class Ledger:
    """The service on its stack, and what a test asks of it most."""

    def __init__(self, stack: Stack, clock: Clock) -> None:
        self.stack = stack
        self.clock = clock
        self.host = stack["stock_ledger"]
        [availability] = [m for m in self.host.service.read_models if m.name == "availability"]
        [self.levels] = cast("tuple[KnownLevels[bytes]]", availability.memories)
        self.grpc = StockLedgerGrpc(
            self.host.runner,
            self.host.reader,
            clock,
            Reservations(timedelta(minutes=15), alternatives),
            self.levels,
        )

    async def receive(self, sku: str, quantity: int, site_id: str = "paris") -> None:
        row = wire.MovementRow(
            site_id=site_id, sku=sku, quantity=quantity, source_id=f"note-{sku}-{quantity}"
        )
        request_id = f"receive-{site_id}-{sku}-{quantity}"
        answer = await self.grpc.ReceiveStock(
            wire.ReceiveStockRequest(request_id=request_id, rows=[row]), NOTHING
        )
        assert answer.results[0].status == wire.ROW_STATUS_RECORDED
        await self.stack.settle()

    async def reserve(
        self, reservation_id: str, *lines: tuple[str, str, int], request_id: str = ""
    ) -> wire.ReserveResponse:
        return await self.grpc.Reserve(
            wire.ReserveRequest(
                request_id=request_id or f"reserve-{reservation_id}",
                reservation_id=reservation_id,
                lines=[StockLine(site_id=s, sku=k, quantity=q) for s, k, q in lines],
            ),
            NOTHING,
        )

    async def available(self, request: wire.GetAvailabilityRequest) -> wire.GetAvailabilityResponse:
        answer: Any = await self.grpc.GetAvailability(request, NOTHING)
        if isinstance(answer, Encoded):
            return wire.GetAvailabilityResponse.FromString(answer.message)
        assert isinstance(answer, wire.GetAvailabilityResponse)
        return answer

    async def level(self, sku: str, site_id: str = "paris") -> tuple[int, int, int, int]:
        await self.stack.settle()
        pairs = [wire.SiteSku(site_id=site_id, sku=sku)]
        [level] = (await self.available(wire.GetAvailabilityRequest(pairs=pairs))).levels
        return level.free, level.held, level.allocated, level.picked

    async def status(self, reservation_id: str) -> str:
        await self.stack.settle()
        answer = await self.grpc.GetReservation(
            wire.GetReservationRequest(reservation_id=reservation_id), NOTHING
        )
        name = wire.ReservationStatus.Name(answer.reservation.status)
        return name.removeprefix("RESERVATION_STATUS_").lower()

    async def plan(self, order_id: str, *lines: tuple[str, int], revision: int = 1) -> None:
        await self.stack.publish(_plan(order_id, revision, lines), f"decision-{order_id}")

    async def order(self, order_id: str, **event: Any) -> None:
        await self.stack.publish(OrderEvent(**event), f"order-{order_id}")

    async def accepted(self, order_id: str) -> None:
        await self.order(order_id, order_accepted=OrderAccepted(order_id=order_id))

    async def cancelled(self, order_id: str) -> None:
        await self.order(order_id, order_cancelled=OrderCancelled(order_id=order_id))

    async def picked(self, order_id: str, sku: str, quantity: int) -> None:
        event = LinePicked(order_id=order_id, site_id="paris", sku=sku, quantity=quantity)
        await self.stack.publish(PickingEvent(line_picked=event), f"picktask-{order_id}.1")

    async def handed_over(self, order_id: str, *lines: tuple[str, int]) -> None:
        event = HandedOver(
            order_id=order_id,
            source_site_id="paris",
            lines=[GroupLine(line_id=f"l{n}", sku=k, quantity=q) for n, (k, q) in enumerate(lines)],
        )
        await self.stack.publish(DeliveryEvent(handed_over=event), f"handover-{order_id}.1")

    async def wrong(self) -> list[Violation]:
        await self.stack.settle()
        return [each async for each in violations(self.host.database.sql, self.clock.at)]

    async def parked(self) -> int:
        return int(await self.host.database.sql.fetchval("SELECT count(*) FROM parked"))


def _plan(order_id: str, revision: int, lines: Sequence[tuple[str, int]]) -> SourcingEvent:
    groups = [
        Group(
            group_id=f"{order_id}.{n}",
            source_site_id="paris",
            lines=[GroupLine(line_id=f"l{n}", sku=sku, quantity=quantity)],
        )
        for n, (sku, quantity) in enumerate(lines, 1)
    ]
    return SourcingEvent(
        plan_decided=PlanDecided(order_id=order_id, revision=revision, groups=groups)
    )


@pytest.fixture
async def ledger(postgres_dsn: str) -> AsyncIterator[Ledger]:
    token = CALLER.set(Caller(TENANT, "key-1", frozenset({"stock:write"}), "correlation", ""))
    clock = Clock()
    async with running(postgres_dsn, ["stock_ledger"], clock=clock) as stack:
        yield Ledger(stack, clock)
    CALLER.reset(token)


@pytest.fixture(autouse=True)
def _caller() -> None:
    """Fixtures and tests run in different contexts."""
    CALLER.set(Caller(TENANT, "key-1", frozenset({"stock:write"}), "correlation", ""))


async def test_a_bad_row_does_not_stop_the_batch(ledger: Ledger) -> None:
    rows = [
        wire.MovementRow(site_id="paris", sku="milk", quantity=5, source_id="n-1"),
        wire.MovementRow(site_id="paris", sku="mi|k", quantity=5, source_id="n-2"),
        wire.MovementRow(site_id="paris", sku="milk", quantity=5, source_id="n-1"),
        wire.MovementRow(site_id="paris", sku="milk", quantity=6, source_id="n-1"),
        wire.MovementRow(site_id="paris", sku="bread", quantity=0, source_id="n-3"),
        wire.MovementRow(site_id="paris", sku="bread", quantity=2, source_id="n-4"),
    ]
    request = wire.ReceiveStockRequest(request_id="r-1", rows=rows)
    for first in (True, False):
        results = (await ledger.grpc.ReceiveStock(request, NOTHING)).results
        recorded = wire.ROW_STATUS_RECORDED if first else wire.ROW_STATUS_DUPLICATE
        assert [result.status for result in results] == [
            recorded,
            wire.ROW_STATUS_REFUSED,
            wire.ROW_STATUS_DUPLICATE,
            wire.ROW_STATUS_REFUSED,
            wire.ROW_STATUS_REFUSED,
            recorded,
        ]
        assert [result.reason for result in results if result.reason] == [
            "INVALID_ARGUMENT",
            "IDEMPOTENCY_MISMATCH",
            "INVALID_ARGUMENT",
        ]
    assert await ledger.level("milk") == (5, 0, 0, 0)
    with pytest.raises(Invalid):
        await ledger.grpc.ReceiveStock(wire.ReceiveStockRequest(request_id="r"), NOTHING)


async def test_adjustments_and_till_sales_reach_the_ledger_page(ledger: Ledger) -> None:
    await ledger.receive("milk", 10)
    movement = wire.MovementRow(site_id="paris", sku="milk", quantity=-2, source_id="a-1")
    adjustment = wire.AdjustmentRow(movement=movement, reason=wire.ADJUSTMENT_REASON_BREAKAGE)
    await ledger.grpc.AdjustStock(
        wire.AdjustStockRequest(request_id="a", rows=[adjustment]), NOTHING
    )
    sale = wire.MovementRow(site_id="paris", sku="milk", quantity=9, source_id="t-1")
    await ledger.grpc.RecordTillSales(
        wire.RecordTillSalesRequest(request_id="t", rows=[sale]), NOTHING
    )
    assert await ledger.level("milk") == (-1, 0, 0, 0)
    request = wire.ListEntriesRequest(site_id="paris", sku="milk", page_size=2)
    first = await ledger.grpc.ListEntries(request, NOTHING)
    request.page_token = first.next_page_token
    second = await ledger.grpc.ListEntries(request, NOTHING)
    pages = [*first.entries, *second.entries]
    assert [entry.cause for entry in pages] == ["till_sale", "breakage", "goods_receipt"]
    assert [entry.free_after for entry in pages] == [-1, 8, 10]
    assert all(sum(p.quantity for p in entry.postings) == 0 for entry in pages)
    assert not second.next_page_token
    assert await ledger.wrong() == []


async def test_a_reservation_is_held_confirmed_and_released(ledger: Ledger) -> None:
    await ledger.receive("milk", 10)
    await ledger.receive("bread", 1)
    lines = [("paris", "milk", 2), ("paris", "bread", 1), ("paris", "milk", 1)]
    held = await ledger.reserve("R-1", *lines)
    again = await ledger.reserve("R-1", *lines, request_id="other")
    assert (again.version, again.expires_at) == (held.version, held.expires_at)
    assert await ledger.level("milk") == (7, 3, 0, 0)
    with pytest.raises(Rejected, match="IDEMPOTENCY_MISMATCH"):
        await ledger.reserve("R-1", ("paris", "milk", 9), request_id="third")
    confirm = wire.ConfirmReservationRequest(request_id="c-1", reservation_id="R-1")
    await ledger.grpc.ConfirmReservation(confirm, NOTHING)
    await ledger.grpc.ConfirmReservation(confirm, NOTHING)
    assert await ledger.level("milk") == (7, 0, 3, 0)
    page = await ledger.grpc.ListOpenReservations(
        wire.ListOpenReservationsRequest(site_id="paris", page_size=1), NOTHING
    )
    assert [(line.sku, line.allocated) for line in page.lines] == [("bread", 1)]
    page = await ledger.grpc.ListOpenReservations(
        wire.ListOpenReservationsRequest(site_id="paris", page_token=page.next_page_token), NOTHING
    )
    assert [(line.sku, line.allocated) for line in page.lines] == [("milk", 3)]
    release = wire.ReleaseReservationRequest(request_id="x-1", reservation_id="R-1")
    released = (await ledger.grpc.ReleaseReservation(release, NOTHING)).released
    assert [(line.sku, line.quantity) for line in released] == [("bread", 1), ("milk", 3)]
    assert await ledger.level("milk") == (10, 0, 0, 0)
    assert await ledger.status("R-1") == "released"
    release.reservation_id = "R-2"
    with pytest.raises(NotFound):
        await ledger.grpc.ReleaseReservation(release, NOTHING)
    assert await ledger.wrong() == []


async def test_what_one_line_lacks_refuses_all_and_names_who_has_it(ledger: Ledger) -> None:
    await ledger.receive("milk", 10)
    await ledger.receive("bread", 1)
    await ledger.receive("bread", 5, "lyon")
    with pytest.raises(Rejected) as refusal:
        await ledger.reserve("R-1", ("paris", "milk", 2), ("paris", "bread", 2))
    assert refusal.value.reason.value == "OUT_OF_STOCK"
    assert list(refusal.value.alternatives) == [{"site_id": "lyon", "sku": "bread", "available": 5}]
    assert await ledger.level("milk") == (10, 0, 0, 0)


async def test_a_hold_expires_and_may_be_confirmed_while_there_is_enough(ledger: Ledger) -> None:
    await ledger.receive("milk", 4)
    await ledger.reserve("R-1", ("paris", "milk", 3))
    ledger.clock.at += timedelta(minutes=16)
    await eventually(lambda: _is(ledger.status("R-1"), "expired"))
    assert await ledger.level("milk") == (4, 0, 0, 0)
    confirm = wire.ConfirmReservationRequest(request_id="c-1", reservation_id="R-1")
    await ledger.reserve("R-2", ("paris", "milk", 2))
    with pytest.raises(Rejected, match="RESERVATION_EXPIRED"):
        await ledger.grpc.ConfirmReservation(confirm, NOTHING)
    release = wire.ReleaseReservationRequest(request_id="x-2", reservation_id="R-2")
    await ledger.grpc.ReleaseReservation(release, NOTHING)
    await ledger.grpc.ConfirmReservation(confirm, NOTHING)
    assert await ledger.level("milk") == (1, 0, 3, 0)
    with pytest.raises(Rejected):
        await ledger.reserve("R-2", ("paris", "milk", 1), request_id="late")
    assert await ledger.wrong() == []


async def _is(status: Any, expected: str) -> bool:
    return bool(await status == expected)


async def test_two_hundred_callers_for_fifty_units(ledger: Ledger) -> None:
    await ledger.receive("hot", 50)
    await ledger.receive("hot", 7, "lyon")
    began = time.perf_counter()
    answers = await asyncio.gather(
        *(ledger.reserve(f"R-{n}", ("paris", "hot", 1)) for n in range(200)),
        return_exceptions=True,
    )
    took_s = time.perf_counter() - began
    kinds = Counter(
        answer.reason.value if isinstance(answer, Rejected) else type(answer).__name__
        for answer in answers
    )
    assert kinds == {"ReserveResponse": 50, "OUT_OF_STOCK": 150}, took_s
    assert all(a.alternatives for a in answers if isinstance(a, Rejected))
    assert await ledger.level("hot") == (0, 50, 0, 0)
    assert await ledger.wrong() == []
    print(f"200 callers for 50 units: {took_s:.2f} s")  # noqa: T201


@pytest.mark.parametrize("batches", [1, 8])
async def test_two_hundred_plans_for_fifty_units(ledger: Ledger, batches: int) -> None:
    await ledger.receive("hot", 50)
    await ledger.receive("milk", 1_000)
    for n in range(200):
        await ledger.plan(f"O-{n}", ("hot", 1), ("milk", 2))
        if n % (200 // batches) == 0 and batches > 1:
            await ledger.stack.settle()
    assert await ledger.level("hot") == (0, 50, 0, 0)
    assert await ledger.level("milk") == (900, 100, 0, 0)
    statuses = await ledger.host.database.sql.fetch(
        "SELECT status, count(*) FROM reservation GROUP BY status"
    )
    assert {row[0]: row[1] for row in statuses} == {"held": 50, "refused": 150}
    assert await ledger.wrong() == []


async def test_a_batch_of_plans_gets_through_beside_a_steady_crowd_of_sales(ledger: Ledger) -> None:
    await ledger.receive("hot", 10_000)
    done = asyncio.Event()

    async def till(number: int) -> None:
        sale = 0
        while not done.is_set():
            sale += 1
            name = f"t{number}.{sale}"
            row = wire.MovementRow(site_id="paris", sku="hot", quantity=1, source_id=name)
            request = wire.RecordTillSalesRequest(request_id=name, rows=[row])
            await ledger.grpc.RecordTillSales(request, NOTHING)

    async def held() -> bool:
        query = "SELECT count(*) FROM events WHERE topic = 'reservation.held.v1'"
        return int(await ledger.host.database.sql.fetchval(query)) == 300

    tills = [asyncio.create_task(till(number)) for number in range(4)]
    for n in range(300):
        await ledger.plan(f"O-{n}", ("hot", 1))
    try:
        await eventually(held, within_s=60.0)
    finally:
        done.set()
        await asyncio.gather(*tills)
    assert await ledger.wrong() == []


async def test_an_order_walks_from_plan_to_handover(ledger: Ledger) -> None:
    await ledger.receive("milk", 10)
    await ledger.plan("O-1", ("milk", 2), ("milk", 3))
    assert await ledger.level("milk") == (5, 5, 0, 0)
    await ledger.accepted("O-1")
    assert await ledger.level("milk") == (5, 0, 5, 0)
    await ledger.picked("O-1", "milk", 4)
    short = LineShorted(
        order_id="O-1", site_id="paris", sku="milk", quantity=1, reason=SHORT_REASON_NOT_FOUND
    )
    await ledger.stack.publish(PickingEvent(line_shorted=short), "picktask-O-1.1")
    assert await ledger.level("milk") == (5, 0, 0, 4)
    await ledger.handed_over("O-1", ("milk", 2), ("milk", 2))
    await ledger.order("O-1", order_completed=OrderCompleted(order_id="O-1"))
    assert await ledger.level("milk") == (5, 0, 0, 0)
    assert await ledger.status("O-1") == "closed"
    returned = ReturnInspected(
        return_id="B-1",
        order_id="O-1",
        site_id="lyon",
        lines=[
            ReturnLine(line_id="l1", sku="milk", quantity=1, disposition=DISPOSITION_RESTOCK),
            ReturnLine(line_id="l1", sku="milk", quantity=2, disposition=DISPOSITION_WRITE_OFF),
        ],
    )
    await ledger.stack.publish(ReturnsEvent(return_inspected=returned), "returncase-B-1")
    assert await ledger.level("milk", "lyon") == (1, 0, 0, 0)
    assert await ledger.wrong() == []
    assert await ledger.parked() == 0


async def test_feeds_that_race_lead_to_the_same_books(ledger: Ledger) -> None:
    await ledger.receive("milk", 10)
    await ledger.cancelled("O-0")
    await ledger.plan("O-0", ("milk", 1))
    assert await ledger.level("milk") == (10, 0, 0, 0)
    await ledger.plan("O-1", ("milk", 4))
    await ledger.stack.settle()
    shipped = HandedToCarrier(
        order_id="O-1",
        source_site_id="paris",
        lines=[GroupLine(line_id="l1", sku="milk", quantity=4)],
    )
    await ledger.stack.publish(DeliveryEvent(handed_to_carrier=shipped), "shipment-O-1.1")
    await ledger.stack.settle()
    await ledger.picked("O-1", "milk", 4)
    await ledger.stack.settle()
    await ledger.accepted("O-1")
    assert await ledger.level("milk") == (6, 0, 0, 0)
    assert await ledger.status("O-1") == "confirmed"
    await ledger.plan("O-2", ("milk", 6))
    await ledger.stack.settle()
    await ledger.accepted("O-2")
    await ledger.stack.settle()
    await ledger.cancelled("O-2")
    await ledger.stack.settle()
    await ledger.picked("O-2", "milk", 2)
    assert await ledger.level("milk") == (4, 0, 0, 2)
    back = LinePutBack(order_id="O-2", site_id="paris", sku="milk", quantity=2)
    await ledger.stack.publish(PickingEvent(line_put_back=back), "picktask-O-2.1")
    assert await ledger.level("milk") == (6, 0, 0, 0)
    assert await ledger.wrong() == []
    assert await ledger.parked() == 0


async def test_an_order_accepted_after_its_hold_expired_is_allocated_or_refused(
    ledger: Ledger,
) -> None:
    await ledger.receive("milk", 5)
    await ledger.plan("O-1", ("milk", 3))
    await ledger.plan("O-2", ("milk", 2))
    await ledger.stack.settle()
    ledger.clock.at += timedelta(minutes=16)
    await eventually(lambda: _is(ledger.status("O-1"), "expired"))
    await eventually(lambda: _is(ledger.status("O-2"), "expired"))
    await ledger.reserve("R-1", ("paris", "milk", 2))
    await ledger.accepted("O-1")
    await ledger.stack.settle()
    await ledger.accepted("O-2")
    assert await ledger.status("O-1") == "confirmed"
    assert await ledger.status("O-2") == "refused"
    assert await ledger.level("milk") == (0, 2, 3, 0)
    assert await ledger.wrong() == []


async def test_what_was_never_reserved_is_not_handed_over(ledger: Ledger) -> None:
    await ledger.receive("milk", 5)
    await ledger.handed_over("O-9", ("milk", 1))
    await eventually(lambda: _is_parked(ledger))
    assert await ledger.level("milk") == (5, 0, 0, 0)


async def _is_parked(ledger: Ledger) -> bool:
    return await ledger.parked() == 1


async def test_availability_is_answered_by_pair_product_basket_and_site(ledger: Ledger) -> None:
    for sku, quantity, site_id in (
        ("milk", 5, "paris"),
        ("bread", 1, "paris"),
        ("milk", 2, "lyon"),
        ("eggs", 9, "lyon"),
    ):
        await ledger.receive(sku, quantity, site_id)
    pairs = [
        wire.SiteSku(site_id="lyon", sku="milk"),
        wire.SiteSku(site_id="nice", sku="milk"),
        wire.SiteSku(site_id="paris", sku="milk"),
    ]
    levels = await ledger.available(wire.GetAvailabilityRequest(pairs=pairs))
    assert [(level.free, level.version) for level in levels.levels] == [(2, 1), (0, 0), (5, 1)]
    everywhere = await ledger.grpc.GetSkuAvailability(
        wire.GetSkuAvailabilityRequest(sku="milk", page_size=1), NOTHING
    )
    assert [level.site_id for level in everywhere.levels] == ["lyon"]
    rest = await ledger.grpc.GetSkuAvailability(
        wire.GetSkuAvailabilityRequest(sku="milk", page_token=everywhere.next_page_token), NOTHING
    )
    assert [level.site_id for level in rest.levels] == ["paris"]
    answer: Any = await ledger.grpc.GetSkuAvailability(
        wire.GetSkuAvailabilityRequest(sku="eggs", site_ids=["paris", "lyon"]), NOTHING
    )
    some = wire.GetSkuAvailabilityResponse.FromString(answer.message)
    assert [level.free for level in some.levels] == [0, 9]
    basket = wire.GetBasketAvailabilityRequest(
        lines=[SkuQuantity(sku="milk", quantity=3), SkuQuantity(sku="bread", quantity=1)]
    )
    sites = (await ledger.grpc.GetBasketAvailability(basket, NOTHING)).sites
    assert [(site.site_id, site.is_complete) for site in sites] == [
        ("paris", True),
        ("lyon", False),
    ]
    assert [(line.sku, line.quantity) for line in sites[1].missing] == [("milk", 1), ("bread", 1)]
    basket.site_ids.extend(["nice", "paris"])
    sites = (await ledger.grpc.GetBasketAvailability(basket, NOTHING)).sites
    assert [(site.site_id, site.covered_skus) for site in sites] == [("nice", 0), ("paris", 2)]
    listed = await ledger.grpc.ListSiteStock(
        wire.ListSiteStockRequest(site_id="lyon", page_size=1), NOTHING
    )
    assert [level.sku for level in listed.levels] == ["eggs"]
    listed = await ledger.grpc.ListSiteStock(
        wire.ListSiteStockRequest(site_id="lyon", page_token=listed.next_page_token), NOTHING
    )
    assert [level.sku for level in listed.levels] == ["milk"]


async def test_an_adjustment_sent_again_does_what_has_become_possible(ledger: Ledger) -> None:
    def row(sku: str) -> wire.AdjustmentRow:
        movement = wire.MovementRow(site_id="paris", sku=sku, quantity=-2, source_id=f"lock-{sku}")
        return wire.AdjustmentRow(movement=movement, reason=wire.ADJUSTMENT_REASON_QUARANTINE)

    async def adjust() -> list[Any]:
        request = wire.AdjustStockRequest(request_id="lock", rows=[row("milk"), row("oil")])
        return [one.status for one in (await ledger.grpc.AdjustStock(request, NOTHING)).results]

    await ledger.receive("milk", 5)
    assert await adjust() == [wire.ROW_STATUS_RECORDED, wire.ROW_STATUS_REFUSED]
    await ledger.receive("oil", 5)
    assert await adjust() == [wire.ROW_STATUS_DUPLICATE, wire.ROW_STATUS_RECORDED]
    assert await adjust() == [wire.ROW_STATUS_DUPLICATE] * 2
    assert (await ledger.level("milk"))[0] == (await ledger.level("oil"))[0] == 3


async def test_another_tenant_sees_and_touches_nothing(ledger: Ledger) -> None:
    await ledger.receive("milk", 5)
    await ledger.reserve("R-1", ("paris", "milk", 1))
    await ledger.stack.settle()
    CALLER.set(Caller("other", "key-2", frozenset({"stock:write"}), "correlation", ""))
    assert await ledger.level("milk") == (0, 0, 0, 0)
    with pytest.raises(NotFound):
        await ledger.status("R-1")
    with pytest.raises(NotFound):
        await ledger.grpc.ReleaseReservation(
            wire.ReleaseReservationRequest(request_id="x", reservation_id="R-1"), NOTHING
        )
    with pytest.raises(Rejected, match="OUT_OF_STOCK") as refusal:
        await ledger.reserve("R-1", ("paris", "milk", 1))
    assert not refusal.value.alternatives


async def test_the_auditor_finds_what_is_wrong(ledger: Ledger) -> None:
    await ledger.receive("milk", 5)
    assert await ledger.wrong() == []
    await ledger.host.database.sql.execute("UPDATE availability SET free = 6")
    assert [(each.invariant, each.stream) for each in await ledger.wrong()] == [
        ("I3", "demo/stock-paris|milk")
    ]


async def test_read_models_take_each_event_twice_and_stale_ones(ledger: Ledger) -> None:
    await ledger.receive("milk", 5)
    await ledger.reserve("R-1", ("paris", "milk", 2))
    await ledger.stack.settle()
    sql = ledger.host.database.sql
    tables = ("availability", "stock_entry", "reservation", "reserved_stock")

    async def rows() -> list[Any]:
        return [sorted(map(tuple, await sql.fetch(f"SELECT * FROM {table}"))) for table in tables]

    before = await rows()
    from services.kernel.adapters.event_log import decode_rows, read_log  # noqa: PLC0415

    codec = ledger.host.service.codec
    log = decode_rows(codec, await read_log(sql, 0, 1_000))
    for model in ledger.host.service.read_models:
        for recorded in (*log, *reversed(log)):
            await model.project([recorded], sql)
    assert await rows() == before


async def test_what_is_remembered_of_balances_follows_every_commit(ledger: Ledger) -> None:
    """Asked for all the time, memory never stays behind the table, nor goes back."""
    skus = [f"p{n}" for n in range(20)]
    for sku in skus:
        await ledger.receive(sku, 1_000)
    pairs = [wire.SiteSku(site_id="paris", sku=sku) for sku in skus]
    request = wire.GetAvailabilityRequest(pairs=pairs)
    seen: dict[str, int] = {}
    is_over = False

    async def ask() -> None:
        while not is_over:
            for level in (await ledger.available(request)).levels:
                assert level.version >= seen.get(level.sku, 0)
                seen[level.sku] = level.version
            await asyncio.sleep(0)

    asking = [asyncio.create_task(ask()) for _ in range(4)]
    for n in range(60):
        await ledger.reserve(f"R{n}", ("paris", skus[n % 20], 1), ("paris", skus[n % 7], 2))
    is_over = True
    await asyncio.gather(*asking)

    await ledger.stack.settle()
    levels = (await ledger.available(request)).levels
    rows = await ledger.host.database.sql.fetch(
        "SELECT sku, free, held, version FROM availability WHERE site_id = 'paris'"
    )
    assert len(ledger.levels) == len(skus)
    assert {(one.sku, one.free, one.held, one.version) for one in levels} == {
        tuple(row) for row in rows
    }
    free = {one.sku: one.free for one in levels}
    assert sum(free.values()) == 20 * 1_000 - 60 * 3


async def test_nothing_is_remembered_beyond_the_loss_of_what_follows_the_log(
    ledger: Ledger,
) -> None:
    await ledger.receive("milk", 5)
    assert (await ledger.level("milk"))[0] == 5
    assert len(ledger.levels) == 1

    ledger.host.forget()

    assert len(ledger.levels) == 0
    assert (await ledger.level("milk"))[0] == 5
    assert len(ledger.levels) == 0, "nobody tells it of commits"


async def test_an_extended_hold_outlives_its_first_end(ledger: Ledger) -> None:
    await ledger.receive("milk", 5)
    first = (await ledger.reserve("R1", ("paris", "milk", 2))).expires_at

    request = wire.ExtendReservationRequest(
        request_id="extend-R1", reservation_id="R1", hold_seconds=3_600
    )
    extended = await ledger.grpc.ExtendReservation(request, NOTHING)
    ledger.clock.at += timedelta(seconds=1)
    again = await ledger.grpc.ExtendReservation(request, NOTHING)

    assert extended.expires_at.seconds > first.seconds
    assert again == extended
    await ledger.stack.settle()
    shown = await ledger.grpc.GetReservation(
        wire.GetReservationRequest(reservation_id="R1"), NOTHING
    )
    assert shown.reservation.expires_at == extended.expires_at
    assert await ledger.status("R1") == "held"
    with pytest.raises(NotFound):
        await ledger.grpc.ExtendReservation(
            wire.ExtendReservationRequest(request_id="extend-R2", reservation_id="R2"), NOTHING
        )
