"""Stock of one product at one site: what is there, and who has been promised it.

Stream  ``stock-{site_id}|{sku}``
Rule    every entry sums to zero over its accounts; a reservation never takes free below zero.

Facts are never refused for lack of stock: what was sold at a till, broken, counted or picked by
hand has happened, and refusing it would only make the books wrong. They alone may drive free
below zero. What a customer or carrier gets, though, must be there under his reservation.

What was seen at a time (an image, a count) is compared with the ledger of that time, and settles
it; see domain/image.py.

Picking, delivery and order events travel on feeds that race each other. A handover heard before
its pick takes what is still allocated and notes it as *ahead*; the late pick then moves nothing
that is still there, only the past; see domain/ahead.py. If the pick was of more than was promised,
which is told by who weighs and hands over himself, the rest comes from free, like the pick's own.
"""

from collections.abc import Sequence
from typing import assert_never

from services.kernel.domain.decider import Decider, Kind
from services.stock_ledger.domain.postings import Post
from services.stock_ledger.domain.stock_commands import (
    Adjust,
    Allocate,
    Check,
    Command,
    Confirm,
    Deliver,
    HandOver,
    Hold,
    MoveAway,
    MoveHere,
    Observe,
    Pick,
    PromiseOnline,
    PutBack,
    Receive,
    Release,
    SellAtTill,
    Ship,
    Short,
    TakeBack,
)
from services.stock_ledger.domain.stock_movements import move
from services.stock_ledger.domain.stock_promises import change_place, expect_free, promise, settle
from services.stock_ledger.domain.stock_reports import observe, post
from services.stock_ledger.domain.stock_state import Event, StockItem, evolve


def decide(command: Command, item: StockItem) -> Sequence[Event]:  # noqa: PLR0911 - one per kind
    match command:
        case Check(quantity):
            expect_free(quantity, item)
            return []
        case Hold() | Allocate():
            return promise(command, item)
        case Confirm() | Release():
            return settle(command, item)
        case MoveAway() | MoveHere():
            return change_place(command, item)
        case Observe():
            return observe(command, item)
        case Post():
            return post(command, item)
        case (
            Receive()
            | Adjust()
            | SellAtTill()
            | TakeBack()
            | PromiseOnline()
            | Pick()
            | Short()
            | PutBack()
            | HandOver()
            | Ship()
            | Deliver()
        ):
            return move(command, item)
        case _:
            assert_never(command)


STOCK_ITEM: Decider[Command, StockItem, Event] = Decider(StockItem(), decide, evolve)
STOCK: Kind[Command, StockItem, Event] = Kind("stock", STOCK_ITEM)


def stock_key(site_id: str, sku: str) -> str:
    """Return the key of the stock item's stream; ids hold no bar."""
    return f"{site_id}|{sku}"


def site_and_sku(key: str) -> tuple[str, str]:
    """Return what the key of a stock item's stream is made of."""
    site_id, _, sku = key.partition("|")
    return site_id, sku
