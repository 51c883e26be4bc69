"""What the consumers and timers of one service share."""

import asyncio
from dataclasses import dataclass

from services.kernel.adapters.database import Database
from services.kernel.adapters.event_codec import EventCodec
from services.kernel.adapters.event_log import Committed
from services.kernel.adapters.unit_of_work import UnitOfWork
from services.kernel.application.clock import Clock
from services.kernel.application.state_cache import StateCache
from services.kernel.application.stream_locks import StreamLocks
from services.kernel.application.work import Sql


@dataclass(frozen=True, slots=True)
class Home:
    """Where the work of one service that nobody called for is done.

    Attributes:
        database: The service's.
        codec: Its stored names.
        cache: States of its streams.
        clock: The only source of now.
        locks: Lines for contended streams.
        turn: Held during a unit of work, so that the service's consumers do not race each other.
        committed: Called with the events of each commit.
        is_sole_writer: Whether no other process appends here.
    """

    database: Database
    codec: EventCodec
    cache: StateCache
    clock: Clock
    locks: StreamLocks
    turn: asyncio.Lock
    committed: Committed
    is_sole_writer: bool

    def work(self, sql: Sql) -> UnitOfWork:
        """Begin a unit of work that reads and writes by ``sql``."""
        return UnitOfWork(
            sql, self.codec, self.cache, self.clock.now(), is_sole_writer=self.is_sole_writer
        )
