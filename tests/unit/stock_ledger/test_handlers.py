"""Use cases over several streams: whatever the order of things, promises are whole and kept."""

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from services.kernel.domain.errors import NotFound, Rejected
from services.stock_ledger.application.handlers import Reservations
from services.stock_ledger.application.recording import record
from services.stock_ledger.domain.entry import Cause
from services.stock_ledger.domain.reservation import RESERVATION
from services.stock_ledger.domain.reservation_events import Line, PlanDeclined
from services.stock_ledger.domain.reservation_lines import summed
from services.stock_ledger.domain.reservation_state import Reservation, Status
from services.stock_ledger.domain.stock_commands import (
    HandOver,
    Pick,
    PromiseOnline,
    Receive,
    SellAtTill,
)
from services.stock_ledger.domain.stock_item import STOCK, stock_key
from services.stock_ledger.domain.stock_state import StockItem
from tests.support.at_once import at_once
from tests.unit.stock_ledger.ledger_in_memory import NOON, LedgerInMemory, nowhere

PROMISES = Reservations(timedelta(minutes=15), nowhere)
MILK, BREAD = stock_key("paris", "milk"), stock_key("paris", "bread")

type Step = Callable[[LedgerInMemory], Awaitable[object]]


async def stocked(milk: int, bread: int) -> LedgerInMemory:
    work = LedgerInMemory()
    await record(work, [(MILK, Receive(milk, "n", NOON)), (BREAD, Receive(bread, "n", NOON))])
    return work


async def free(work: LedgerInMemory, key: str) -> int:
    return (await work.state(STOCK, key)).state.buckets.free


async def test_needs_of_the_same_product_are_summed_before_they_are_held() -> None:
    lines = [Line("paris", "milk", 2), Line("paris", "milk", 2)]
    assert summed(lines) == (Line("paris", "milk", 4),)
    work = await stocked(3, 1)
    await PROMISES.reserve_plan(work, "O-1", 1, lines)
    reservation = (await work.state(RESERVATION, "O-1")).state
    assert reservation.status is Status.REFUSED
    assert await free(work, MILK) == 3
    await PROMISES.reserve_plan(work, "O-1", 2, lines[:1])
    assert (await work.state(RESERVATION, "O-1")).state.status is Status.HELD
    assert await free(work, MILK) == 1


async def test_a_refused_caller_leaves_nothing_behind() -> None:
    work = await stocked(3, 1)
    before = work.mark()
    with pytest.raises(Rejected, match="1 of 2 lines lack stock: bread at paris has 1 free of 2"):
        await _reserve(work, "R-1", 1, 2)
    assert work.mark() == before


async def test_two_hundred_plans_for_fifty_units_hold_exactly_fifty() -> None:
    work = await stocked(50, 1_000)
    for n in range(200):
        lines = [Line("paris", "milk", 1), Line("paris", "bread", 2)]
        await PROMISES.reserve_plan(work, f"O-{n}", 1, lines)
    statuses = Counter([(await work.state(RESERVATION, f"O-{n}")).state.status for n in range(200)])
    assert statuses == {Status.HELD: 50, Status.REFUSED: 150}
    assert (await free(work, MILK), await free(work, BREAD)) == (0, 900)


async def test_a_timer_that_fires_early_is_set_again() -> None:
    work = await stocked(5, 5)
    await _reserve(work, "R-1", 1, 1)
    [due] = work.timers.values()
    work.timers.clear()
    await PROMISES.expire("R-1", work)
    assert list(work.timers.values()) == [due]
    work.at = due
    await PROMISES.expire("R-1", work)
    assert (await work.state(RESERVATION, "R-1")).state.status is Status.EXPIRED
    assert await free(work, MILK) == 5


async def test_who_asks_again_for_an_extension_is_answered_as_before() -> None:
    work = await stocked(5, 5)
    await _reserve(work, "R-1", 1, 1)
    work.command_id = "extend-1"
    first = await PROMISES.extend(work, "R-1", timedelta(hours=1))
    work.at += timedelta(minutes=5)
    assert (await PROMISES.extend(work, "R-1", timedelta(hours=1))) == first
    assert list(work.timers.values()) == [first.state.expires_at] == [NOON + timedelta(hours=1)]
    work.command_id = "extend-2"
    second = await PROMISES.extend(work, "R-1", timedelta(hours=1))
    assert second.state.expires_at == NOON + timedelta(hours=1, minutes=5)
    work.command_id = "extend-1"
    again = await PROMISES.extend(work, "R-1", timedelta(hours=1))
    assert again.state.expires_at == first.state.expires_at


