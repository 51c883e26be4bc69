"""What moves stock, and the one promise: nobody is promised what is not there."""

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from services.kernel.domain.errors import Rejected
from services.stock_ledger.domain.entry import (
    FACTS,
    Buckets,
    Cause,
    EntryPosted,
    Posting,
    Report,
    Reserved,
)
from services.stock_ledger.domain.postings import RULES, WRITABLE_BUCKETS, Post
from services.stock_ledger.domain.stock_commands import (
    Adjust,
    AdjustmentReason,
    Allocate,
    Check,
    Command,
    Confirm,
    Deliver,
    HandOver,
    Hold,
    Pick,
    PromiseOnline,
    PutBack,
    Receive,
    Refusal,
    Release,
    SellAtTill,
    Ship,
    Short,
    TakeBack,
)
from services.stock_ledger.domain.stock_item import STOCK_ITEM
from services.stock_ledger.domain.stock_state import Event
from tests.support.given import given

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def history(*commands: Command) -> list[Event]:
    events: list[Event] = []
    for command in commands:
        events += STOCK_ITEM.decide(command, STOCK_ITEM.fold(events))
    return events


def balance(*commands: Command) -> Buckets:
    return STOCK_ITEM.fold(history(*commands)).buckets


TEN = Receive(10, "note-1", NOON)
ALICE_4 = Hold("alice", 4, NOON)
ALICE_CONFIRMED = Confirm("alice", NOON)


def test_goods_receipt_makes_units_free() -> None:
    given(STOCK_ITEM).when(TEN).then(
        EntryPosted(
            "goods_receipt",
            (Posting("free", 10), Posting("supplier", -10)),
            Buckets(free=10),
            10,
            NOON,
            "note-1",
        )
    )


def test_the_same_delivery_note_counts_once() -> None:
    given(STOCK_ITEM, *history(TEN)).when(TEN).then_nothing()


def test_a_delivery_note_with_another_quantity_is_refused() -> None:
    given(STOCK_ITEM, *history(TEN)).when(Receive(11, "note-1", NOON)).then_rejected(
        Refusal.IDEMPOTENCY_MISMATCH
    )


def test_a_hold_takes_from_free() -> None:
    given(STOCK_ITEM, *history(TEN)).when(ALICE_4).then(
        EntryPosted(
            "hold",
            (Posting("held", 4), Posting("free", -4)),
            Buckets(free=6, held=4),
            4,
            NOON,
            "",
            "alice",
            Reserved(held=4),
        )
    )


def test_promised_units_cannot_be_promised_twice() -> None:
    given(STOCK_ITEM, *history(TEN, ALICE_4)).when(Hold("bob", 7, NOON)).then_rejected(
        Refusal.OUT_OF_STOCK
    )
    given(STOCK_ITEM, *history(TEN, ALICE_4)).when(Check(7)).then_rejected(Refusal.OUT_OF_STOCK)
    given(STOCK_ITEM, *history(TEN, ALICE_4)).when(Check(6)).then_nothing()


def test_repeating_a_hold_changes_nothing_and_another_quantity_is_refused() -> None:
    past = history(TEN, ALICE_4)
    given(STOCK_ITEM, *past).when(ALICE_4).then_nothing()
    given(STOCK_ITEM, *past).when(Hold("alice", 5, NOON)).then_rejected(
        Refusal.IDEMPOTENCY_MISMATCH
    )


def test_a_till_sale_is_always_true() -> None:
    assert balance(TEN, ALICE_4, SellAtTill(8, "ticket-1", NOON)) == Buckets(free=-2, held=4)


def test_a_till_sale_can_be_taken_back() -> None:
    assert balance(TEN, SellAtTill(-2, "ticket-2", NOON)) == Buckets(free=12)


def test_confirming_allocates_once() -> None:
    past = history(TEN, ALICE_4, ALICE_CONFIRMED)
    assert STOCK_ITEM.fold(past).buckets == Buckets(free=6, allocated=4)
    given(STOCK_ITEM, *past).when(ALICE_CONFIRMED).then_nothing()


def test_releasing_gives_back_what_is_held_or_allocated_but_not_what_is_picked() -> None:
    picked_1 = Pick("alice", 1, "pick-1", NOON)
    assert balance(TEN, ALICE_4, ALICE_CONFIRMED, picked_1, Release("alice", NOON)) == Buckets(
        free=9, picked=1
    )
    assert balance(TEN, ALICE_4, Release("alice", NOON, is_expiry=True)) == Buckets(free=10)
    given(STOCK_ITEM, *history(TEN)).when(Release("alice", NOON)).then_nothing()


def test_an_expired_hold_can_be_allocated_anew() -> None:
    past = history(TEN, ALICE_4, Release("alice", NOON, is_expiry=True))
    state = STOCK_ITEM.fold(
        [*past, *STOCK_ITEM.decide(Allocate("alice", 4, NOON), STOCK_ITEM.fold(past))]
    )
    assert state.buckets == Buckets(free=6, allocated=4)
    assert list(STOCK_ITEM.decide(Allocate("alice", 4, NOON), state)) == []


