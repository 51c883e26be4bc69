"""Reports of the feeds: what each moves, that each counts once, and that their order is nothing."""

import random  # noqa: TID251 - seeded by hypothesis
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from services.kernel.domain.errors import Rejected
from services.stock_ledger.domain import postings
from services.stock_ledger.domain.entry import Buckets, Cause, EntryPosted, Posting, Report
from services.stock_ledger.domain.image import Basis, Seen
from services.stock_ledger.domain.persistent_map import PersistentMap
from services.stock_ledger.domain.postings import Post
from services.stock_ledger.domain.stock_commands import (
    Command,
    HandOver,
    Observe,
    Pick,
    PromiseOnline,
    Refusal,
)
from services.stock_ledger.domain.stock_item import STOCK_ITEM
from services.stock_ledger.domain.stock_reports import sort_out
from services.stock_ledger.domain.stock_state import Event
from tests.support.given import given

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
RECEIVED = Post(Cause.GOODS_RECEIPT, (Report("note-1", 10, NOON),))


def sales(*quantities: int) -> Post:
    return Post(
        Cause.TILL_SALE,
        tuple(
            Report(f"ticket-{n}", quantity, NOON + timedelta(minutes=n))
            for n, quantity in enumerate(quantities)
        ),
    )


def history(*commands: Command) -> list[Event]:
    events: list[Event] = []
    for command in commands:
        events += STOCK_ITEM.decide(command, STOCK_ITEM.fold(events))
    return events


def balance(*commands: Command) -> Buckets:
    return STOCK_ITEM.fold(history(*commands)).buckets


def test_one_report_is_an_entry_like_any_other() -> None:
    given(STOCK_ITEM).when(RECEIVED).then(
        EntryPosted(
            "goods_receipt",
            (Posting("free", 10), Posting("supplier", -10)),
            Buckets(free=10),
            10,
            NOON,
            "note-1",
        )
    )


def test_many_sales_are_one_entry_that_names_each() -> None:
    command = sales(2, 1, -1)
    given(STOCK_ITEM, *history(RECEIVED)).when(command).then(
        EntryPosted(
            "till_sale",
            (Posting("customer", 2), Posting("free", -2)),
            Buckets(free=8),
            2,
            NOON + timedelta(minutes=2),
            reports=command.reports,
        )
    )


def test_a_sale_and_its_return_in_one_file_stay_visible() -> None:
    [entry] = history(sales(3, -3))
    assert entry.postings == (Posting("customer", 0), Posting("free", 0))
    assert [report.quantity for report in entry.reports] == [3, -3]


def test_what_was_reported_before_is_left_out_of_the_entry() -> None:
    [_, second] = history(sales(2), sales(2, 5))
    assert (second.source_id, second.quantity) == ("ticket-1", 5)
    given(STOCK_ITEM, *history(sales(2, 5))).when(sales(2, 5)).then_nothing()
    given(STOCK_ITEM, *history(sales(2, 5))).when(sales(2)).then_nothing()


def test_an_id_that_stood_for_something_else_is_told_apart() -> None:
    item = STOCK_ITEM.fold(history(sales(2)))
    found = sort_out(sales(3, 4, 5), item)
    assert found.mismatched == {("ticket-0", 3)}
    assert [report.quantity for report in found.fresh] == [4, 5]
    twice = Post(Cause.TILL_SALE, (Report("a", 1, NOON), Report("a", 1, NOON)))
    assert sort_out(twice, item).fresh == twice.reports[:1]
    assert not sort_out(twice, item).mismatched


@pytest.mark.parametrize(
    ("cause", "bucket", "after"),
    [
        (Cause.BREAKAGE, "free", Buckets(free=8, quarantine=3)),
        (Cause.EXPIRY, "quarantine", Buckets(free=10, quarantine=1)),
        (Cause.RETURN_RESTOCK, "free", Buckets(free=12, quarantine=3)),
        (Cause.RETURN_QUARANTINE, "free", Buckets(free=10, quarantine=5)),
        (Cause.RETURN_WRITE_OFF, "free", Buckets(free=10, quarantine=3)),
        (Cause.QUARANTINE_RELEASED, "free", Buckets(free=12, quarantine=1)),
        (Cause.QUARANTINE_DESTROYED, "free", Buckets(free=10, quarantine=1)),
        (Cause.QUARANTINE_TO_SUPPLIER, "free", Buckets(free=10, quarantine=1)),
        (Cause.QUARANTINE_TO_CLEARANCE, "free", Buckets(free=10, quarantine=1)),
        (Cause.TRANSFER_SHIPPED, "free", Buckets(free=8, quarantine=3)),
        (Cause.TRANSFER_RECEIVED, "free", Buckets(free=12, quarantine=3)),
        (Cause.CARRIER_LOSS, "free", Buckets(free=10, quarantine=3)),
    ],
)
def test_every_cause_moves_what_its_rule_says(cause: Cause, bucket: str, after: Buckets) -> None:
    aside = Post(Cause.RETURN_QUARANTINE, (Report("return-1", 3, NOON),))
    command = Post(cause, (Report("report-1", 2, NOON),), bucket)
    [*_, entry] = history(RECEIVED, aside, command)
    assert entry.after == after
    gains, loses = command.accounts()
    assert entry.postings == (Posting(gains, 2), Posting(loses, -2))


def test_what_was_set_aside_must_be_there() -> None:
    for cause, bucket in ((Cause.QUARANTINE_DESTROYED, "free"), (Cause.THEFT, "damaged")):
        given(STOCK_ITEM, *history(RECEIVED)).when(
            Post(cause, (Report("q", 1, NOON),), bucket)
        ).then_rejected(Refusal.OUT_OF_STOCK)


