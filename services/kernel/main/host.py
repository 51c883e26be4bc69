"""One service with its database: what serves it and what works for it."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

from services.kernel.adapters.appender import Appender, AppenderLimits
from services.kernel.adapters.closed_books import EVERY_EVENTS, BookCloser
from services.kernel.adapters.consumer import Consumer
from services.kernel.adapters.database import Database
from services.kernel.adapters.doorbell import LOG, READ_MODELS, Doorbell
from services.kernel.adapters.durability import Barrier
from services.kernel.adapters.event_log import NewEvent
from services.kernel.adapters.following import Follower
from services.kernel.adapters.home import Home
from services.kernel.adapters.ownership import LockedOwnership
from services.kernel.adapters.projector import Projector
from services.kernel.adapters.reader import PostgresReader
from services.kernel.adapters.relay import Relay
from services.kernel.adapters.runner import CommandRunner
from services.kernel.adapters.tail import Tail
from services.kernel.adapters.timers import Timers
from services.kernel.application.bus import Bus
from services.kernel.application.clock import Clock
from services.kernel.application.ownership import SoleOwner
from services.kernel.application.state_cache import StateCache
from services.kernel.application.stream_locks import StreamLocks
from services.kernel.application.tasks import end
from services.kernel.main.service import Build, Kernel
from services.kernel.settings import KernelSettings

_log = logging.getLogger(__name__)


class ServiceHost:
    """One service with its database: runs its commands, its consumers, its log's followers.

    Args:
        build: Makes the service.
        database: Its tables, as the application role; commits are on disk when they return.
        derived: The same on connections for work that follows from what is on disk: consumers,
            read models, timers. Where it commits lazily, it is a pool of its own; a power cut
            then takes the newest of that work back, watermarks included, and it is done again.
            Safe only while everything that builds on it shares the server's one write-ahead log.
        dsn: The same database, for the connection that holds the leader's lock.
        settings: Limits.
        bus: Where its feed goes.
        clock: The only source of now.
        target: Addresses of other services.
        is_sole_writer: Whether no other process appends to the database.
    """

    def __init__(
        self,
        build: Build,
        database: Database,
        derived: Database,
        dsn: str,
        settings: KernelSettings,
        bus: Bus,
        clock: Clock,
        target: Mapping[str, str],
        *,
        is_sole_writer: bool,
    ) -> None:
        self.database = database
        self._derived = derived
        self._barrier = barrier = Barrier(dsn, database.limits) if derived is not database else None
        self._dsn = dsn
        self._settings = settings
        self._tail: Tail | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._cache = cache = StateCache(settings.cached_states)
        locks = StreamLocks()
        self.appender = Appender(
            derived,
            AppenderLimits(
                settings.append_batch_commands,
                settings.append_batch_events,
                settings.append_queue_commands,
            ),
            self._committed,
            barrier,
        )
        # The codec belongs to the service, and the service is built with the runner that needs
        # it: the runner asks for it when it first decodes.
        self.runner = CommandRunner(
            database,
            self.appender,
            lambda: self.service.codec,
            cache,
            clock,
            locks,
            self._committed,
            is_sole_writer=is_sole_writer,
            barrier=barrier,
        )
        self._doorbell: Doorbell | None = None
        self.reader = PostgresReader(
            database,
            lambda: self.service.codec,
            is_sole_writer=is_sole_writer,
            is_told=lambda: self._doorbell is not None and self._doorbell.is_connected,
        )
        if not is_sole_writer:
            heard = {LOG: self._written_elsewhere, READ_MODELS: self.reader.moved}
            self._doorbell = Doorbell(dsn, database.limits, heard)
        self._ownership = None if is_sole_writer else LockedOwnership(dsn, database.limits)
        self.service = build(
            Kernel(self.runner, self.reader, clock, target, self._ownership or SoleOwner())
        )
        self._books = BookCloser(
            derived,
            lambda: self.service.codec,
            {kind.category: kind for kind in self.service.long_streams},
        )
        self.reader.models = [model.name for model in self.service.read_models]
        home = Home(
            derived,
            self.service.codec,
            cache,
            clock,
            locks,
            asyncio.Lock(),
            self._committed,
            is_sole_writer,
        )
        self.consumers = [
            Consumer(
                subscription,
                home,
                tries=settings.message_tries,
                redrive_poll_s=settings.redrive_poll_s,
            )
            for subscription in self.service.subscriptions
        ]
        self._timers = Timers(home, self.service.timers, settings.timer_poll_s)
        self.projector: Projector = Projector(
            *(
                derived,
                self.service.name,
                self.service.read_models,
                lambda: self._ring(READ_MODELS, self.projector.position),
            ),
            is_sole=is_sole_writer,
        )
        self.relay = Relay(derived, self.service.topic, self.service.publish, bus)

    def start_serving(self) -> None:
        """Take commands."""
        self.appender.start()
        if self._doorbell is not None:
            self._doorbell.start()

    def start_working(self, lost: Callable[[], None] | None = None) -> None:
        """Follow the log, fire timers, run the tasks; consumers start on their bus.

        Args:
            lost: Called the moment that the server is lost to the log's followers.
        """
        self.follow(lost)
        if self.service.timers:
            self._timers.start()
        for task in self.service.tasks:
            self._tasks.append(asyncio.create_task(_supervise(task, self.service.name)))

    def follow(self, lost: Callable[[], None] | None) -> None:
        """Follow the log from where the database says."""
        followers: list[Follower] = [self.relay]
        if self.service.read_models:
            followers.append(self.projector)
            self.reader.projector = self.projector
        self._tail = Tail(
            self._derived,
            self._dsn,
            self.service.codec,
            followers,
            self._settings.poll_s,
            lost,
            self.reader.seen,
        )
        self._tail.start()

    def forget(self) -> None:
        """Drop what memory holds of the log."""
        self._cache.clear()
        self.appender.forget()
        self.reader.forget()
        self.projector.forget()

    async def unfollow(self) -> None:
        """Stop following the log."""
        if self._tail is not None:
            await self._tail.stop()
            self._tail = None

    async def note_published(self) -> None:
        """Remember how far publishing has come, so that the next start repeats nothing."""
        await self.unfollow()
        if self.relay.position:
            with contextlib.suppress(Exception):  # it is repeated then, and passed over
                await self.relay.note_position()

    async def stop(self) -> None:
        """Stop working, finish what waits to be appended, let the connections go."""
        await end(self._tasks)
        if self._doorbell is not None:
            await self._doorbell.stop()
        await self.reader.stop()
        await self._timers.stop()
        await self._books.stop()
        if self._tail is not None:
            await self._tail.stop()
        await self.appender.stop()
        if self._barrier is not None:
            self._barrier.close()
        if self._ownership is not None:
            self._ownership.close()
        for database in {self._derived, self.database}:
            await database.close()

    def _committed(self, events: Sequence[NewEvent], last_position: int, at: datetime) -> None:
        if self._tail is not None:
            self._tail.offer(events, last_position, at)
        self.reader.committed(events, last_position)
        # A ring wakes every process of the service. Where nobody waits for what is recorded, who
        # follows the log itself rings once, when its read models show it.
        is_enough = self.reader.projector and self._tail and self._tail.is_leading
        if self.service.is_watched or not is_enough:
            self._ring(LOG, last_position)
        for event in events:
            if event.version % EVERY_EVENTS == 0:
                self._books.grown(event.stream)

    def _ring(self, channel: str, position: int) -> None:
        if self._doorbell is not None:
            self._doorbell.ring(channel, position)

    def _written_elsewhere(self, _: int) -> None:
        if self._tail is not None:
            self._tail.wake()
        self.reader.written()


async def _supervise(task: Callable[[], Awaitable[None]], name: str) -> None:
    """Run a task for ever; one that fails is started again, a second later."""
    while True:
        try:
            await task()
        except Exception:  # noqa: BLE001 - a sender that fell over must not take the service along
            _log.exception("%s: a task failed and is started again", name)
        await asyncio.sleep(1)