async def test_an_extension_that_made_nothing_longer_makes_nothing_longer_later() -> None:
    work = await stocked(5, 5)
    await _reserve(work, "R-1", 1, 1)
    [due] = work.timers.values()
    work.command_id = "extend-1"
    assert (await PROMISES.extend(work, "R-1", timedelta(seconds=1))).state.expires_at == due
    work.at = due - timedelta(milliseconds=1)
    assert (await PROMISES.extend(work, "R-1", timedelta(seconds=1))).state.expires_at == due
    assert list(work.timers.values()) == [due]


async def test_a_plan_for_an_id_that_somebody_reserved_under_is_declined_and_he_keeps_his() -> None:
    work = await stocked(5, 5)
    lines = [Line("paris", "milk", 2), Line("paris", "bread", 1)]
    await _reserve(work, "O-1", 2, 1)
    for _ in range(2):
        await PROMISES.reserve_plan(work, "O-1", 1, lines)  # the same lines are no less his own
    declined = PlanDeclined("O-1", 1, "IDEMPOTENCY_MISMATCH")
    assert work.streams["reservation-O-1"][1:] == (declined,)
    await PROMISES.end(work, "O-1", "refused")
    await PROMISES.complete(work, "O-1")
    await PROMISES.confirm(work, "O-1", refuse=False)
    assert (await work.state(RESERVATION, "O-1")).state.status is Status.HELD
    assert (await free(work, MILK), await free(work, BREAD)) == (3, 4)
    await PROMISES.confirm(work, "O-1", refuse=True)
    await PROMISES.release(work, "O-1")
    assert await free(work, MILK) == 5
    await PROMISES.reserve_plan(work, "O-1", 2, lines)
    assert work.streams["reservation-O-1"][-1] == PlanDeclined("O-1", 2, "IDEMPOTENCY_MISMATCH")


async def test_a_plan_for_an_id_that_a_platform_holds_under_is_declined() -> None:
    work = await stocked(5, 5)
    await record(work, [(MILK, PromiseOnline(Cause.HOLD, "O-1", 2, "w-1", NOON))])
    await PROMISES.reserve_plan(work, "O-1", 1, [Line("paris", "milk", 2)])
    assert work.streams["reservation-O-1"] == (PlanDeclined("O-1", 1, "IDEMPOTENCY_MISMATCH"),)
    await PROMISES.end(work, "O-1", "refused")
    assert await free(work, MILK) == 3
    with pytest.raises(Rejected):
        await _reserve(work, "O-1", 1, 1)


async def test_what_an_order_has_is_nobody_elses_to_reserve_confirm_or_release() -> None:
    work = await stocked(5, 5)
    lines = [Line("paris", "milk", 2), Line("paris", "bread", 1)]
    await PROMISES.reserve_plan(work, "O-1", 1, lines)
    with pytest.raises(Rejected, match="used for other lines or somebody else"):
        await _reserve(work, "O-1", 2, 1)
    with pytest.raises(Rejected, match="belongs to order O-1; it is confirmed when the order is"):
        await PROMISES.confirm(work, "O-1", refuse=True)
    for is_accepted in (False, True):
        if is_accepted:
            await PROMISES.confirm(work, "O-1", refuse=False)
        with pytest.raises(Rejected, match="belongs to order O-1; cancel the order instead"):
            await PROMISES.release(work, "O-1")
    assert await free(work, MILK) == 3
    await PROMISES.end(work, "O-1", "cancelled")
    assert await PROMISES.release(work, "O-1") == (4, ())  # nothing is left to release
    assert await free(work, MILK) == 5


async def _reserve(work: LedgerInMemory, reservation_id: str, milk: int, bread: int) -> object:
    lines = [Line("paris", "milk", milk), Line("paris", "bread", bread)]
    return await PROMISES.reserve(work, reservation_id, lines, None)


ids = st.sampled_from(["A", "B", "C"])
few = st.integers(1, 5)


