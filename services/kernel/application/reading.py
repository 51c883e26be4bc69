"""Reading a feed as somebody who only looks: nothing is stored, moved or told to anybody."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.kernel.application.feeds import Envelope

# For each part of a feed (a partition, or the one log): how far it was read, in the source's own
# numbers, and the highest position seen there. What was seen before comes again and is passed over.
type Place = Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Period:
    """Which events are wanted, by when they were recorded; None: without a bound.

    Attributes:
        since: The first moment that belongs to it.
        until: The first moment that no longer does.
    """

    since: datetime | None = None
    until: datetime | None = None

    def holds(self, at: datetime) -> bool:
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)


@dataclass(frozen=True, slots=True)
class Page:
    """What one read brought.

    Attributes:
        envelopes: Events of the period, in the order of each stream.
        place: After them.
        unreadable: What lies there and is no event, one sentence each.
    """

    envelopes: Sequence[Envelope]
    place: Place
    unreadable: Sequence[str] = ()


class FeedReader(Protocol):
    """One feed, from wherever it is kept."""

    @property
    def topic(self) -> str: ...

    async def beginning(self) -> Place:
        """Return the place before the first event that may belong to the period."""

    async def end(self) -> Place:
        """Return the place after the last event that there is now."""

    async def read(self, place: Place, end: Place | None) -> Page:
        """Return what follows a place, a bounded number of events; soon, if there is nothing.

        Args:
            place: Where to begin.
            end: Where to stop; None: nowhere.

        Raises:
            Gone: What follows is not kept any more.
        """

    async def mark(self, place: Place) -> str:
        """Return what tells this place from the same numbers of another history, if anything."""


class Gone(Exception):
    """What a reader wants is not kept any more, or is not what it was."""


def is_at(place: Place, end: Place) -> bool:
    """Tell whether a place is at the end, in each part."""
    return all(place[part][0] >= at for part, (at, _) in end.items())


def steps(place: Place, beginning: Place) -> int:
    """Return how far a place is from the beginning, to show progress."""
    return sum(at - beginning[part][0] for part, (at, _) in place.items())
