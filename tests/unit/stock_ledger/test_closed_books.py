"""A stock item's state survives being kept; a changed one must not be taken for an older one."""

import hashlib
import json
from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from services.kernel.domain.errors import Rejected
from services.stock_ledger.adapters.event_codec import event_codec
from services.stock_ledger.domain.image import Basis, Seen
from services.stock_ledger.domain.stock_commands import (
    Command,
    Confirm,
    Hold,
    Observe,
    Receive,
    Release,
    SellAtTill,
)
from services.stock_ledger.domain.stock_item import STOCK_ITEM
from services.stock_ledger.domain.stock_state import StockItem

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)

# Of the format stock.v4.
SHAPE = "87587abb68afecf8"


def commands() -> st.SearchStrategy[Command]:
    ids, quantity = st.integers(0, 60).map(str), st.integers(1, 9)
    times = st.integers(0, 99).map(lambda n: NOON + timedelta(minutes=n))
    return st.one_of(
        st.builds(Receive, quantity, ids, times),
        st.builds(SellAtTill, quantity, ids, times),
        st.builds(Hold, ids, quantity, times),
        st.builds(Confirm, ids, times),
        st.builds(Release, ids, times),
        st.builds(
            Observe,
            st.sampled_from(Seen),
            st.sampled_from(Basis),
            st.booleans(),
            quantity,
            ids,
            times,
            quantity,
        ),
    )


@settings(max_examples=100, deadline=None)
@for_all(st.lists(commands(), max_size=120))
def test_what_was_kept_is_what_it_was(history: list[Command]) -> None:
    item, codec = StockItem(), event_codec()
    for command in history:
        try:
            events = STOCK_ITEM.decide(command, item)
        except Rejected:
            continue
        for event in events:
            item = STOCK_ITEM.evolve(item, event)
    kept = codec.decode_state("stock", codec.encode_state(item))
    assert kept == item
    assert codec.encode_state(kept) == codec.encode_state(item)


def test_a_state_of_another_shape_has_a_format_of_another_name() -> None:
    """Change the digest together with the name in event_codec.py: stock.v4 becomes stock.v5."""
    shape = json.dumps(msgspec.json.schema(StockItem), sort_keys=True).encode()
    digest = hashlib.sha256(shape).hexdigest()[:16]
    assert (event_codec().state_format("stock"), digest) == ("stock.v4", SHAPE)
    assert event_codec().state_format("reservation") is None
