"""Following one database's log: read each event once, in commit order, and hand it to all.

The followers are the service's own read models and the publisher of its feed. Each keeps its own
position, so each may be ahead of or behind the others. A short queue before each lets a slow one
slow down the reading instead of filling the memory; one that does not move at all (the broker is
away) is left behind, so that it holds up no other, and reads on by itself once it can.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any

import asyncpg

from services.kernel.adapters.database import Database, is_outage, took_too_long
from services.kernel.adapters.event_codec import EventCodec
from services.kernel.adapters.event_log import NewEvent, decode_rows, read_log, recorded
from services.kernel.adapters.following import Follower, Following, hand_out
from services.kernel.adapters.telemetry import METRICS
from services.kernel.application.pace import Pace
from services.kernel.application.tasks import end, heed_cancellation
from services.kernel.domain.messages import Recorded

_LEADER_LOCK = 7235002
_ELECTION_PAUSE_S = 0.5
_BATCH_EVENTS = 1_000
_ROUND_S = 0.003
_OFFERED_COMMITS = 1_000
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 5.0
_OVERRUNS_BEFORE_HALVING = 3

_log = logging.getLogger(__name__)


class Tail:
    """Reads the log on behalf of its followers while it is the leader of its database.

    Leadership is a session advisory lock: it ends with the connection that holds it, so a
    process that dies or loses its database hands over without a timeout of ours. A former leader
    that does not know it yet does no harm, because every follower guards its own position.

    Args:
        database: Whose log.
        dsn: The same database; the leader's lock lives on a connection of its own.
        codec: Names to classes.
        followers: Who gets the events.
        poll_s: How often to look when nobody wakes us.
        seen: Called with events that nobody offered, as soon as they are read.
        lost: Called the moment that the connection which holds the lock breaks, or cannot be made.
    """

    def __init__(
        self,
        database: Database,
        dsn: str,
        codec: EventCodec,
        followers: Sequence[Follower],
        poll_s: float,
        lost: Callable[[], None] | None = None,
        seen: Callable[[Sequence[Recorded[Any]]], None] = lambda _: None,
    ) -> None:
        self._lost = lost or (lambda: None)
        self._seen = seen
        self._database = database
        self._dsn = dsn
        self._codec = codec
        self._followers = followers
        self._poll_s = poll_s
        self._woken = asyncio.Event()
        # Commits of this process that were not followed yet, by their first position.
        self._offered: dict[int, tuple[Sequence[NewEvent], int, datetime]] = {}
        self._position = 0
        self._task: asyncio.Task[None] | None = None
        # Whether it is this one that follows the log, as far as it knows.
        self.is_leading = False

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="tail")

    async def stop(self) -> None:
        if self._task is not None:
            await end([self._task])

    def offer(self, events: Sequence[NewEvent], last_position: int, at: datetime) -> None:
        """Say that the log has grown, by what: these events need not be read again.

        Only a shortcut: whatever is not offered, or comes when too much waits, is read.
        """
        if len(self._offered) < _OFFERED_COMMITS:
            self._offered[last_position - len(events) + 1] = (events, last_position, at)
        self._woken.set()

    def wake(self) -> None:
        """Have the log looked at: another process has written to it."""
        self._woken.set()

    async def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                async with self._leadership() as lock:
                    pause_s = _FIRST_PAUSE_S
                    await self._lead(lock)
            except Exception as error:  # whatever it was: who follows the log must not give up
                heed_cancellation()
                if is_outage(error) or _are_outages(error):
                    _log.warning("log follower lost its database, trying again", exc_info=True)
                else:
                    _log.exception("log follower failed, trying again")
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    @contextlib.asynccontextmanager
    async def _leadership(self) -> AsyncIterator["asyncio.Task[None]"]:
        """Wait for the lock, hold it for the block; the task given fails when it is lost."""
        limits = self._database.limits
        try:
            connection = await asyncpg.connect(
                self._dsn, timeout=limits.acquire_s, command_timeout=limits.statement_s
            )
        except Exception:
            # It went away before anybody here could notice it by a connection.
            self._lost()
            raise
        watch: asyncio.Task[None] | None = None
        connection.add_termination_listener(self._broken)
        try:
            while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LEADER_LOCK):
                await asyncio.sleep(_ELECTION_PAUSE_S)
            watch = asyncio.create_task(self._watch(connection), name="leadership")
            self.is_leading = True
            yield watch
        finally:
            self.is_leading = False
            for follower in self._followers:
                follower.note_lag(0)  # what waits is for the next leader to tell
            if watch is not None:
                watch.cancel()
            connection.remove_termination_listener(self._broken)
            connection.terminate()

    def _broken(self, _: Any) -> None:
        self._lost()

    async def _watch(self, connection: asyncpg.Connection) -> None:
        """Fail as soon as the connection that holds the lock is gone."""
        while True:
            await asyncio.sleep(self._database.limits.acquire_s)
            await connection.fetchval("SELECT 1")

    async def _lead(self, lock: "asyncio.Task[None]") -> None:
        async with asyncio.TaskGroup() as group:
            followings = [Following(f, await f.start_position()) for f in self._followers]
            position = self._position = min((one.handed for one in followings), default=0)
            for one in followings:
                group.create_task(self._feed(one), name=f"follow {one.follower.name}")
            pace = Pace(_ROUND_S)
            while True:
                await pace.wait()
                self._woken.clear()
                batch = self._take_offered(position)
                has_all = bool(batch)
                if not batch:
                    batch = await self._read(position)
                    has_all = len(batch) < _BATCH_EVENTS
                if batch:
                    # First: who is behind has caught up only when he has this batch, too.
                    position = self._position = batch[-1].position
                    await hand_out(batch, followings)
                if has_all and position + 1 not in self._offered:
                    if lock.done():
                        lock.result()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self._poll_s):
                            await self._woken.wait()

    async def _read(self, position: int) -> list[Recorded[Any]]:
        rows = await read_log(self._database.sql, position, _BATCH_EVENTS)
        self._seen(batch := decode_rows(self._codec, rows))
        return batch

    def _take_offered(self, position: int) -> list[Recorded[Any]]:
        """Return the events that follow ``position`` without a gap, as far as they were offered."""
        batch: list[Recorded[Any]] = []
        while len(batch) < _BATCH_EVENTS and (known := self._offered.pop(position + 1, None)):
            events, position, at = known
            batch += recorded(events, position, at)
        if not batch and self._offered:
            # What is offered does not join on: somebody else wrote in between. Read on from here,
            # and forget what the reading covers.
            self._offered = {}
        return batch

    async def _feed(self, following: "Following") -> None:
        backlog = following.backlog
        while True:
            if following.is_behind and not backlog:
                await self._catch_up(following)
                continue
            await backlog.wait()
            if len(backlog) < _BATCH_EVENTS:  # who is far behind does not rest
                await following.follower.pace.wait()
            await self._surely(following.follower, backlog.take(_BATCH_EVENTS))

    async def _catch_up(self, following: "Following") -> None:
        """Read one batch for who was left behind; who has all that was read is fed again."""
        if following.handed >= self._position:
            following.is_behind = False
            return
        batch = await self._read(following.handed)
        if not batch:
            await asyncio.sleep(_FIRST_PAUSE_S)
            return
        await self._surely(following.follower, batch)
        following.handed = batch[-1].position

    async def _surely(self, follower: Follower, batch: Sequence[Recorded[Any]]) -> None:
        pause_s, overruns = _FIRST_PAUSE_S, 0
        while True:
            try:
                await follower.follow(batch)
                follower.note_lag(max(0, self._position - batch[-1].position))
                follower.pace.ended()
            except Exception as error:
                heed_cancellation()
                level = logging.WARNING if is_outage(error) else logging.ERROR
                _log.log(level, "%s waits at %d", follower.name, batch[0].position, exc_info=True)
                METRICS.follower_failures.labels(follower.name).inc()
                follower.note_lag(max(0, self._position - batch[0].position + 1))
                overruns += took_too_long(error)
            else:
                return
            if overruns == _OVERRUNS_BEFORE_HALVING and len(batch) > 1:
                # A busy server may not manage so much within the limit of a statement.
                await self._surely(follower, batch[: len(batch) // 2])
                batch, overruns, pause_s = batch[len(batch) // 2 :], 0, _FIRST_PAUSE_S
                continue
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)


def _are_outages(error: Exception) -> bool:
    return isinstance(error, ExceptionGroup) and error.split(is_outage)[1] is None
