"""Handing a log to those who follow it; who does not keep up is left behind."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Protocol

from services.kernel.adapters.backlog import Backlog
from services.kernel.application.pace import Pace
from services.kernel.domain.messages import Recorded

_MOST_WAITING = 4_000
_PATIENCE_S = 1.0

_log = logging.getLogger(__name__)


class Follower(Protocol):
    """Somebody who wants every event of the log, in order, at least once."""

    @property
    def name(self) -> str: ...

    @property
    def pace(self) -> Pace:
        """How fast one batch may follow another; what comes meanwhile joins the next."""

    async def start_position(self) -> int:
        """Return the position after which to begin."""

    def note_lag(self, events: int) -> None:
        """Report how many events were read and wait to be followed."""

    async def follow(self, batch: Sequence[Recorded[Any]]) -> None:
        """Take a batch. Repeated until it succeeds; must be harmless to repeat."""


class Following:
    """How far one follower was handed the log; while it is behind, nothing is put before it."""

    def __init__(self, follower: Follower, handed: int) -> None:
        self.follower = follower
        self.handed = handed
        self.backlog = Backlog[Recorded[Any]](_MOST_WAITING)
        self.is_behind = False

    async def hand(self, batch: Sequence[Recorded[Any]]) -> None:
        """Put what it was not handed yet before it, once there is room."""
        fresh = batch if batch[0].position > self.handed else self._fresh(batch)
        if fresh:
            await self.backlog.put(fresh)
            self.handed = fresh[-1].position

    def _fresh(self, batch: Sequence[Recorded[Any]]) -> Sequence[Recorded[Any]]:
        return [event for event in batch if event.position > self.handed]


async def hand_out(batch: Sequence[Recorded[Any]], followings: Sequence[Following]) -> None:
    """Hand a batch to all who keep up; leave behind who does not, while another does."""
    for one in followings:
        if one.is_behind:
            one.follower.note_lag(batch[-1].position - one.handed + len(one.backlog))
            continue
        is_last = all(other.is_behind for other in followings if other is not one)
        try:
            async with asyncio.timeout(None if is_last else _PATIENCE_S):
                await one.hand(batch)
        except TimeoutError:
            if one.backlog.is_full:
                _log.warning("%s is left behind at %d", one.follower.name, one.handed)
                one.is_behind = True
            else:  # it has moved in this very moment
                await one.hand(batch)
