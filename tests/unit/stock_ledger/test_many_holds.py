"""Many holds in one entry come to the same as one after the other."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from services.kernel.domain.errors import Rejected
from services.stock_ledger.domain import stock_commands
from services.stock_ledger.domain.entry import (
    ALLOCATED,
    FREE,
    HELD,
    Buckets,
    Cause,
    EntryPosted,
    Posting,
    Reserved,
    Share,
)
from services.stock_ledger.domain.expiry import EXPIRY, ExpiryNoted, Note
from services.stock_ledger.domain.many_holds import MANY_HOLDS, ExpireAll, HoldAll, Refusal, take
from services.stock_ledger.domain.standing import Standing
from services.stock_ledger.domain.stock_item import STOCK_ITEM
from services.stock_ledger.domain.stock_state import StockItem
from tests.support.given import given

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DECIDER = MANY_HOLDS.decider


def received(quantity: int) -> EntryPosted:
    [entry] = STOCK_ITEM.decide(stock_commands.Receive(quantity, "note-1", NOON), StockItem())
    return entry


def held(*shares: Share, free: int) -> EntryPosted:
    total = sum(share.quantity for share in shares)
    return EntryPosted(
        "hold",
        (Posting(HELD, total), Posting(FREE, -total)),
        Buckets(free=free, held=total),
        total,
        NOON,
        shares=shares,
    )


A, B = Share("A", 2), Share("B", 3)


def test_many_are_held_by_one_entry() -> None:
    given(DECIDER, received(10)).when(HoldAll((A, B), NOON)).then(held(A, B, free=5))


def test_one_alone_is_an_entry_of_his_own() -> None:
    entry = EntryPosted(
        "hold",
        (Posting(HELD, 2), Posting(FREE, -2)),
        Buckets(free=8, held=2),
        2,
        NOON,
        reservation_id="A",
        reserved=Reserved(held=2),
    )
    given(DECIDER, received(10)).when(HoldAll((A,), NOON)).then(entry)


def test_together_they_never_take_more_than_is_free() -> None:
    given(DECIDER, received(4)).when(HoldAll((A, B), NOON)).then_rejected(Refusal.OUT_OF_STOCK)


def test_who_has_something_already_is_no_part_of_it() -> None:
    first = held(A, B, free=5)
    again = HoldAll((A, Share("C", 1)), NOON)
    given(DECIDER, received(10), first).when(again).then_rejected(Refusal.IDEMPOTENCY_MISMATCH)


def test_many_run_out_by_one_entry_and_those_who_hold_nothing_are_passed_over() -> None:
    given(DECIDER, received(10), held(A, B, free=5)).when(
        ExpireAll(("A", "nobody", "B"), NOON)
    ).then(
        EntryPosted(
            "hold_expired",
            (Posting(FREE, 5), Posting(HELD, -5)),
            Buckets(free=10),
            5,
            NOON,
            shares=(A, B),
        )
    )


def test_who_was_picked_for_gets_an_entry_of_his_own() -> None:
    history = [received(10), held(A, B, Share("C", 1), free=4)]
    item = STOCK_ITEM.fold(history)
    history += STOCK_ITEM.decide(stock_commands.Pick("B", 1, "pick-1", NOON), item)
    entries = DECIDER.decide(ExpireAll(("A", "B", "C"), NOON), STOCK_ITEM.fold(history))
    assert [(entry.cause, entry.reservation_id, entry.quantity) for entry in entries] == [
        ("hold_expired", "", 3),
        ("hold_expired", "B", 2),
    ]
    after = STOCK_ITEM.fold([*history, *entries])
    assert after.buckets == Buckets(free=9, picked=1)
    assert dict(after.open.items()) == {"B": Standing(picked=1, since=2)}


@settings(max_examples=150, deadline=None)
@for_all(
    free=st.integers(0, 40),
    quantities=st.lists(st.integers(1, 9), min_size=1, max_size=60),
    confirmed=st.sets(st.integers(0, 59)),
)
def test_many_at_once_come_to_the_same_as_one_after_the_other(
    free: int, quantities: list[int], confirmed: set[int]
) -> None:
    """Rounds of any size, then confirmations, then everything runs out."""
    one_by_one = STOCK_ITEM.fold([received(free)] if free else [])
    together = one_by_one
    left = {"item": free}
    shares = []
    for n, quantity in enumerate(quantities):
        try:
            for entry in STOCK_ITEM.decide(
                stock_commands.Hold(f"R{n}", quantity, NOON), one_by_one
            ):
                one_by_one = STOCK_ITEM.evolve(one_by_one, entry)
        except Rejected:
            assert take(left, [("item", quantity)]) == (("item", left["item"]),)
        else:
            assert take(left, [("item", quantity)]) == ()
            shares.append(Share(f"R{n}", quantity))
    if shares:
        for entry in DECIDER.decide(HoldAll(tuple(shares), NOON), together):
            assert sum(posting.quantity for posting in entry.postings) == 0
            together = DECIDER.evolve(together, entry)
    assert together.buckets == one_by_one.buckets
    assert dict(together.open.items()) == dict(one_by_one.open.items())
    for n in confirmed:
        for entry in STOCK_ITEM.decide(stock_commands.Confirm(f"R{n}", NOON), together):
            together = STOCK_ITEM.evolve(together, entry)
    held_ids = tuple(
        reservation_id for reservation_id, has in together.open.items() if not has.allocated
    )
    later = NOON + timedelta(minutes=15)
    for entry in DECIDER.decide(ExpireAll(held_ids, later), together):
        together = DECIDER.evolve(together, entry)
    allocated = sum(has.allocated for _, has in together.open.items())
    assert together.buckets == replace(Buckets(), free=free - allocated, allocated=allocated)
    assert DECIDER.decide(ExpireAll(held_ids, later), together) == []


def test_a_basket_is_taken_whole_or_not_at_all() -> None:
    free = {"a": 5, "b": 1}
    assert take(free, [("a", 2), ("b", 2)]) == (("b", 1),)
    assert free == {"a": 5, "b": 1}
    assert take(free, [("a", 5), ("b", 1)]) == ()
    assert free == {"a": 0, "b": 0}


def test_below_zero_is_told_as_nothing_free() -> None:
    assert take({"a": -3}, [("a", 1)]) == (("a", 0),)


def test_what_runs_out_together_is_noted_once() -> None:
    noted = ExpiryNoted(("A", "B"), NOON)
    given(EXPIRY.decider).when(Note(("A", "B"), NOON)).then(noted)
    given(EXPIRY.decider, noted).when(Note(("C",), NOON)).then_nothing()


@pytest.mark.parametrize("cause", [Cause.HOLD, Cause.HOLD_EXPIRED])
def test_accounts_of_shared_entries_are_held_and_free_only(cause: Cause) -> None:
    item = STOCK_ITEM.fold([received(10), held(A, B, free=5)])
    [entry] = (
        DECIDER.decide(HoldAll((Share("C", 1), Share("D", 1)), NOON), item)
        if cause is Cause.HOLD
        else DECIDER.decide(ExpireAll(("A", "B"), NOON), item)
    )
    assert {posting.account for posting in entry.postings} == {HELD, FREE}
    assert ALLOCATED not in {posting.account for posting in entry.postings}
