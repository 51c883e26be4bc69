"""Wakes what asked to be woken: each timer fires once, as a unit of work of its own."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from services.kernel.adapters.database import is_outage
from services.kernel.adapters.home import Home
from services.kernel.adapters.parking import reason_of
from services.kernel.application.runner import ConcurrentAppend
from services.kernel.application.tasks import end
from services.kernel.application.work import Work
from services.kernel.domain.ids import derive
from services.kernel.domain.messages import Cause

_log = logging.getLogger(__name__)

_BATCH_TIMERS = 500
# One timer may end hundreds of holds: a unit is full when it has so many events.
_BATCH_EVENTS = 1_000
_LONGEST_PAUSE_S = 5.0
_MOST_TRIES = 5
_MOST_RACES = 20


class Timers:
    """Fires due timers of one service.

    A timer is taken, handled and removed in one transaction, with its row locked: two workers
    never fire the same one, and one that dies half-way leaves it in place. A handler that fails
    is tried again alone, and after the last try the timer is kept with its reason.

    Args:
        home: The service.
        wakers: Handler for each timer name.
        poll_s: How often to look.
    """

    def __init__(
        self,
        home: Home,
        wakers: Mapping[str, Callable[[str, Work], Awaitable[None]]],
        poll_s: float,
    ) -> None:
        self._home = home
        self._wakers = wakers
        self._poll_s = poll_s
        self._task: asyncio.Task[None] | None = None
        self._has_left_some = False
        self._contended: set[str] = set()
        # What the last unit of work took.
        self._taken: list[str] = []

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="timers")

    async def stop(self) -> None:
        if self._task is not None:
            await end([self._task])

    async def _run(self) -> None:
        pause_s = self._poll_s
        while True:
            try:
                fired = await self.fire_due()
            except Exception as error:
                if not is_outage(error):
                    _log.exception("timers failed")
                fired = 0
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            else:
                pause_s = self._poll_s
            if fired < _BATCH_TIMERS and not self._has_left_some:
                await asyncio.sleep(pause_s)

    async def fire_due(self) -> int:
        """Fire what is due now, at most one batch; return how many timers were taken."""
        try:
            return await self._fire(_BATCH_TIMERS)
        except ConcurrentAppend:
            return await self.fire_due_singly()
        except Exception as error:
            if await self._is_outage(error):
                raise
            _log.warning("a timer failed, firing one by one", exc_info=True)
            return await self.fire_due_singly()

    async def fire_due_singly(self) -> int:
        """Fire one timer after the other, so that one failure holds up no other."""
        fired = races = 0
        while fired < _BATCH_TIMERS:
            try:
                taken = await self._fire(1)
            except ConcurrentAppend:
                races += 1
                if races == _MOST_RACES:
                    break
                continue
            except Exception as error:
                if not self._taken or await self._is_outage(error):
                    raise
                await self._note_failure(self._taken, error)
                taken = 1
            if not taken:
                break
            fired += taken
        return fired

    async def _is_outage(self, error: Exception) -> bool:
        """Tell a database that is away from a timer that asks too much of one that is well."""
        return is_outage(error) and not await self._home.database.overran(error)

    async def _fire(self, limit: int) -> int:
        home = self._home
        self._taken = []
        # Streams over which a race was lost are waited for in line from then on: under a storm of
        # timers, those who write the same streams all the time would lose every race, or win it.
        async with (
            home.turn,
            home.locks.hold(self._contended),
            home.database.connection() as connection,
        ):
            work = home.work(connection)
            try:
                async with connection.transaction():
                    rows = await self._take(connection, work.now, limit)
                    self._taken = [row["timer_id"] for row in rows]
                    self._has_left_some = False
                    for n, row in enumerate(rows):
                        if len(work.events) >= _BATCH_EVENTS:
                            rows = rows[:n]  # the others are let go with the transaction
                            self._has_left_some = True
                            break
                        work.begin(_cause(row))
                        await self._wakers[row["name"]](row["key"], work)
                    if rows:
                        await connection.execute(
                            "DELETE FROM timers WHERE timer_id = ANY($1)",
                            [row["timer_id"] for row in rows],
                        )
                    # Not waited for in the midst of a transaction: who is in line may wait for it.
                    others = {event.stream for event in work.events} - self._contended
                    if not home.locks.are_free(others):
                        raise ConcurrentAppend(next(iter(others)))
                    answer = await work.write(connection)
            except ConcurrentAppend:
                self._contended = {event.stream for event in work.events}
                work.forget()
                raise
            self._contended = set()
            work.keep()
            if answer is not None:
                home.committed(work.events, answer.last_position, answer.at)
            return len(rows)

    async def _take(self, connection: Any, now: Any, limit: int) -> Sequence[Any]:
        return list(
            await connection.fetch(
                "SELECT timer_id, tenant, name, key, due_at, correlation_id, causation_id,"
                " traceparent FROM timers WHERE due_at <= $1 AND failed IS NULL"
                " ORDER BY due_at, timer_id LIMIT $2 FOR UPDATE SKIP LOCKED",
                now,
                limit,
            )
        )

    async def _note_failure(self, timer_ids: Sequence[str], error: Exception) -> None:
        """Count a failed try, move the timer back from now on, and give it up after the last."""
        _log.error("timer %s failed", ", ".join(timer_ids), exc_info=error)
        await self._home.database.sql.execute(
            "UPDATE timers SET attempts = attempts + 1,"
            " due_at = greatest(due_at, $1) + interval '1 second' * 2 ^ attempts,"
            " failed = CASE WHEN attempts + 1 >= $2 THEN $3 END"
            " WHERE timer_id = ANY($4)",
            *(self._home.clock.now(), _MOST_TRIES, reason_of(error)),
            timer_ids,
        )


def _cause(row: Any) -> Cause:
    """Return why a timer's commands run; their id follows from the timer and its time."""
    return Cause(
        tenant=row["tenant"],
        command_id=derive(row["timer_id"], row["due_at"].isoformat()),
        correlation_id=row["correlation_id"],
        causation_id=row["causation_id"],
        traceparent=row["traceparent"],
    )