def test_an_order_walks_through_the_accounts() -> None:
    way: list[Command] = [TEN, ALICE_4, ALICE_CONFIRMED, Pick("alice", 4, "p", NOON)]
    assert balance(*way) == Buckets(free=6, picked=4)
    assert balance(*way, HandOver("alice", 4, "h", NOON)) == Buckets(free=6)
    shipped: list[Command] = [*way, Ship("alice", 4, "s", NOON)]
    assert balance(*shipped) == Buckets(free=6)
    delivered = history(*shipped, Deliver("alice", 4, "d", NOON))
    assert dict(STOCK_ITEM.fold(delivered).open.items()) == {}
    assert delivered[-1].postings == (Posting("customer", 4), Posting("transit", -4))


def test_a_missing_unit_is_shrinkage_and_a_spoilt_one_stays_in_the_house() -> None:
    way: list[Command] = [TEN, ALICE_4, ALICE_CONFIRMED]
    lost = Short("alice", 1, is_damaged=False, source_id="s-1", occurred_at=NOON)
    spoilt = Short("alice", 1, is_damaged=True, source_id="s-2", occurred_at=NOON)
    assert balance(*way, lost, spoilt) == Buckets(free=6, allocated=2, damaged=1)
    assert balance(*way, lost, spoilt).on_hand == 9


def test_put_back_returns_only_what_was_picked() -> None:
    way: list[Command] = [TEN, ALICE_4, ALICE_CONFIRMED, Pick("alice", 3, "p", NOON)]
    assert balance(*way, PutBack("alice", 3, "b", NOON)) == Buckets(free=9, allocated=1)
    given(STOCK_ITEM, *history(*way)).when(PutBack("alice", 4, "b", NOON)).then_rejected(
        Refusal.STEP_CONFLICT
    )


def test_weighed_goods_may_weigh_more_than_was_ordered() -> None:
    way: list[Command] = [Receive(5_000, "n", NOON), Hold("a", 1_500, NOON), Confirm("a", NOON)]
    assert balance(*way, Pick("a", 1_540, "p", NOON)) == Buckets(free=3_460, picked=1_540)


def test_a_pick_heard_after_its_order_was_cancelled_is_still_a_fact() -> None:
    way: list[Command] = [Receive(4, "n", NOON), ALICE_4, ALICE_CONFIRMED, Release("alice", NOON)]
    late: list[Command] = [*way, Hold("bob", 4, NOON), Pick("alice", 4, "p", NOON)]
    assert balance(*late) == Buckets(free=-4, held=4, picked=4)
    assert balance(*late, PutBack("alice", 4, "b", NOON)) == Buckets(free=0, held=4)


@pytest.mark.parametrize("leave", [HandOver("alice", 4, "h", NOON), Ship("alice", 4, "h", NOON)])
def test_a_handover_heard_before_its_pick_leads_to_the_same_balance(leave: Command) -> None:
    way: list[Command] = [TEN, ALICE_4, ALICE_CONFIRMED]
    picks: list[Command] = [Pick("alice", 3, "p-1", NOON), Pick("alice", 1, "p-2", NOON)]
    for order in ([*picks, leave], [leave, *picks], [picks[0], leave, picks[1]]):
        assert balance(*way, *order) == Buckets(free=6)
    assert dict(STOCK_ITEM.fold(history(*way, leave, *picks)).open.items()).keys() == (
        {"alice"} if isinstance(leave, Ship) else set()
    )


@pytest.mark.parametrize("leave", [HandOver, Ship])
def test_a_pick_of_more_than_was_ordered_may_be_heard_after_its_goods_left(
    leave: type[HandOver | Ship],
) -> None:
    way: list[Command] = [Receive(5_000, "n", NOON), Hold("a", 1_500, NOON), Confirm("a", NOON)]
    left = leave("a", 1_540, "h", NOON, may_be_over=True)
    picks: list[Command] = [Pick("a", 1_500, "p-1", NOON), Pick("a", 40, "p-2", NOON)]
    for order in ([*picks, left], [left, *picks], [picks[0], left, picks[1]], [left, *picks[::-1]]):
        assert balance(*way, *order) == Buckets(free=3_460)
        has = STOCK_ITEM.fold(history(*way, *order)).open.get("a")
        assert (has.transit, has.ahead) == (1_540, 0) if has else leave is HandOver
    closed: list[Command] = [*way, Release("a", NOON)]
    given(STOCK_ITEM, *history(*closed)).when(left).then_rejected(Refusal.STEP_CONFLICT)


