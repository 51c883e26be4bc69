"""What lacks is taken from the newest promises, as the stock item has them."""

from datetime import timedelta

from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from services.stock_ledger.application.endangered import watch
from services.stock_ledger.application.handlers import Reservations
from services.stock_ledger.domain.entry import Cause, Share
from services.stock_ledger.domain.many_holds import MANY_HOLDS, HoldAll
from services.stock_ledger.domain.reservation import RESERVATION
from services.stock_ledger.domain.reservation_events import Line
from services.stock_ledger.domain.reservation_state import Status
from services.stock_ledger.domain.standing import Promised, newest
from services.stock_ledger.domain.stock_commands import (
    Confirm,
    Hold,
    PromiseOnline,
    Receive,
    Release,
    SellAtTill,
)
from services.stock_ledger.domain.stock_item import STOCK, STOCK_ITEM, stock_key
from services.stock_ledger.domain.stock_state import StockItem
from tests.unit.stock_ledger.ledger_in_memory import NOON, LedgerInMemory, nowhere

MILK = stock_key("paris", "milk")
HOUR = timedelta(hours=1)


class Shop:
    """Milk in Paris."""

    def __init__(self) -> None:
        self.work = LedgerInMemory()
        self.promises = Reservations(timedelta(minutes=15), nowhere)

    async def receive(self, quantity: int) -> None:
        await self.work.handle(STOCK, MILK, Receive(quantity, "note-1", NOON))

    async def reserve(self, reservation_id: str, quantity: int, hold_for: timedelta = HOUR) -> None:
        lines = [Line("paris", "milk", quantity)]
        await self.promises.reserve(self.work, reservation_id, lines, hold_for)

    async def sell(self, quantity: int) -> None:
        sale = SellAtTill(quantity, "ticket-1", NOON)
        await watch(self.work, {MILK: await self.work.handle(STOCK, MILK, sale)})

    async def status(self, reservation_id: str) -> Status:
        return (await self.work.state(RESERVATION, reservation_id)).state.status

    async def free(self) -> int:
        return (await self.work.state(STOCK, MILK)).state.buckets.free


async def test_the_newest_promise_goes_whatever_hold_ends_last() -> None:
    shop = Shop()
    await shop.receive(10)
    await shop.reserve("first", 5, HOUR)
    await shop.reserve("second", 5, HOUR / 6)
    await shop.sell(5)
    assert await shop.status("first") is Status.HELD
    assert await shop.status("second") is Status.EXPIRED
    assert await shop.free() == 0


async def test_of_a_crowd_just_the_newest_go() -> None:
    shop = Shop()
    await shop.receive(300)
    for n in range(300):
        await shop.reserve(f"R{n}", 1)
    await shop.sell(150)
    ended = {n for n in range(300) if await shop.status(f"R{n}") is Status.EXPIRED}
    assert ended == set(range(150, 300))
    assert await shop.free() == 0


async def test_what_a_platform_promised_itself_covers_nothing() -> None:
    """Nobody here could tell it; the newest reservation of ours goes."""
    shop = Shop()
    await shop.receive(10)
    await shop.reserve("ours", 5)
    theirs = PromiseOnline(Cause.HOLD, "theirs", 5, "web-1", NOON)
    await shop.work.handle(STOCK, MILK, theirs)
    await shop.sell(5)
    assert await shop.status("ours") is Status.EXPIRED
    assert await shop.free() == 0


def of(item: StockItem) -> list[Promised]:
    return newest(item.open.items(), 1_000)


def test_a_promise_keeps_its_place_until_it_is_over() -> None:
    item = STOCK_ITEM.initial
    for command in (
        Receive(100, "note-1", NOON),
        *(Hold("A", 1, NOON), Hold("B", 2, NOON), Hold("C", 3, NOON)),
        *(Confirm("A", NOON), Release("B", NOON), Hold("B", 4, NOON)),
    ):
        for entry in STOCK_ITEM.decide(command, item):
            item = STOCK_ITEM.evolve(item, entry)
    assert of(item) == [Promised("B", 4), Promised("C", 3), Promised("A", 1)]
    assert newest(item.open.items(), 1) == [Promised("B", 4)]


@settings(max_examples=100, deadline=None)
@for_all(st.lists(st.integers(1, 40), max_size=6))
def test_many_in_one_entry_are_ordered_like_one_after_the_other(rounds: list[int]) -> None:
    [received] = STOCK_ITEM.decide(Receive(10_000, "note-1", NOON), STOCK_ITEM.initial)
    item = STOCK_ITEM.evolve(STOCK_ITEM.initial, received)
    expected: list[Promised] = []
    for crowd in rounds:
        shares = [Share(f"R{len(expected) + n}", n + 1) for n in range(crowd)]
        for entry in MANY_HOLDS.decider.decide(HoldAll(tuple(shares), NOON), item):
            item = STOCK_ITEM.evolve(item, entry)
        expected += [Promised(share.reservation_id, share.quantity) for share in shares]
    assert of(item) == expected[::-1]