def test_no_single_entry_takes_what_was_set_aside_below_zero() -> None:
    seen = Observe(Seen.IMAGE, Basis.PHYSICAL, True, 10, "image", LATER, 10)  # noqa: FBT003
    taken, put = Report("taken", -3, NOON), Report("put", 3, NOON)
    given(STOCK_ITEM, *history(RECEIVED, seen)).when(
        Post(Cause.RETURN_QUARANTINE, (taken, put))
    ).then_rejected(Refusal.OUT_OF_STOCK)
    in_turn = history(RECEIVED, seen, Post(Cause.RETURN_QUARANTINE, (put, taken)))
    assert [entry.after.quarantine for entry in in_turn if entry.image is None] == [0, 3, 0]


def online(cause: Cause, quantity: int, source_id: str) -> PromiseOnline:
    assert cause in (Cause.HOLD, Cause.CONFIRM, Cause.RELEASE)
    return PromiseOnline(cause, "web-1", quantity, source_id, NOON)


def test_an_online_order_is_held_placed_picked_and_handed_over_part_by_part() -> None:
    steps: list[Command] = [
        RECEIVED,
        online(Cause.HOLD, 3, "hold"),
        online(Cause.CONFIRM, 4, "place"),
        online(Cause.RELEASE, 1, "one-less"),
        Pick("web-1", 3, "pick", NOON),
        HandOver("web-1", 3, "gone", NOON),
    ]
    balances = [balance(*steps[: n + 1]) for n in range(len(steps))]
    assert balances == [
        Buckets(free=10),
        Buckets(free=7, held=3),
        Buckets(free=6, allocated=4),
        Buckets(free=7, allocated=3),
        Buckets(free=7, picked=3),
        Buckets(free=7),
    ]
    item = STOCK_ITEM.fold(history(*steps))
    assert all(not STOCK_ITEM.decide(step, item) for step in steps[1:4])


def test_an_online_promise_needs_stock_and_a_release_needs_a_promise() -> None:
    for command in (online(Cause.HOLD, 11, "a"), online(Cause.CONFIRM, 11, "b")):
        given(STOCK_ITEM, *history(RECEIVED)).when(command).then_rejected(Refusal.OUT_OF_STOCK)
    given(STOCK_ITEM, *history(RECEIVED)).when(online(Cause.RELEASE, 1, "c")).then_rejected(
        Refusal.STEP_CONFLICT
    )


reports = st.lists(
    st.tuples(
        st.sampled_from(sorted(postings.RULES.keys() - {Cause.CARRIER_LOSS})),
        st.integers(0, 30),
        st.integers(0, 2),
    ),
    max_size=40,
)


@settings(max_examples=150)
@for_all(reports, st.randoms(use_true_random=False), st.integers(1, 8))
def test_in_any_order_and_any_parcels_reports_come_to_the_same_balance(
    told: list[tuple[Cause, int, int]], dice: random.Random, parcel: int
) -> None:
    """Each id says one thing; repeated, reordered and grouped in any way it counts once."""
    said = {
        (cause, number): Report(f"{cause}-{number}", number % 9 + 1, NOON + timedelta(hours=hour))
        for cause, number, hour in told
    }
    # Quarantine holds enough for all, so that no order of arrival is refused.
    aside = Post(Cause.RETURN_QUARANTINE, (Report("enough", 1_000, NOON),))

    def arrived(order: list[tuple[Cause, Report]]) -> tuple[Buckets, dict[str, int]]:
        item = STOCK_ITEM.fold(history(aside))
        accounts: dict[str, int] = defaultdict(int, {"quarantine": 1_000, "customer": -1_000})
        for start in range(0, len(order), parcel):
            by_cause: dict[Cause, list[Report]] = defaultdict(list)
            for cause, report in order[start : start + parcel]:
                by_cause[cause].append(report)
            for cause, several in by_cause.items():
                for entry in STOCK_ITEM.decide(Post(cause, tuple(several)), item):
                    assert sum(posting.quantity for posting in entry.postings) == 0
                    for posting in entry.postings:
                        accounts[posting.account] += posting.quantity
                    item = STOCK_ITEM.evolve(item, entry)
        assert all(accounts[name] == getattr(item.buckets, name) for name in ("free", "quarantine"))
        return item.buckets, dict(accounts)

    once = [(cause, report) for (cause, _), report in said.items()]
    again = [*once, *once]
    dice.shuffle(again)
    first, second = arrived(once), arrived(again)
    assert first[0] == second[0]
    assert {a: q for a, q in first[1].items() if q} == {a: q for a, q in second[1].items() if q}


def test_a_refusal_leaves_nothing_behind() -> None:
    item = STOCK_ITEM.fold(history(RECEIVED))
    with pytest.raises(Rejected, match="record what put it there first"):
        STOCK_ITEM.decide(Post(Cause.QUARANTINE_RELEASED, (Report("q", 1, NOON),)), item)


@settings(max_examples=100)
@for_all(
    st.lists(
        st.one_of(
            st.dictionaries(st.integers(0, 90).map(str), st.integers(), max_size=40),
            st.integers(0, 90).map(str),
        ),
        max_size=12,
    )
)
def test_a_persistent_map_is_a_dictionary_that_keeps_its_past(
    changes: list[dict[str, int] | str],
) -> None:
    plain: dict[str, int] = {}
    grown: PersistentMap[int] = PersistentMap()
    past = [(dict(plain), grown)]
    for change in changes:
        if isinstance(change, str):
            plain.pop(change, None)
            grown = grown.excluding(change)
        else:
            plain |= change
            grown = grown.including_all(change)
        past.append((dict(plain), grown))
    for then, seen in past:
        assert dict(seen.items()) == then
        assert all(seen.get(key) == value for key, value in then.items())