def test_nobody_gets_more_than_his_reservation_has() -> None:
    past = history(TEN, ALICE_4, ALICE_CONFIRMED)
    for greedy in (
        HandOver("alice", 5, "h", NOON),
        Ship("bob", 1, "h", NOON),
        Deliver("alice", 1, "d", NOON),
    ):
        given(STOCK_ITEM, *past).when(greedy).then_rejected(Refusal.STEP_CONFLICT)


def test_adjustments_move_between_free_and_their_account() -> None:
    for reason in AdjustmentReason:
        [_, entry] = history(TEN, Adjust(reason, -3, "a", NOON))
        assert entry.after.free == 7
        assert sum(posting.quantity for posting in entry.postings) == 0
    assert balance(Adjust(AdjustmentReason.COUNT, -3, "a", NOON)) == Buckets(free=-3)


def test_quarantine_cannot_take_what_is_not_there() -> None:
    set_aside = Adjust(AdjustmentReason.QUARANTINE, -3, "q-1", NOON)
    assert balance(TEN, set_aside) == Buckets(free=7, quarantine=3)
    for quantity in (-8, 4):
        given(STOCK_ITEM, *history(TEN, set_aside)).when(
            Adjust(AdjustmentReason.QUARANTINE, quantity, "q-2", NOON)
        ).then_rejected(Refusal.OUT_OF_STOCK)


def test_returned_goods_are_free_again_or_destroyed() -> None:
    assert balance(TakeBack(2, is_sellable=True, source_id="r-1", occurred_at=NOON)).free == 2
    [entry] = history(TakeBack(2, is_sellable=False, source_id="r-1", occurred_at=NOON))
    assert entry.postings == (Posting("destroyed", 2), Posting("customer", -2))
    assert entry.after == Buckets()


quantities = st.integers(1, 9)
whose = st.sampled_from(["alice", "bob", "carol"])
sources = st.integers(0, 200).map(str)
at = st.just(NOON)
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(Receive, quantities, sources, at),
    st.builds(
        Adjust, st.sampled_from(AdjustmentReason), st.integers(-9, 9).filter(bool), sources, at
    ),
    st.builds(SellAtTill, st.integers(-3, 9).filter(bool), sources, at),
    st.builds(Hold, whose, quantities, at),
    st.builds(Allocate, whose, quantities, at),
    st.builds(Confirm, whose, at),
    st.builds(Release, whose, at, st.booleans()),
    st.builds(Pick, whose, quantities, sources, at),
    st.builds(Short, whose, quantities, st.booleans(), sources, at),
    st.builds(PutBack, whose, quantities, sources, at),
    st.builds(HandOver, whose, quantities, sources, at, st.booleans()),
    st.builds(Ship, whose, quantities, sources, at, st.booleans()),
    st.builds(Deliver, whose, quantities, sources, at),
    st.builds(TakeBack, quantities, st.booleans(), sources, at),
    st.builds(
        Post,
        # Transfers move transit that belongs to no reservation.
        st.sampled_from([cause for cause in RULES if "transit" not in RULES[cause]]),
        st.lists(st.builds(Report, sources, st.integers(-3, 9).filter(bool), at), min_size=1).map(
            tuple
        ),
        st.sampled_from(WRITABLE_BUCKETS),
    ),
    st.builds(
        PromiseOnline,
        st.sampled_from([Cause.HOLD, Cause.CONFIRM, Cause.RELEASE]),
        whose,
        quantities,
        sources,
        at,
    ),
)


@settings(max_examples=200)
@for_all(st.lists(commands, max_size=50))
def test_any_script_balances_keeps_its_promises_and_every_retry_is_silent(
    script: list[Command],
) -> None:
    item = STOCK_ITEM.initial
    accounts: dict[str, int] = defaultdict(int)
    for command in script:
        try:
            events = STOCK_ITEM.decide(command, item)
        except Rejected:
            continue
        before = item.buckets.free
        for event in events:
            assert sum(posting.quantity for posting in event.postings) == 0
            for posting in event.postings:
                accounts[posting.account] += posting.quantity
            assert event.after.free >= min(before, 0) or event.cause in FACTS
            item = STOCK_ITEM.evolve(item, event)
        assert all(
            accounts[name] == getattr(item.buckets, name) for name in Buckets.__dataclass_fields__
        )
        open_now = dict(item.open.items()).values()
        assert item.buckets.held == sum(reserved.held for reserved in open_now)
        assert item.buckets.allocated == sum(reserved.allocated for reserved in open_now)
        assert item.buckets.picked == sum(reserved.picked for reserved in open_now)
        assert accounts["transit"] == sum(reserved.transit for reserved in open_now)
        assert min(replace(item.buckets, free=0).on_hand, item.buckets.held) >= 0
        assert list(STOCK_ITEM.decide(command, item)) == []


def test_every_cause_is_named_as_it_is_stored() -> None:
    assert all(cause.value == cause.name.lower() for cause in Cause)
