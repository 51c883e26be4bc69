"""Images and counts: what was seen at a time is true of that time, whatever arrives when."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain
from typing import cast

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from services.kernel.application.work import Sql, Versioned
from services.stock_ledger.adapters.event_codec import event_codec
from services.stock_ledger.application.images import Images
from services.stock_ledger.domain.entry import Buckets, Cause, EntryPosted, Posting, Reserved
from services.stock_ledger.domain.image import Basis, Observed, Seen, change, including, measured
from services.stock_ledger.domain.stock_commands import (
    Adjust,
    AdjustmentReason,
    Command,
    Confirm,
    HandOver,
    Hold,
    Observe,
    Pick,
    Receive,
    Refusal,
    SellAtTill,
    Ship,
    TakeBack,
)
from services.stock_ledger.domain.stock_item import STOCK, STOCK_ITEM, stock_key
from tests.support.at_once import at_once
from tests.unit.stock_ledger.ledger_in_memory import NOON, LedgerInMemory

MILK = stock_key("paris", "milk")


def at(minute: int) -> datetime:
    return NOON + timedelta(minutes=minute)


def balance_at(events: Sequence[EntryPosted], until: datetime) -> Buckets:
    """Return what the entries that occurred by a time come to, one by one."""
    sums = dict.fromkeys(Buckets.__dataclass_fields__, 0)
    for event in events:
        if event.reports:
            gains, loses = event.postings
            told = sum(one.quantity for one in event.reports if one.occurred_at <= until)
            moved = [(gains.account, told), (loses.account, -told)]
        else:
            moved = [(posting.account, posting.quantity) for posting in event.postings]
        for account, quantity in moved:
            if account in sums and (event.reports or event.occurred_at <= until):
                sums[account] += quantity
    return Buckets(**sums)


def image(
    counted: int,
    minute: int,
    basis: Basis = Basis.PHYSICAL,
    *,
    has_picked: bool = True,
    by: Seen = Seen.IMAGE,
    source_id: str = "",
) -> Observe:
    return Observe(by, basis, has_picked, counted, source_id or f"i-{minute}", at(minute))


class Store(LedgerInMemory):
    """One product at one site, late in the day."""

    def __init__(self) -> None:
        super().__init__()
        self.at = at(1_000)
        self.images = Images(self.past)

    async def past(
        self, sql: Sql, tenant: str, asked: Sequence[tuple[str, int, datetime]]
    ) -> Sequence[Buckets]:
        return [
            balance_at(self.streams[f"stock-{key}"][:version], until)
            for key, version, until in asked
        ]

    async def tell(self, *commands: Command) -> "Store":
        for command in commands:
            if isinstance(command, Observe):
                [outcome] = await self.images.post_images(self, [(MILK, command)])
                assert outcome.refusal is None
            else:
                await self.handle(STOCK, MILK, command)
        return self

    @property
    def entries(self) -> tuple[EntryPosted, ...]:
        return self.streams.get(f"stock-{MILK}", ())

    @property
    def now(self) -> datetime:
        return self.at

    @property
    def balance(self) -> Buckets:
        return STOCK_ITEM.fold(self.entries).buckets


async def test_the_difference_is_posted_at_the_images_time_and_later_movements_stay() -> None:
    store = await Store().tell(
        Receive(10, "n", at(0)), SellAtTill(2, "t", at(20)), image(9, 10, source_id="wms")
    )
    assert store.entries[-1] == EntryPosted(
        "image",
        (Posting("free", -1), Posting("image_difference", 1)),
        Buckets(free=7),
        9,
        at(10),
        "wms",
        image=store.entries[-1].image,
    )
    seen = store.entries[-1].image
    assert seen is not None
    assert (seen.basis, seen.has_picked, seen.counted, seen.expected) == ("physical", True, 9, 10)
    assert balance_at(store.entries, at(10)).on_hand == 9


async def test_a_late_movement_was_in_the_image_already() -> None:
    store = await Store().tell(
        Receive(10, "n", at(0)), image(7, 10), SellAtTill(3, "ticket", at(5))
    )
    assert store.balance == Buckets(free=7)
    [offset, sale] = store.entries[-2:]
    assert (sale.cause, sale.after.free) == (Cause.TILL_SALE, 7)
    assert (offset.cause, offset.occurred_at) == (Cause.IMAGE_OFFSET, at(10))
    assert offset.postings == (Posting("free", 3), Posting("image_difference", -3))
    assert offset.image is not None
    assert offset.image.offset_of == "ticket"
    assert balance_at(store.entries, at(6)).free == 7  # the cause is known, and so is when
    assert balance_at(store.entries, at(10)).free == 7
    again = len(store.entries)
    await store.tell(SellAtTill(3, "ticket", at(5)))
    assert len(store.entries) == again


async def test_a_late_sale_never_makes_it_look_as_if_too_much_was_promised() -> None:
    store = await Store().tell(
        Receive(3, "n", at(0)),
        image(0, 10),
        SellAtTill(3, "t", at(5)),
    )
    assert [entry.after.free for entry in store.entries] == [3, 0, 3, 0]


async def test_an_older_image_is_kept_and_moves_nothing() -> None:
    store = await Store().tell(Receive(10, "n", at(0)), image(8, 10), image(5, 7))
    assert store.balance == Buckets(free=8)
    assert (store.entries[-1].cause, store.entries[-1].postings) == (Cause.IMAGE_KEPT, ())
    before = len(store.entries)
    await store.tell(image(5, 7), image(8, 10))  # both are known
    assert len(store.entries) == before


async def test_an_image_of_a_time_to_come_is_of_now() -> None:
    store = await Store().tell(Receive(10, "n", at(0)), image(8, 2_000))
    assert store.entries[-1].occurred_at == store.at
    await store.tell(Hold("alice", 1, at(999)))  # promises are made after it, by any clock
    assert store.entries[-1].occurred_at > store.at


@pytest.mark.parametrize(
    ("basis", "has_picked", "counted"),
    [
        (Basis.PHYSICAL, True, 10),
        (Basis.PHYSICAL, False, 8),
        (Basis.AVAILABLE, True, 9),
        (Basis.AVAILABLE, False, 7),
    ],
)
async def test_a_right_image_changes_nothing_whatever_it_counts(
    basis: Basis, *, has_picked: bool, counted: int
) -> None:
    """Ten in the house: two in totes, one still promised, seven free."""
    store = await Store().tell(
        *(Receive(10, "n", at(0)), Hold("a", 3, at(1)), Confirm("a", at(2))),
        Pick("a", 2, "p", at(3)),
    )
    before = store.balance
    await store.tell(image(counted, 10, basis, has_picked=has_picked))
    assert store.balance == before
    assert store.entries[-1].postings == ()
    await store.tell(Receive(5, "late", at(4)))
    assert store.balance == before  # settled, although nothing differed


@pytest.mark.parametrize("heard", ["before", "after", "between"])
async def test_a_count_while_somebody_picks_is_safe(heard: str) -> None:
    """Five lie on the shelf when it is counted: three of ten were picked, two were never there."""
    way: list[Command] = [Receive(10, "n", at(0)), Hold("a", 4, at(1)), Confirm("a", at(2))]
    early, late = Pick("a", 3, "p-1", at(3)), Pick("a", 1, "p-2", at(7))
    count = image(5, 5, has_picked=False, by=Seen.STOCKTAKE)
    orders: dict[str, list[Command]] = {
        "before": [early, late, count],
        "after": [count, late, early],
        "between": [early, count, late],
    }
    store = await Store().tell(*way, *orders[heard])
    assert store.balance == Buckets(free=4, picked=4)
    await store.tell(HandOver("a", 4, "h", at(9)))
    assert store.balance == Buckets(free=4)
    differences = [
        posting.quantity
        for entry in store.entries
        for posting in entry.postings
        if posting.account == "count_difference"
    ]
    assert sum(differences) == 2


async def test_two_images_that_count_differently_both_stay_true() -> None:
    store = await Store().tell(
        *(Receive(10, "n", at(0)), Hold("a", 3, at(1)), Confirm("a", at(2))),
        image(10, 10),
        image(10, 20, has_picked=False),
        Pick("a", 3, "late", at(5)),
    )
    assert balance_at(store.entries, at(10)).on_hand == 10
    assert measured(balance_at(store.entries, at(20)), "physical", has_picked=False) == 10


async def test_a_repeat_of_an_image_with_another_number_is_refused() -> None:
    store = await Store().tell(image(5, 10, source_id="x"))
    [outcome] = await store.images.post_images(store, [(MILK, image(6, 10, source_id="x"))])
    assert outcome.refusal is not None
    assert outcome.refusal.reason is Refusal.IDEMPOTENCY_MISMATCH


async def test_rows_of_one_call_see_each_other() -> None:
    store = await Store().tell(Receive(10, "n", at(0)), SellAtTill(1, "t", at(30)))
    rows = [(MILK, image(9, 10)), (MILK, image(4, 20)), (MILK, image(5, 15))]
    outcomes = await store.images.post_images(store, rows)
    assert [outcome.is_recorded for outcome in outcomes] == [True, True, True]
    assert [entry.cause for entry in store.entries[-3:]] == ["image", "image", "image_kept"]
    assert store.balance == Buckets(free=3)


def test_the_oldest_of_very_many_images_is_forgotten() -> None:
    observed: tuple[Observed, ...] = ()
    for minute in range(500):
        [entry] = STOCK_ITEM.decide(image(0, minute), STOCK_ITEM.initial)
        observed = including(observed, entry)
    assert len(observed) == 400
    assert observed[-1].at == at(499)


@pytest.mark.parametrize("gone", [HandOver, Ship])
@pytest.mark.parametrize("first", ["pick", "gone", "gone, then count"])
async def test_a_count_between_a_pick_and_a_handover_is_right_in_any_order(
    first: str, gone: type[HandOver | Ship]
) -> None:
    """Fifteen lie on the shelf when it is counted; five are in a tote, and leave after it."""
    pick, leave = Pick("a", 5, "p", at(3)), gone("a", 5, "h", at(6))
    count = image(15, 4, has_picked=False, by=Seen.STOCKTAKE)
    orders: dict[str, list[Command]] = {
        "pick": [count, pick, leave],
        "gone": [count, leave, pick],
        "gone, then count": [leave, pick, count],
    }
    way: list[Command] = [Receive(20, "n", at(0)), Hold("a", 5, at(1)), Confirm("a", at(2))]
    store = await Store().tell(*way, *orders[first])
    assert store.balance == Buckets(free=15)
    then = balance_at(store.entries, at(4))
    assert (then.free, then.allocated, then.picked) == (15, 0, 5)
    known = len(store.entries)
    await store.tell(*orders[first])
    assert len(store.entries) == known


async def test_a_pick_is_in_part_late_and_in_part_not() -> None:
    store = await Store().tell(
        *(Receive(20, "n", at(0)), Hold("a", 5, at(1)), Confirm("a", at(2))),
        *(image(15, 4, has_picked=False), image(14, 8, has_picked=False)),
        *(HandOver("a", 1, "h-1", at(6)), HandOver("a", 2, "h-2", at(7))),
        *(Pick("a", 2, "p-1", at(3)), Pick("a", 3, "p-2", at(3))),
    )
    assert store.balance == Buckets(free=14, picked=2)
    assert balance_at(store.entries, at(5)) == Buckets(free=15, picked=5)
    assert balance_at(store.entries, at(8)) == Buckets(free=14, picked=2)
    reserved = [entry.reserved for entry in store.entries if entry.reserved is not None]
    assert reserved[-1] == Reserved(picked=2)


async def test_what_was_ahead_before_its_time_was_kept_is_caught_up_with_first() -> None:
    store = await Store().tell(
        *(Receive(20, "n", at(0)), Hold("a", 9, at(1)), Confirm("a", at(2))),
        HandOver("a", 2, "old", at(6)),
    )
    stream = f"stock-{MILK}"
    codec, gone = event_codec(), store.entries[-1]
    name, stored = codec.encode(gone)
    older = json.loads(stored)
    del older["reserved"]["left"]
    old = cast("EntryPosted", codec.decode(name, json.dumps(older).encode()))
    assert old.reserved == Reserved(allocated=7, ahead=2)
    entries = (*store.entries[:-1], old)
    store.streams[stream] = entries
    store.states[stream] = Versioned(STOCK_ITEM.fold(entries), len(entries))
    await store.tell(HandOver("a", 3, "new", at(7)), Pick("a", 6, "p", at(3)))
    assert store.balance == Buckets(free=11, allocated=3, picked=1)
    assert store.entries[-1].reserved == Reserved(allocated=3, picked=1)
    assert codec.decode(*codec.encode(store.entries[-1])) == store.entries[-1]


quantities = st.integers(1, 9)
minutes = st.integers(0, 60)
reasons = st.sampled_from([r for r in AdjustmentReason if r is not AdjustmentReason.QUARANTINE])
movements: st.SearchStrategy[Command] = st.one_of(
    st.builds(Receive, quantities, st.just(""), minutes.map(at)),
    st.builds(SellAtTill, quantities, st.just(""), minutes.map(at)),
    st.builds(Adjust, reasons, st.integers(-9, 9).filter(bool), st.just(""), minutes.map(at)),
    st.builds(TakeBack, quantities, st.booleans(), st.just(""), minutes.map(at)),
    st.builds(Pick, st.sampled_from("ab"), quantities, st.just(""), minutes.map(at)),
)
# What was picked and left: each part under a reservation that has enough for all of them.
parts = st.tuples(st.sampled_from("cd"), quantities, minutes, minutes, st.booleans())
PROMISED: list[Command] = [Receive(200, "first", at(-9))]
for each in "cd":
    PROMISED += [Hold(each, 90, at(-8)), Confirm(each, at(-7))]


def left(part: tuple[str, int, int, int, bool]) -> list[Command]:
    reservation_id, quantity, picked, gone, is_shipped = part
    leave = Ship if is_shipped else HandOver
    return [
        Pick(reservation_id, quantity, "", at(picked)),
        leave(reservation_id, quantity, "", at(gone)),
    ]


images = st.builds(
    Observe,
    st.sampled_from(Seen),
    st.sampled_from(Basis),
    st.booleans(),
    st.integers(0, 30),
    st.just(""),
    minutes.map(at),
)


@settings(max_examples=200, deadline=None)
@for_all(
    st.lists(movements, max_size=12),
    st.lists(parts, max_size=4),
    st.lists(images, min_size=1, max_size=4, unique_by=lambda one: one.occurred_at),
    st.data(),
)
def test_the_rule_holds_under_every_order_of_arrival(
    moved: list[Command],
    gone: list[tuple[str, int, int, int, bool]],
    seen: list[Observe],
    data: st.DataObject,
) -> None:
    """The newest image decides; the last of all says what is there now."""
    told = [
        replace(cast("Observe", command), source_id=f"s-{n}")
        for n, command in enumerate([*moved, *chain.from_iterable(map(left, gone)), *seen])
    ]
    orders = [told, data.draw(st.permutations(told)), data.draw(st.permutations(told))]
    balances = set()
    for order in orders:
        store = at_once(Store().tell(*PROMISED, *order))
        at_once(store.tell(*order))  # all of it once more: every repeat is known
        applied = [e for e in store.entries if e.cause in (Cause.IMAGE, Cause.STOCKTAKE)]
        for entry in applied:
            assert entry.image is not None
            then = balance_at(store.entries, entry.occurred_at)
            image_now = measured(then, entry.image.basis, has_picked=entry.image.has_picked)
            assert image_now == entry.image.counted
        assert all(sum(p.quantity for p in entry.postings) == 0 for entry in store.entries)
        assert max(e.occurred_at for e in applied) == max(one.occurred_at for one in seen)
        assert STOCK_ITEM.fold(store.entries).buckets == balance_at(store.entries, at(2_000))
        balances.add(store.balance)
    assert len(balances) == 1


@for_all(st.builds(Buckets, *[st.integers(-9, 9)] * 6), st.sampled_from(Basis), st.booleans())
def test_what_an_image_sees_is_what_its_movements_change(
    buckets: Buckets,
    basis: Basis,
    has_picked: bool,  # noqa: FBT001 - drawn by name
) -> None:
    postings = [Posting(name, getattr(buckets, name)) for name in Buckets.__dataclass_fields__]
    entry = EntryPosted("image", tuple(postings), buckets, 0, NOON)
    assert change(entry, basis, has_picked=has_picked) == measured(
        buckets, basis, has_picked=has_picked
    )
