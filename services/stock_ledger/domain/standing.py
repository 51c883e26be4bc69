"""Whose promises stand, and which of them is the newest.

Who was promised last may not get it when the books go below zero. That is told from the stock
item itself, in the unit whose entry does it: every table is behind it by then.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from heapq import nlargest

from services.kernel.domain.record import record
from services.stock_ledger.domain.entry import Reserved


@dataclass(frozen=True, slots=True)
class Standing(Reserved):
    """What a reservation that is not over has here, and since when.

    Attributes:
        since: Its number among all promises ever made of this item; the newest has the highest.
    """

    since: int = 0

    @property
    def promised(self) -> int:
        """Base units that nobody has picked yet."""
        return self.held + self.allocated


@record
class Promised:
    """What a reservation was promised and nobody has picked, in base units."""

    reservation_id: str
    quantity: int


def newest(standing: Iterable[tuple[str, Standing]], most: int) -> list[Promised]:
    """Return what is promised, newest first, at most so many."""
    found = [
        (one.since, key, promised)
        for key, one in standing
        if (promised := one.held + one.allocated)  # as ``one.promised``: there may be 50,000
    ]
    return [Promised(key, quantity) for _, key, quantity in nlargest(most, found)]
