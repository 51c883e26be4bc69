"""A bound for who asks and then does not read: what he has open is ended, so that others have room.

A stream whose reader stands still holds its place, what waits for him, and a call to a service. No
time limit of ours sees that, because all of it waits for one write.
"""

import asyncio
from typing import override

from services.gateway.entrypoints.http.bounded_head import BoundedHead

MOST_UNREAD_S = 60.0


class Connection(BoundedHead):
    """A connection with bounds for what comes and for what is not fetched."""

    _giving_up: asyncio.TimerHandle | None = None

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        transport: asyncio.Transport = self.transport
        self._giving_up = self.loop.call_later(MOST_UNREAD_S, transport.abort)

    @override
    def resume_writing(self) -> None:
        super().resume_writing()
        self._go_on()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._go_on()

    def _go_on(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None