def _plan(order_id: str, revision: int, milk: int, bread: int) -> Step:
    lines = [Line("paris", "milk", milk), Line("paris", "bread", bread)]
    return lambda work: PROMISES.reserve_plan(work, order_id, revision, lines)


def _pick(order_id: str, quantity: int, n: int) -> Step:
    return lambda work: work.handle(STOCK, MILK, Pick(order_id, quantity, f"p{n}", NOON))


def _hand_over(order_id: str, quantity: int, n: int) -> Step:
    return lambda work: work.handle(STOCK, MILK, HandOver(order_id, quantity, f"h{n}", NOON))


def _sell(quantity: int, n: int) -> Step:
    return lambda work: work.handle(STOCK, MILK, SellAtTill(quantity, f"t{n}", NOON))


def _reserving(reservation_id: str, milk: int, bread: int) -> Step:
    return lambda work: _reserve(work, reservation_id, milk, bread)


def _after(minutes: int, reservation_id: str) -> Step:
    async def expire(work: LedgerInMemory) -> None:
        work.at += timedelta(minutes=minutes)
        await PROMISES.expire(reservation_id, work)

    return expire


def _confirm(reservation_id: str, *, refuse: bool) -> Step:
    return lambda work: PROMISES.confirm(work, reservation_id, refuse=refuse)


def test_a_caller_cannot_confirm_what_never_was() -> None:
    """The order's own acceptance may overtake its hold; a caller's confirmation may not."""

    async def script() -> None:
        with pytest.raises(NotFound):
            await PROMISES.confirm(await stocked(3, 3), "NOBODY", refuse=True)

    at_once(script())


steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(_plan, ids, st.integers(1, 3), few, few),
    st.builds(_reserving, ids, few, few),
    st.builds(_confirm, ids, refuse=st.booleans()),
    st.builds(lambda one: lambda work: PROMISES.release(work, one), ids),
    st.builds(lambda one: lambda work: PROMISES.end(work, one, "cancelled"), ids),
    st.builds(lambda one: lambda work: PROMISES.complete(work, one), ids),
    st.builds(_after, st.sampled_from([1, 20]), ids),
    st.builds(_pick, ids, few, st.integers(0, 99)),
    st.builds(_hand_over, ids, few, st.integers(0, 99)),
    st.builds(_sell, few, st.integers(0, 99)),
)


@settings(max_examples=150, deadline=None)
@for_all(st.lists(steps, max_size=30), few, few)
def test_any_script_keeps_every_promise_whole(script: list[Step], milk: int, bread: int) -> None:
    at_once(_keeps_every_promise_whole(script, milk * 3, bread * 3))


async def _keeps_every_promise_whole(script: list[Step], milk: int, bread: int) -> None:
    work = await stocked(milk, bread)
    for step in script:
        before, closed = work.mark(), await _closed(work)
        try:
            await step(work)
        except (Rejected, NotFound):
            work.back_to(before)
        assert closed <= await _closed(work)
        for key in (MILK, BREAD):
            await _check_item((await work.state(STOCK, key)).state)
        # Nobody moves bread but by promising it: what a promise has of it is all or nothing.
        loaves = (await work.state(STOCK, BREAD)).state
        assert loaves.buckets.free >= 0
        for one in ("A", "B", "C"):
            reservation: Reservation = (await work.state(RESERVATION, one)).state
            has = loaves.open.get(one)
            wanted = {line.sku: line.quantity for line in reservation.lines}
            promised = has.held + has.allocated if has else 0
            match reservation.status:
                case Status.HELD:
                    assert has is not None
                    assert (has.held, has.allocated) == (wanted["bread"], 0)
                case Status.CONFIRMED:
                    assert has is not None
                    assert (has.held, has.allocated) == (0, wanted["bread"])
                case Status.CLOSED:
                    assert promised in (0, wanted.get("bread", 0))  # completed keeps its goods
                case _:
                    assert promised == 0


async def _closed(work: LedgerInMemory) -> set[str]:
    return {
        one
        for one in ("A", "B", "C")
        if (await work.state(RESERVATION, one)).state.status is Status.CLOSED
    }


async def _check_item(item: StockItem) -> None:
    reserved = [each for _, each in item.open.items()]
    assert item.buckets.held == sum(each.held for each in reserved)
    assert item.buckets.allocated == sum(each.allocated for each in reserved)
    assert item.buckets.picked == sum(each.picked for each in reserved)
