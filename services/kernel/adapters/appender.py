"""The micro-batching appender: what waits while one commit is in flight makes the next one.

There is no timer: with one writer a command is a batch of its own, with a thousand the batches
grow until the database is busy all the time. Every batch is one call and one commit.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.kernel.adapters import event_log
from services.kernel.adapters.database import Database, is_outage
from services.kernel.adapters.durability import FLUSH, Barrier, Session
from services.kernel.adapters.event_log import Committed, NewEvent
from services.kernel.adapters.telemetry import METRICS
from services.kernel.application.runner import ConcurrentAppend, Overloaded, QueueFull
from services.kernel.application.tasks import end

# Batches under way at a time, and from how many commands on a batch is split between them.
_FLUSHERS = 2
_CROWD = 32

# How often, and how long apart, the fate of a batch is looked up after the connection broke.
_LOOK_TRIES = 10
_LOOK_PAUSE_S = 0.3


@dataclass(frozen=True, slots=True)
class AppenderLimits:
    """Bounds of one appender.

    Attributes:
        batch_commands: Most commands in one commit.
        batch_events: Most events in one commit (a larger single command goes alone).
        queue_commands: Most commands waiting; one more is shed.
    """

    batch_commands: int = 512
    batch_events: int = 4_000
    queue_commands: int = 8_192


@dataclass(slots=True)
class _Waiting:
    events: Sequence[NewEvent]
    streams: tuple[str, ...]
    done: "asyncio.Future[None]"


class Appender:
    """Appends commands to one database, in batches, in the order in which they came.

    Args:
        database: Where the events go. Its connections may commit lazily if there is a barrier.
        limits: Bounds.
        committed: Called after each commit, to wake the readers of the log.
        barrier: Passed before a caller is told: then a batch need not wait for the disk to let
            the next one begin, and one flush serves several. None: every commit is on disk.
    """

    def __init__(
        self,
        database: Database,
        limits: AppenderLimits,
        committed: Committed,
        barrier: Barrier | None = None,
    ) -> None:
        self._barrier = barrier
        self._settling: set[asyncio.Task[None]] = set()
        self._database = database
        self._limits = limits
        self._committed = committed
        self._waiting: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        # Batches that were sent and not answered yet: how many commands, and on which streams.
        self._in_flight = 0
        self._in_flight_streams: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._run(), name=f"appender {n}") for n in range(_FLUSHERS)
        ]

    async def stop(self) -> None:
        """Finish what waits, within the statement limit, then stop."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._database.limits.statement_s):
                while self._waiting or self._in_flight or self._settling:
                    await asyncio.sleep(0.01)
        await end(self._tasks)
        _fail(self._waiting, Overloaded("shutting down", 1000))
        self._waiting.clear()

    def forget(self) -> None:
        """Refuse what waits: it was decided on states that a lost server may have taken along."""
        _fail(self._waiting, Overloaded("the database was lost", 500))
        self._waiting.clear()

    async def append(self, events: Sequence[NewEvent]) -> None:
        """Append the events of one command, all or nothing; return once they are on disk.

        Raises:
            ConcurrentAppend: A stream has moved on, or the command is recorded already.
            QueueFull: Too much waits already; nothing was recorded.
            Overloaded: The database is away; nothing was recorded.
        """
        if len(self._waiting) >= self._limits.queue_commands:
            raise QueueFull("append queue full", 100)
        streams = tuple([event.stream for event in events])
        waiting = _Waiting(events, streams, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._wake.set()
        await waiting.done

    async def _run(self) -> None:
        while True:
            batch = self._take()
            if not batch:
                self._wake.clear()
                await self._wake.wait()
                continue
            streams = {stream for waiting in batch for stream in waiting.streams}
            self._in_flight += len(batch)
            self._in_flight_streams |= streams
            try:
                await self._flush(batch)
            except asyncio.CancelledError:
                _fail(batch, Overloaded("shutting down", 1000))
                raise
            except Exception as error:
                _fail(batch, error)
            finally:
                self._in_flight -= len(batch)
                self._in_flight_streams -= streams
                # What was held back because of these streams may go now, with either flusher.
                self._wake.set()

    def _most(self) -> int:
        """Return how many commands the next batch may have.

        A crowd is split between two flushers, so that one batch is made ready while the other is
        on its way to the disk. A few go together: there the flush is what costs.
        """
        crowd = len(self._waiting) + self._in_flight
        most = self._limits.batch_commands
        return most if crowd < _CROWD else min(most, -(-crowd // _FLUSHERS))

    def _take(self) -> list[_Waiting]:
        """Return the next batch: each stream in it is touched by one command only.

        A second command on a stream was decided on the same version, so one of the two is going
        to be refused. It stays in the queue until the first one's fate is known.
        """
        batch: list[_Waiting] = []
        held: list[_Waiting] = []
        streams = set(self._in_flight_streams)
        events = 0
        most = self._most()
        while self._waiting and len(batch) < most:
            waiting = self._waiting[0]
            if batch and events + len(waiting.events) > self._limits.batch_events:
                break
            self._waiting.popleft()
            if waiting.done.done():  # the caller went away before its turn
                continue
            if streams.isdisjoint(waiting.streams):
                batch.append(waiting)
                events += len(waiting.events)
            else:
                held.append(waiting)
            streams.update(waiting.streams)
        METRICS.queue_depth.set(len(self._waiting) + len(held))
        self._waiting.extendleft(reversed(held))
        return batch

    async def _flush(self, batch: Sequence[_Waiting]) -> None:
        if not batch:
            return
        backend: int | None = None
        # Held from before the commit: only then does its flush prove anything.
        session = None if self._barrier is None else await self._barrier.session()
        try:
            with METRICS.append_seconds.time():
                async with self._database.connection() as connection:
                    backend = connection.get_server_pid()
                    answer = await event_log.append(
                        connection, [waiting.events for waiting in batch]
                    )
        except Exception as error:
            if backend is None or not is_outage(error):
                raise
            await self._resolve(batch, backend, error)
            return
        METRICS.append_batch_size.observe(len(batch))
        refused = set(answer.refused)
        kept = [n not in refused for n in range(len(batch))]
        grown = [e for waiting, ok in zip(batch, kept, strict=True) if ok for e in waiting.events]
        self._committed(grown, answer.last_position, answer.at)
        self._refuse_outrun(grown)
        if session is None:
            self._settle(batch, kept)
            return
        settling = asyncio.create_task(self._settle_on_disk(session, batch, kept, backend))
        self._settling.add(settling)
        settling.add_done_callback(self._settling.discard)

    async def _settle_on_disk(
        self, session: Session, batch: Sequence[_Waiting], kept: Sequence[bool], backend: int
    ) -> None:
        try:
            await session.passed()
        except Exception as error:
            try:
                await self._resolve(batch, backend, error)
            except Exception as unknown:
                _fail(batch, unknown)
        else:
            self._settle(batch, kept)

    def _settle(self, batch: Sequence[_Waiting], kept: Sequence[bool]) -> None:
        for waiting, ok in zip(batch, kept, strict=True):
            if waiting.done.done():
                continue
            if ok:
                waiting.done.set_result(None)
            else:
                waiting.done.set_exception(ConcurrentAppend(waiting.events[0].stream))

    def _refuse_outrun(self, grown: Sequence[NewEvent]) -> None:
        """Refuse at once what waits for a version that has just been taken."""
        if not self._waiting:
            return
        versions = {event.stream: event.version for event in grown}
        still: deque[_Waiting] = deque()
        for waiting in self._waiting:
            if any(event.version <= versions.get(event.stream, -1) for event in waiting.events):
                if not waiting.done.done():
                    waiting.done.set_exception(ConcurrentAppend(waiting.events[0].stream))
            else:
                still.append(waiting)
        self._waiting = still

    async def _resolve(self, batch: Sequence[_Waiting], backend: int, error: BaseException) -> None:
        """The commit was sent and no answer came: look, never guess.

        First make sure that the statement can no longer commit, then ask which events exist.
        """
        for _ in range(_LOOK_TRIES):
            try:
                async with self._database.connection() as connection:
                    await connection.execute("SELECT pg_terminate_backend($1, 1000)", backend)
                    if await connection.fetchval(
                        "SELECT 1 FROM pg_stat_activity WHERE pid = $1", backend
                    ):
                        continue
                    found = await connection.fetch(
                        "SELECT event_id::text FROM events WHERE event_id = ANY($1)",
                        [waiting.events[0].event_id for waiting in batch],
                    )
                    if self._barrier is not None:
                        # They are there; see to it that they stay.
                        async with connection.transaction():
                            await connection.execute("SET LOCAL synchronous_commit = on")
                            await connection.fetchval(FLUSH)
            except Exception as failure:
                if not is_outage(failure):
                    raise
                await asyncio.sleep(_LOOK_PAUSE_S)
                continue
            ids = {row[0] for row in found}
            there = [waiting.events[0].event_id in ids for waiting in batch]
            self._settle([w for w, t in zip(batch, there, strict=True) if t], [True] * sum(there))
            _fail(
                [w for w, t in zip(batch, there, strict=True) if not t],
                Overloaded(f"not recorded: {error!r}", 500),
            )
            return
        # The database stayed away. The client repeats with the same id and learns which it was.
        raise Overloaded(f"outcome unknown, repeat with the same id: {error!r}", 2000) from error


def _fail(batch: Iterable[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.done.done():
            waiting.done.set_exception(error)
