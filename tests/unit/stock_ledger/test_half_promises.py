"""Promises of which a part is there already, or is held by somebody else."""

from datetime import timedelta

from services.stock_ledger.application.asked import Action, Asked, post_reservations
from services.stock_ledger.application.handlers import Reservations
from services.stock_ledger.application.recording import record
from services.stock_ledger.domain.entry import Cause
from services.stock_ledger.domain.reservation import RESERVATION
from services.stock_ledger.domain.reservation_events import Line, PlanDeclined
from services.stock_ledger.domain.reservation_state import Status
from services.stock_ledger.domain.stock_commands import HandOver, Pick, PromiseOnline, Receive
from services.stock_ledger.domain.stock_item import STOCK, stock_key
from tests.unit.stock_ledger.ledger_in_memory import NOON, LedgerInMemory, nowhere

PROMISES = Reservations(timedelta(minutes=15), nowhere)
BREAD, MILK = stock_key("paris", "bread"), stock_key("paris", "milk")


async def with_three_held_by_a_platform() -> LedgerInMemory:
    work = LedgerInMemory()
    online = PromiseOnline(Cause.HOLD, "R-1", 3, "w", NOON)
    await record(work, [(BREAD, Receive(50, "n", NOON)), (MILK, Receive(50, "n", NOON))])
    await record(work, [(MILK, online)])
    return work


async def test_a_row_refused_for_its_last_line_holds_none_of_them() -> None:
    work = await with_three_held_by_a_platform()
    before = work.mark()
    rows = [
        Asked(n, "R-1", Action.RESERVE, Line("paris", sku, 5), hold_seconds=1)
        for n, sku in enumerate(["bread", "milk"])
    ]
    others = Asked(2, "R-2", Action.RESERVE, Line("paris", "bread", 1))
    posted = await post_reservations(work, [*rows, others], PROMISES)
    assert [(row, reason) for row, reason, _ in posted.refused] == [
        (0, "IDEMPOTENCY_MISMATCH"),
        (1, "IDEMPOTENCY_MISMATCH"),
    ]
    assert posted.recorded == 1
    assert (await work.state(RESERVATION, "R-1")).version == 0
    assert (await work.state(STOCK, BREAD)).state.open.get("R-1") is None
    assert (await work.state(RESERVATION, "R-2")).state.status is Status.HELD
    assert list(work.timers) == ["reservation_expiry-R-2"]
    assert before[0][f"stock-{MILK}"] == work.streams[f"stock-{MILK}"]


async def test_a_plan_declined_for_its_last_line_holds_none_of_them() -> None:
    work = await with_three_held_by_a_platform()
    before = work.mark()
    lines = [Line("paris", "bread", 5), Line("paris", "milk", 5)]
    await PROMISES.reserve_plan(work, "R-1", 1, lines)
    declined = PlanDeclined("R-1", 1, "IDEMPOTENCY_MISMATCH")
    assert work.streams == {**before[0], "reservation-R-1": (declined,)}
    assert not work.timers


async def expired_with(free: int, picked: int) -> LedgerInMemory:
    """Five of bread were planned, some of them picked before the hold ran out."""
    work = LedgerInMemory()
    await record(work, [(BREAD, Receive(free, "n", NOON))])
    await PROMISES.reserve_plan(work, "O-1", 1, [Line("paris", "bread", 5)])
    await record(work, [(BREAD, Pick("O-1", picked, "p", NOON))])
    [work.at] = work.timers.values()
    await PROMISES.expire("O-1", work)
    return work


async def test_what_was_picked_before_the_hold_ran_out_is_not_allocated_again() -> None:
    work = await expired_with(free=50, picked=5)
    await PROMISES.confirm(work, "O-1", refuse=False)
    await record(work, [(BREAD, HandOver("O-1", 5, "h", NOON))])
    await PROMISES.complete(work, "O-1")
    item = (await work.state(STOCK, BREAD)).state
    assert (item.buckets.free, item.buckets.allocated) == (45, 0)
    assert item.open.get("O-1") is None


async def test_what_left_before_its_very_late_acceptance_is_not_allocated_again() -> None:
    work = await expired_with(free=50, picked=5)
    await PROMISES.confirm_begun(work, "O-1")
    await record(work, [(BREAD, HandOver("O-1", 5, "h", NOON))])
    await PROMISES.confirm(work, "O-1", refuse=False)
    item = (await work.state(STOCK, BREAD)).state
    assert (item.buckets.free, item.buckets.allocated) == (45, 0)
    assert item.open.get("O-1") is None


async def test_who_is_picked_for_has_it_allocated_whatever_is_heard_first() -> None:
    work = LedgerInMemory()
    await record(work, [(BREAD, Receive(9, "n", NOON))])
    await PROMISES.reserve_plan(work, "O-1", 1, [Line("paris", "bread", 5)])
    await record(work, [(BREAD, Pick("O-1", 2, "p", NOON))])
    await PROMISES.confirm_begun(work, "O-1")
    assert not work.timers
    buckets = (await work.state(STOCK, BREAD)).state.buckets
    assert (buckets.free, buckets.held, buckets.allocated, buckets.picked) == (4, 0, 3, 2)
    before = work.mark()
    await PROMISES.confirm_begun(work, "O-1")
    await PROMISES.confirm(work, "O-1", refuse=False)
    await PROMISES.confirm_begun(work, "NOBODYS")
    assert work.mark() == before


async def test_what_is_left_to_pick_is_allocated_anew_and_must_be_free() -> None:
    work = await expired_with(free=5, picked=3)
    await PROMISES.confirm(work, "O-1", refuse=False)
    reservation = (await work.state(RESERVATION, "O-1")).state
    buckets = (await work.state(STOCK, BREAD)).state.buckets
    assert reservation.status is Status.CONFIRMED
    assert (buckets.free, buckets.allocated, buckets.picked) == (0, 2, 3)


async def test_a_platform_that_has_allocated_a_part_leaves_the_rest_to_allocate() -> None:
    work = await expired_with(free=9, picked=1)
    platform = [PromiseOnline(Cause.CONFIRM, "O-1", 2, "c", NOON)]
    platform += [PromiseOnline(Cause.HOLD, "O-1", 1, "w", NOON)]
    await record(work, [(BREAD, one) for one in platform])
    await PROMISES.confirm(work, "O-1", refuse=False)
    buckets = (await work.state(STOCK, BREAD)).state.buckets
    assert (buckets.free, buckets.held, buckets.allocated, buckets.picked) == (4, 0, 4, 1)


async def test_the_same_file_again_changes_nothing_and_puts_nothing_aside() -> None:
    """Reserved, confirmed and released in one file: each row is known when it comes again."""
    work = LedgerInMemory()
    await record(work, [(MILK, Receive(5, "n", NOON))])
    line = Line("paris", "milk", 2)
    rows = [
        Asked(n, "R-1", action, line)
        for n, action in enumerate((Action.RESERVE, Action.CONFIRM, Action.RELEASE))
    ]
    first = await post_reservations(work, rows, PROMISES)
    assert (first.recorded, first.duplicates, first.refused) == (3, 0, [])
    before = {name: len(events) for name, events in work.streams.items()}
    again = await post_reservations(work, rows, PROMISES)
    assert (again.recorded, again.duplicates, again.refused) == (0, 3, [])
    assert {name: len(events) for name, events in work.streams.items()} == before
