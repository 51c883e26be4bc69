"""Posting single movements: each is an entry of its own, and has an answer of its own."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from services.kernel.application.work import Versioned, Work
from services.kernel.domain.errors import Rejected
from services.stock_ledger.application.not_ahead import movement_by
from services.stock_ledger.application.sent_again import begin_again, counted_by, expect_same
from services.stock_ledger.domain.entry import EntryPosted
from services.stock_ledger.domain.stock_commands import Movement
from services.stock_ledger.domain.stock_item import STOCK
from services.stock_ledger.domain.stock_state import StockItem

NO_OTHER_TIMES: Mapping[int, Sequence[datetime]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one movement of a batch.

    Attributes:
        is_recorded: False when it was counted before, or refused.
        item: The balance and its version, or nothing when refused.
        refusal: Why it was refused, or nothing.
        entries: What was posted for it.
    """

    is_recorded: bool
    item: Versioned[StockItem] | None
    refusal: Rejected | None = None
    entries: tuple[EntryPosted, ...] = ()


async def record(
    work: Work,
    movements: Sequence[tuple[str, Movement]],
    timeless: AbstractSet[int] = frozenset(),
    also: Mapping[int, Sequence[datetime]] = NO_OTHER_TIMES,
) -> list[Outcome]:
    """Post movements, each for the stock item of its key; a refused one does not stop the rest.

    Args:
        work: The unit.
        movements: With their keys.
        timeless: Which of them, by their places, have no time of their source's.
        also: By place, the times that a repeat may have been told of.
    """
    await work.load(STOCK, {key for key, _ in movements})
    await begin_again(work, [(key, counted_by(movement)) for key, movement in movements])
    outcomes = []
    for place, (key, movement) in enumerate(movements):
        try:
            events = await work.handle(STOCK, key, movement_by(movement, work.now))
            if not events and place not in timeless:
                await expect_same(work, key, movement, also.get(place, ()))
        except Rejected as refusal:
            outcomes.append(Outcome(is_recorded=False, item=None, refusal=refusal))
        else:
            item = await work.state(STOCK, key)
            outcomes.append(Outcome(bool(events), item, entries=tuple(events)))
    return outcomes
