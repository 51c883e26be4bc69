"""Holds in part, holds that change their place, and how many of them a customer may have."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from oms.common.v1.common_pb2 import GroupLine, SkuQuantity
from oms.order.v1.order_events_pb2 import Group, GroupsKept, OrderCompleted
from oms.sourcing.v1.sourcing_events_pb2 import PlanDecided, SourcingEvent
from oms.stock_ledger.v1 import stock_ledger_service_pb2 as wire
from oms.stock_ledger.v1.stock_ledger_events_pb2 import StockLine

from services.kernel.application.clock import SystemClock
from services.kernel.domain.errors import Invalid, NotFound, Rejected
from services.kernel.entrypoints.calls import CALLER, Caller
from services.stock_ledger.application.handlers import Reservations
from services.stock_ledger.application.recording import record
from services.stock_ledger.domain.reservation_events import Line
from services.stock_ledger.domain.stock_commands import Receive
from services.stock_ledger.domain.stock_item import stock_key
from services.stock_ledger.read_models.availability import alternatives
from tests.integration.stock_ledger.test_stock_ledger import NOTHING, Clock, Ledger
from tests.support.stack import TENANT, a_cause, eventually, running

pytestmark = pytest.mark.stack
MOST_HOLDS = 3


class Holds(Ledger):
    """The ledger, with holders and moves."""

    async def hold(
        self, reservation_id: str, *lines: tuple[str, str, int], holder: str = "", **terms: Any
    ) -> wire.ReserveResponse:
        return await self.grpc.Reserve(
            wire.ReserveRequest(
                request_id=f"reserve-{reservation_id}",
                reservation_id=reservation_id,
                lines=[StockLine(site_id=s, sku=k, quantity=q) for s, k, q in lines],
                holder_id=holder,
                **terms,
            ),
            NOTHING,
        )

    async def move(
        self, reservation_id: str, sites: tuple[str, str], request_id: str = "", **skus: int
    ) -> list[tuple[str, str, int]]:
        request = wire.MoveReservationRequest(
            request_id=request_id or f"move-{reservation_id}",
            reservation_id=reservation_id,
            from_site_id=sites[0],
            to_site_id=sites[1],
            lines=[SkuQuantity(sku=sku, quantity=quantity) for sku, quantity in skus.items()],
        )
        moved = (await self.grpc.MoveReservation(request, NOTHING)).moved
        return [(line.site_id, line.sku, line.quantity) for line in moved]

    async def shown(self, reservation_id: str) -> wire.Reservation:
        await self.stack.settle()
        request = wire.GetReservationRequest(reservation_id=reservation_id)
        return (await self.grpc.GetReservation(request, NOTHING)).reservation

    async def has(self, reservation_id: str) -> dict[tuple[str, str], tuple[int, int]]:
        lines = (await self.shown(reservation_id)).lines
        return {(one.site_id, one.sku): (one.held, one.allocated) for one in lines}


@pytest.fixture
async def ledger(postgres_dsn: str) -> AsyncIterator[Holds]:
    clock = Clock()
    async with running(postgres_dsn, ["stock_ledger"], clock=clock) as stack:
        holds = Holds(stack, clock)
        holds.grpc._promises = Reservations(timedelta(minutes=15), alternatives, MOST_HOLDS)
        yield holds


@pytest.fixture(autouse=True)
def _caller() -> None:
    """Fixtures and tests run in different contexts."""
    CALLER.set(Caller(TENANT, "key-1", frozenset({"stock:write"}), "correlation", ""))


async def test_who_takes_what_there_is_is_told_line_by_line(ledger: Holds) -> None:
    await ledger.receive("milk", 5)
    await ledger.receive("bread", 1)
    wanted = (("paris", "milk", 3), ("paris", "bread", 4), ("paris", "eggs", 2))
    with pytest.raises(Rejected, match="OUT_OF_STOCK"):
        await ledger.hold("R-1", *wanted)
    answer = await ledger.hold("R-1", *wanted, takes_what_there_is=True)
    told = {one.sku: (one.wanted, one.held, one.lacking) for one in answer.lines}
    assert told == {"milk": (3, 3, 0), "bread": (4, 1, 3), "eggs": (2, 0, 2)}
    assert await ledger.hold("R-1", *wanted, takes_what_there_is=True) == answer
    assert await ledger.has("R-1") == {("paris", "milk"): (3, 0), ("paris", "bread"): (1, 0)}
    lacking = (await ledger.shown("R-1")).lacking
    assert {(one.sku, one.quantity) for one in lacking} == {("bread", 3), ("eggs", 2)}
    with pytest.raises(Rejected, match="OUT_OF_STOCK"):
        await ledger.hold("R-2", ("paris", "eggs", 1), takes_what_there_is=True)
    assert await ledger.wrong() == []


async def test_what_was_held_in_part_is_confirmed_and_released_like_any_other(
    ledger: Holds,
) -> None:
    await ledger.receive("milk", 5)
    await ledger.hold("R-1", ("paris", "milk", 9), takes_what_there_is=True)
    request = wire.ConfirmReservationRequest(request_id="c", reservation_id="R-1")
    await ledger.grpc.ConfirmReservation(request, NOTHING)
    assert await ledger.level("milk") == (0, 0, 5, 0)
    release = wire.ReleaseReservationRequest(request_id="r", reservation_id="R-1")
    released = (await ledger.grpc.ReleaseReservation(release, NOTHING)).released
    assert [(one.sku, one.quantity) for one in released] == [("milk", 5)]
    assert await ledger.level("milk") == (5, 0, 0, 0)
    assert await ledger.wrong() == []


@pytest.mark.parametrize("is_confirmed", [False, True])
async def test_a_reservation_moves_as_one_or_not_at_all(
    ledger: Holds, *, is_confirmed: bool
) -> None:
    for sku in ("milk", "bread"):
        await ledger.receive(sku, 5)
    await ledger.receive("milk", 5, "lyon")
    await ledger.receive("bread", 1, "lyon")
    await ledger.hold("R-1", ("paris", "milk", 3), ("paris", "bread", 2))
    if is_confirmed:
        request = wire.ConfirmReservationRequest(request_id="c", reservation_id="R-1")
        await ledger.grpc.ConfirmReservation(request, NOTHING)
    has = await ledger.has("R-1")
    with pytest.raises(Rejected, match="OUT_OF_STOCK") as refusal:
        await ledger.move("R-1", ("paris", "lyon"))
    assert "bread at lyon has 1 free of 2" in refusal.value.detail
    assert await ledger.has("R-1") == has
    paris_to_lyon = ("paris", "lyon")
    moved = [("lyon", "milk", 3)]
    assert await ledger.move("R-1", paris_to_lyon, "m-1", milk=3) == moved
    assert await ledger.move("R-1", paris_to_lyon, "m-1", milk=3) == moved
    with pytest.raises(Rejected, match="IDEMPOTENCY_MISMATCH"):
        await ledger.move("R-1", paris_to_lyon, "m-1", milk=2)
    there = (0, 3) if is_confirmed else (3, 0)
    assert (await ledger.has("R-1"))["lyon", "milk"] == there
    assert await ledger.level("milk") == (5, 0, 0, 0)
    assert await ledger.level("milk", "lyon") == (2, *there, 0)
    assert await ledger.wrong() == []


async def test_what_moved_expires_where_it_is(ledger: Holds) -> None:
    await ledger.receive("milk", 5)
    await ledger.receive("milk", 5, "lyon")
    await ledger.hold("R-1", ("paris", "milk", 3))
    await ledger.move("R-1", ("paris", "lyon"))
    await ledger.stack.settle()
    ledger.clock.at += timedelta(minutes=16)

    async def is_expired() -> bool:
        return await ledger.status("R-1") == "expired"

    await eventually(is_expired)
    assert await ledger.level("milk", "lyon") == (5, 0, 0, 0)
    with pytest.raises(Rejected, match="RESERVATION_EXPIRED"):
        await ledger.move("R-1", ("lyon", "paris"), "m-2", milk=1)
    assert await ledger.wrong() == []


async def test_what_is_picked_or_an_orders_is_not_moved_by_hand(ledger: Holds) -> None:
    await ledger.receive("milk", 5)
    await ledger.receive("milk", 5, "lyon")
    await ledger.hold("R-1", ("paris", "milk", 3))
    await ledger.picked("R-1", "milk", 2)
    await ledger.stack.settle()
    with pytest.raises(Rejected, match="STEP_CONFLICT"):
        await ledger.move("R-1", ("paris", "lyon"), "m-1", milk=2)
    assert await ledger.move("R-1", ("paris", "lyon"), "m-2") == [("lyon", "milk", 1)]
    await ledger.plan("O-1", ("milk", 1))
    await ledger.stack.settle()
    with pytest.raises(Rejected, match="order O-1"):
        await ledger.move("O-1", ("paris", "lyon"))
    with pytest.raises(NotFound):
        await ledger.move("R-9", ("paris", "lyon"))
    with pytest.raises(Invalid, match="another site"):
        await ledger.move("R-1", ("paris", "paris"))
    assert await ledger.wrong() == []


async def test_moves_that_race_for_the_last_units_are_whole(ledger: Holds) -> None:
    await ledger.receive("milk", 40)
    await ledger.receive("milk", 10, "lyon")
    for n in range(10):
        await ledger.hold(f"R-{n}", ("paris", "milk", 4))
    answers = await asyncio.gather(
        *(ledger.move(f"R-{n}", ("paris", "lyon")) for n in range(10)), return_exceptions=True
    )
    assert Counter(type(one).__name__ for one in answers) == {"list": 2, "Rejected": 8}
    assert await ledger.level("milk", "lyon") == (2, 8, 0, 0)
    assert await ledger.level("milk") == (8, 32, 0, 0)
    assert await ledger.wrong() == []


async def test_a_customers_unpaid_holds_are_bounded_however_many_come_at_once(
    ledger: Holds,
) -> None:
    await ledger.receive("milk", 100)

    async def one(n: int) -> str:
        try:
            await ledger.hold(f"R-{n}", ("paris", "milk", 1), holder="C-1")
        except Rejected as refusal:
            return refusal.reason.value
        return "held"

    answers = Counter(await asyncio.gather(*(one(n) for n in range(20))))
    assert answers == {"held": MOST_HOLDS, "TOO_MANY_HOLDS": 20 - MOST_HOLDS}
    assert await ledger.level("milk") == (97, 3, 0, 0)
    again = Counter(await asyncio.gather(*(one(n) for n in range(20))))
    assert again == answers, "a repeat counts for nothing"
    await ledger.hold("other", ("paris", "milk", 1), holder="C-2")
    await ledger.hold("nobody", ("paris", "milk", 1))
    assert await ledger.wrong() == []


async def test_what_is_paid_released_or_over_makes_room(ledger: Holds) -> None:
    await ledger.receive("milk", 100)
    for n in range(MOST_HOLDS):
        await ledger.hold(f"R-{n}", ("paris", "milk", 1), holder="C-1")

    async def expect_room_for(reservation_id: str) -> None:
        await ledger.hold(reservation_id, ("paris", "milk", 1), holder="C-1")
        with pytest.raises(Rejected, match="confirm or release one of them"):
            await ledger.hold("too-many", ("paris", "milk", 1), holder="C-1")

    confirm = wire.ConfirmReservationRequest(request_id="c", reservation_id="R-0")
    for _ in range(2):
        await ledger.grpc.ConfirmReservation(confirm, NOTHING)
    await expect_room_for("R-a")
    release = wire.ReleaseReservationRequest(request_id="r", reservation_id="R-1")
    for _ in range(2):
        await ledger.grpc.ReleaseReservation(release, NOTHING)
    await expect_room_for("R-b")
    # A hold that a till sale ends makes room like one that runs out.
    row = wire.MovementRow(site_id="paris", sku="milk", quantity=97, source_id="t-1")
    await ledger.stack.settle()
    await ledger.grpc.RecordTillSales(
        wire.RecordTillSalesRequest(request_id="t", rows=[row]), NOTHING
    )
    assert await ledger.level("milk") == (0, 2, 1, 0)
    await ledger.receive("milk", 10)
    await expect_room_for("R-c")
    ledger.clock.at += timedelta(minutes=16)

    async def is_expired() -> bool:
        return await ledger.status("R-2") == "expired" and await ledger.status("R-c") == "expired"

    await eventually(is_expired)
    await ledger.hold("R-d", ("paris", "milk", 1), holder="C-1")
    assert (await ledger.shown("R-d")).holder_id == "C-1"
    assert await ledger.wrong() == []


def _group(group_id: str, site_id: str, quantity: int, sku: str = "milk") -> Group:
    line = GroupLine(line_id="1", sku=sku, quantity=quantity)
    return Group(group_id=group_id, source_site_id=site_id, lines=[line])


async def _replan(ledger: Holds, revision: int, quantity: int = 3) -> None:
    plan = PlanDecided(
        order_id="O-1",
        revision=revision,
        groups=[_group(f"O-1.{revision}.1", "lyon", quantity)],
        replaces=[_group("O-1.1", "paris", quantity)],
    )
    await ledger.stack.publish(SourcingEvent(plan_decided=plan), "decision-O-1")
    await ledger.stack.settle()


async def _accepted(ledger: Holds) -> None:
    await ledger.receive("milk", 5)
    await ledger.receive("milk", 4, "lyon")
    await ledger.plan("O-1", ("milk", 3))
    await ledger.stack.settle()
    await ledger.accepted("O-1")
    await ledger.stack.settle()


async def _topics(ledger: Holds) -> Counter[str]:
    rows = await ledger.host.database.sql.fetch(
        "SELECT topic FROM events WHERE originator_id = 'demo/reservation-O-1'"
    )
    return Counter(row[0].split(".")[1] for row in rows)


async def test_a_plan_moves_what_an_accepted_order_has_once(ledger: Holds) -> None:
    await _accepted(ledger)
    for _ in range(2):
        await _replan(ledger, 2)
    assert await ledger.level("milk") == (5, 0, 0, 0)
    assert await ledger.level("milk", "lyon") == (1, 0, 3, 0)
    assert (await _topics(ledger))["moved"] == 1
    await ledger.cancelled("O-1")
    assert await ledger.level("milk", "lyon") == (4, 0, 0, 0)
    await _replan(ledger, 3)
    assert await ledger.level("milk", "lyon") == (4, 0, 0, 0)
    assert await ledger.wrong() == []


async def test_a_plan_that_cannot_be_moved_is_refused_and_says_what_lacks(ledger: Holds) -> None:
    await _accepted(ledger)
    await ledger.hold("R-1", ("lyon", "milk", 3))
    for _ in range(2):
        await _replan(ledger, 2)
    assert (await _topics(ledger))["move_refused"] == 1
    refused = await ledger.host.database.sql.fetchval(
        "SELECT convert_from(state, 'UTF8') FROM events WHERE topic LIKE '%move_refused%'"
    )
    assert json.loads(refused)["shortages"] == [{"site_id": "lyon", "sku": "milk", "quantity": 1}]
    await ledger.picked("O-1", "milk", 1)
    await ledger.stack.settle()
    await _replan(ledger, 3)
    assert (await _topics(ledger))["move_refused"] == 2
    assert await ledger.level("milk") == (2, 0, 2, 1)
    assert await ledger.wrong() == []


@pytest.mark.parametrize("is_completed", [False, True])
async def test_what_the_order_did_not_take_up_is_given_back(
    ledger: Holds, *, is_completed: bool
) -> None:
    await _accepted(ledger)
    await _replan(ledger, 2)
    # It was picked where it stood while the move travelled.
    await ledger.picked("O-1", "milk", 3)
    await ledger.stack.settle()
    if is_completed:
        await ledger.handed_over("O-1", ("milk", 3))
        await ledger.order("O-1", order_completed=OrderCompleted(order_id="O-1"))
        await ledger.stack.settle()
    kept = GroupsKept(order_id="O-1", plan_revision=2, declined=[_group("O-1.2.1", "lyon", 3)])
    for _ in range(2):
        await ledger.order("O-1", groups_kept=kept)
        await ledger.stack.settle()
    assert await ledger.level("milk", "lyon") == (4, 0, 0, 0)
    assert await ledger.level("milk") == (2, 0, 0, 0 if is_completed else 3)
    assert await ledger.wrong() == []


@pytest.mark.parametrize("is_completed", [False, True])
async def test_what_was_picked_of_a_plan_that_was_not_taken_up_keeps_nothing_else(
    ledger: Holds, *, is_completed: bool
) -> None:
    """The group that the order keeps has some of the same product at the same site."""
    await ledger.receive("milk", 5)
    await ledger.receive("bread", 5)
    await ledger.receive("bread", 5, "lyon")
    await ledger.plan("O-1", ("milk", 2), ("bread", 2))
    await ledger.stack.settle()
    row = wire.MovementRow(site_id="paris", sku="bread", quantity=5, source_id="t-1")
    await ledger.grpc.RecordTillSales(
        wire.RecordTillSalesRequest(request_id="t", rows=[row]), NOTHING
    )
    there = [_group("O-1.1-2", "paris", 2), _group("O-1.2-2", "lyon", 2, "bread")]
    plan = PlanDecided(order_id="O-1", revision=2, groups=there)
    await ledger.stack.publish(SourcingEvent(plan_decided=plan), "decision-O-1")
    await ledger.stack.settle()
    await ledger.accepted("O-1")
    await ledger.picked("O-1", "milk", 2)
    await ledger.stack.settle()
    assert await ledger.level("bread", "lyon") == (3, 0, 2, 0)
    if is_completed:
        await ledger.order("O-1", order_completed=OrderCompleted(order_id="O-1"))
        await ledger.stack.settle()
    kept = GroupsKept(order_id="O-1", plan_revision=2, declined=there)
    for _ in range(2):
        await ledger.order("O-1", groups_kept=kept)
        await ledger.stack.settle()
    assert await ledger.level("bread", "lyon") == (5, 0, 0, 0)
    assert await ledger.level("milk") == (3, 0, 0, 2)
    assert await ledger.wrong() == []


@pytest.mark.parametrize("picked", [0, 1, 2])
@pytest.mark.parametrize("is_moved", [False, True])
async def test_what_is_to_be_picked_yet_keeps_its_allocation_where_a_declined_plan_had_some_too(
    ledger: Holds, *, is_moved: bool, picked: int
) -> None:
    """One group was picked already, so the order keeps both; the other waits in the same place."""
    await ledger.receive("milk", 5)
    await ledger.receive("milk", 5, "lyon")
    await ledger.receive("bread", 5)
    await ledger.plan("O-1", ("milk", 2), ("bread", 2))
    await ledger.stack.settle()
    replaced = []
    if is_moved:  # the bread alone, and milk for it
        await ledger.accepted("O-1")
        await ledger.stack.settle()
        replaced = [_group("O-1.2", "paris", 2, "bread")]
    else:  # all of it anew, before the acceptance is heard
        row = wire.MovementRow(site_id="paris", sku="bread", quantity=5, source_id="t-1")
        sold = wire.RecordTillSalesRequest(request_id="t", rows=[row])
        await ledger.grpc.RecordTillSales(sold, NOTHING)
        await ledger.receive("bread", 2, "lyon")
    there = [_group("O-1.2.1", "paris", 2)]
    there += [] if is_moved else [_group("O-1.2.2", "lyon", 2, "bread")]
    plan = PlanDecided(order_id="O-1", revision=2, groups=there, replaces=replaced)
    await ledger.stack.publish(SourcingEvent(plan_decided=plan), "decision-O-1")
    await ledger.stack.settle()
    if not is_moved:
        await ledger.accepted("O-1")
    if picked:
        await ledger.picked("O-1", "milk", picked)
    await ledger.stack.settle()
    stay = [_group("O-1.1", "paris", 2), _group("O-1.2", "paris", 2, "bread")]
    kept = GroupsKept(order_id="O-1", plan_revision=2, declined=there, kept=stay)
    kept.picked_group_ids.append("O-1.2")
    for _ in range(2):
        await ledger.order("O-1", groups_kept=kept)
        await ledger.stack.settle()
    assert await ledger.level("milk") == (3, 0, 2 - picked, picked)
    assert await ledger.wrong() == []


@pytest.mark.parametrize("picked_late", [False, True])
@pytest.mark.parametrize("there", [5, 1, 0])
async def test_what_is_to_be_picked_where_a_declined_plan_had_nothing_is_promised_again(
    ledger: Holds, there: int, *, picked_late: bool
) -> None:
    """Everything was held elsewhere; one group was picked already, so the order keeps both."""
    await ledger.receive("milk", 9)
    await ledger.receive("bread", 2 + there)
    for sku in ("milk", "bread"):
        await ledger.receive(sku, 5, "lyon")
    await ledger.plan("O-1", ("milk", 2), ("bread", 2))
    await ledger.stack.settle()
    row = wire.MovementRow(site_id="paris", sku="milk", quantity=8, source_id="t-1")
    sold = wire.RecordTillSalesRequest(request_id="t", rows=[row])
    await ledger.grpc.RecordTillSales(sold, NOTHING)
    if there < 5:
        row = wire.MovementRow(site_id="paris", sku="bread", quantity=2, source_id="t-2")
        sold = wire.RecordTillSalesRequest(request_id="t-2", rows=[row])
        await ledger.grpc.RecordTillSales(sold, NOTHING)
    elsewhere = [_group("O-1.2.1", "lyon", 2), _group("O-1.2.2", "lyon", 2, "bread")]
    plan = PlanDecided(order_id="O-1", revision=2, groups=elsewhere)
    await ledger.stack.publish(SourcingEvent(plan_decided=plan), "decision-O-1")
    await ledger.stack.settle()
    await ledger.accepted("O-1")
    await ledger.picked("O-1", "milk", 2)
    if picked_late:  # before what the order keeps is heard, somebody has begun
        await ledger.picked("O-1", "bread", 1)
    await ledger.stack.settle()
    before = await ledger.level("bread")
    kept = GroupsKept(
        order_id="O-1",
        plan_revision=2,
        declined=elsewhere,
        kept=[_group("O-1.1", "paris", 2), _group("O-1.2", "paris", 2, "bread")],
        picked_group_ids=["O-1.1"],
    )
    for _ in range(2):
        await ledger.order("O-1", groups_kept=kept)
        await ledger.stack.settle()
    assert await ledger.level("bread", "lyon") == (5, 0, 0, 0)
    if picked_late:
        assert await ledger.level("bread") == before
    else:
        again = min(there, 2)
        assert await ledger.level("bread") == (before[0] - again, 0, again, 0)
        await ledger.cancelled("O-1")
        assert await ledger.level("bread") == (before[0], 0, 0, 0)
    assert await ledger.wrong() == []


async def test_weighed_goods_may_leave_before_their_pick_is_heard(ledger: Holds) -> None:
    """Of what was promised 1,500, and 1,540 were picked: nothing is parked, and nothing is left."""
    await ledger.receive("ham", 5_000)
    await ledger.plan("O-1", ("ham", 1_500))
    await ledger.stack.settle()
    await ledger.handed_over("O-1", ("ham", 1_540))
    await ledger.stack.settle()
    assert await ledger.level("ham") == (3_460, 0, 0, 0)
    await ledger.picked("O-1", "ham", 1_540)
    await ledger.accepted("O-1")
    await ledger.order("O-1", order_completed=OrderCompleted(order_id="O-1"))
    assert await ledger.level("ham") == (3_460, 0, 0, 0)
    assert await ledger.host.database.sql.fetchval("SELECT count(*) FROM parked") == 0
    assert await ledger.wrong() == []


async def test_an_acceptance_that_is_heard_after_the_goods_left_allocates_nothing(
    ledger: Holds,
) -> None:
    """The hold ran out meanwhile: neither it nor the acceptance takes what is in totes or gone."""
    await ledger.receive("milk", 9)
    await ledger.receive("bread", 9)
    await ledger.plan("O-1", ("milk", 3), ("bread", 2))
    await ledger.stack.settle()
    ledger.clock.at += timedelta(minutes=20)
    await eventually(lambda: _is(ledger, "O-1", "expired"))
    await ledger.picked("O-1", "milk", 3)
    await ledger.picked("O-1", "bread", 2)
    await ledger.handed_over("O-1", ("milk", 3), ("bread", 2))
    await ledger.accepted("O-1")
    await ledger.order("O-1", order_completed=OrderCompleted(order_id="O-1"))
    assert await ledger.level("milk") == (6, 0, 0, 0)
    assert await ledger.level("bread") == (7, 0, 0, 0)
    assert (await _topics(ledger))["confirmed"] == 1
    assert await ledger.host.database.sql.fetchval("SELECT count(*) FROM parked") == 0
    assert await ledger.wrong() == []


async def _is(ledger: Holds, reservation_id: str, status: str) -> bool:
    return await ledger.status(reservation_id) == status


async def test_a_later_plan_that_was_confirmed_in_the_accepted_ones_stead_is_given_back(
    ledger: Holds,
) -> None:
    """A till ended the first hold as the order was accepted on it, and somebody picked it there."""
    await ledger.receive("milk", 3)
    await ledger.receive("milk", 4, "lyon")
    await ledger.plan("O-1", ("milk", 3))
    await ledger.stack.settle()
    row = wire.MovementRow(site_id="paris", sku="milk", quantity=1, source_id="t-1")
    await ledger.grpc.RecordTillSales(
        wire.RecordTillSalesRequest(request_id="t", rows=[row]), NOTHING
    )
    there = _group("O-1.2.1", "lyon", 3)
    plan = PlanDecided(order_id="O-1", revision=2, groups=[there])
    await ledger.stack.publish(SourcingEvent(plan_decided=plan), "decision-O-1")
    await ledger.stack.settle()
    await ledger.accepted("O-1")
    await ledger.stack.settle()
    assert await ledger.level("milk", "lyon") == (1, 0, 3, 0)
    kept = GroupsKept(order_id="O-1", plan_revision=2, declined=[there])
    for _ in range(2):
        await ledger.order("O-1", groups_kept=kept)
        await ledger.stack.settle()
    assert await ledger.level("milk", "lyon") == (4, 0, 0, 0)
    assert await ledger.wrong() == []


async def test_a_hold_outlives_a_clock_of_ours_that_jumps_ahead(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the database's clock that says when a hold is over."""
    async with running(postgres_dsn, ["stock_ledger"]) as stack:
        host = stack["stock_ledger"]
        promises = Reservations(timedelta(minutes=5), alternatives)
        rows = [(stock_key("paris", "milk"), Receive(5, "n-1", SystemClock().now()))]
        await host.runner.execute(a_cause("receive"), lambda work: record(work, rows))
        held = [Line("paris", "milk", 2)]
        await host.runner.execute(
            a_cause("reserve"), lambda work: promises.reserve(work, "R-1", held, None)
        )
        jumped = SystemClock().now() + timedelta(minutes=10)
        monkeypatch.setattr(SystemClock, "now", lambda _: jumped)
        await asyncio.sleep(0.5)
        await stack.settle()
        found = await host.database.sql.fetch("SELECT topic FROM events ORDER BY 1")
        assert "reservation.expired.v1" not in {row[0] for row in found}
