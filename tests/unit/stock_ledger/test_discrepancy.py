"""Books that went below zero open a discrepancy, and close it when they are back."""

from datetime import UTC, datetime

from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from services.stock_ledger.domain.discrepancy import (
    RULE,
    Close,
    DiscrepancyClosed,
    DiscrepancyOpened,
    Open,
    lacking,
    noticed,
)
from services.stock_ledger.domain.entry import Cause, EntryPosted, Report
from services.stock_ledger.domain.postings import Post
from services.stock_ledger.domain.stock_item import STOCK_ITEM
from tests.support.given import given

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
OPENED = DiscrepancyOpened(3, "till_sale", "ticket-1", NOON)


def test_it_opens_once() -> None:
    command = Open(3, "till_sale", "ticket-1", NOON)
    given(RULE).when(command).then(OPENED)
    given(RULE, OPENED).when(command).then_nothing()


def test_it_closes_what_is_open() -> None:
    command = Close("goods_receipt", NOON)
    given(RULE, OPENED).when(command).then(DiscrepancyClosed("goods_receipt", NOON))
    given(RULE).when(command).then_nothing()
    given(RULE, OPENED, DiscrepancyClosed("goods_receipt", NOON)).when(command).then_nothing()


moves = st.lists(
    st.lists(
        st.tuples(st.sampled_from([Cause.GOODS_RECEIPT, Cause.TILL_SALE]), st.integers(1, 5)),
        min_size=1,
        max_size=3,
    ),
    max_size=20,
)


@settings(max_examples=200)
@for_all(moves)
def test_it_is_open_exactly_while_free_is_below_zero(units: list[list[tuple[Cause, int]]]) -> None:
    """Whatever several entries one unit of work posts."""
    item, discrepancy = STOCK_ITEM.initial, RULE.initial
    number = 0
    for unit in units:
        entries: list[EntryPosted] = []
        before = item.buckets.free
        for cause, quantity in unit:
            number += 1
            command = Post(cause, (Report(str(number), quantity, NOON),))
            entries += STOCK_ITEM.decide(command, item)
            item = STOCK_ITEM.evolve(item, entries[-1])
        seen = noticed(entries)
        for event in [] if seen is None else RULE.decide(seen, discrepancy):
            discrepancy = RULE.evolve(discrepancy, event)
        assert discrepancy.is_open == (item.buckets.free < 0)
        is_worse = item.buckets.free < min(before, 0)
        assert lacking(entries) == (-item.buckets.free if is_worse else 0)
