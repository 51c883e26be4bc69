"""Runs use cases: load, decide, append; again when the race was lost."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from enum import StrEnum
from typing import Any

from services.kernel.adapters import event_log
from services.kernel.adapters.appender import Appender
from services.kernel.adapters.database import Database
from services.kernel.adapters.durability import Barrier, Session
from services.kernel.adapters.event_codec import EventCodec
from services.kernel.adapters.event_log import Committed
from services.kernel.adapters.lazy_transaction import LazyTransaction
from services.kernel.adapters.unit_of_work import UnitOfWork
from services.kernel.application.clock import Clock
from services.kernel.application.runner import ConcurrentAppend, UseCase
from services.kernel.application.state_cache import StateCache
from services.kernel.application.stream_locks import StreamLocks
from services.kernel.domain.errors import Rejected
from services.kernel.domain.messages import Cause

_MOST_TRIES = 8


class Refusal(StrEnum):
    IDEMPOTENCY_MISMATCH = "IDEMPOTENCY_MISMATCH"


class _Overtaken(ConcurrentAppend):
    """Lost without asking the database: this process has appended to the stream meanwhile."""


class CommandRunner:
    """Implements ``Runner`` on one database.

    A use case that only decides goes through the appender's batches. One that also sets timers is
    a statement of its own; one that writes rows gets a transaction, opened by its first write.
    """

    def __init__(
        self,
        database: Database,
        appender: Appender,
        codec: Callable[[], EventCodec],
        cache: StateCache,
        clock: Clock,
        locks: StreamLocks,
        committed: Committed,
        *,
        is_sole_writer: bool,
        barrier: Barrier | None,
    ) -> None:
        self._barrier = barrier
        self._database = database
        self._appender = appender
        self._codec = codec
        self._cache = cache
        self._clock = clock
        self._locks = locks
        self._committed = committed
        self._is_sole_writer = is_sole_writer

    async def execute[T](self, cause: Cause, use_case: UseCase[T]) -> T:
        now = self._clock.now()
        contended: Iterable[str] = ()
        lost: ConcurrentAppend | None = None
        for _ in range(_MOST_TRIES):
            # Streams over which a race was lost are decided on one after the other from then on;
            # otherwise a crowd on one stream would lose most of its races.
            session = None if self._barrier is None else await self._barrier.session()
            async with self._locks.hold(contended), AsyncExitStack() as transaction:
                sql = LazyTransaction(self._database, transaction)
                work = UnitOfWork(
                    sql, self._codec(), self._cache, now, is_sole_writer=self._is_sole_writer
                )
                work.begin(cause)
                answer = await use_case(work)
                try:
                    # A batch of messages that lost a race holds the lines of its streams.
                    streams = () if contended else {event.stream for event in work.events}
                    async with self._locks.hold(streams):
                        if work.is_overtaken():
                            raise _Overtaken
                        await self._keep(work, sql, session)
                except ConcurrentAppend as error:
                    lost = error
                    is_known = isinstance(error, _Overtaken)
                    work.forget()
                    contended = {event.stream for event in work.events}
                    event_ids = [event.event_id for event in work.events]
                else:
                    return answer
            if not is_known:
                await self._refuse_reused_id(cause, event_ids, use_case, now)
        raise lost if lost is not None else ConcurrentAppend()

    async def _keep(self, work: UnitOfWork, sql: LazyTransaction, session: Session | None) -> None:
        if work.is_outdated:
            raise ConcurrentAppend("the database was lost meanwhile")
        if work.timers and sql.transaction is None:
            await self._keep_with_timers(work)
            return
        if sql.transaction is None:
            if work.events:
                await self._appender.append(work.events)
                work.keep()
            elif session is not None:
                # Nothing left to do: what the answer rests on may not be on disk yet.
                await session.passed()
            return
        try:
            answer = await work.write(sql.transaction)
        except ConcurrentAppend:
            await sql.roll_back()
            raise
        await sql.commit()
        work.keep()
        if answer is not None:
            self._committed(work.events, answer.last_position, answer.at)

    async def _keep_with_timers(self, work: UnitOfWork) -> None:
        answer = await event_log.append_with_timers(
            self._database.sql, work.timers.columns(), work.events
        )
        if answer is not None and answer.refused:
            raise ConcurrentAppend(work.events[0].stream)
        work.keep()
        if answer is not None:
            self._committed(work.events, answer.last_position, answer.at)

    async def _refuse_reused_id(
        self, cause: Cause, event_ids: Sequence[str], use_case: UseCase[Any], now: Any
    ) -> None:
        """Tell a lost race from an id that was used for another command.

        If the very event of this command is in the log, the command was carried out before, and
        deciding again must come to nothing. If it still comes to events, it is another command.
        """
        if not await self._database.sql.fetchval(
            "SELECT 1 FROM events WHERE event_id = ANY($1) LIMIT 1", event_ids
        ):
            return
        async with AsyncExitStack() as transaction:
            sql = LazyTransaction(self._database, transaction)
            work = UnitOfWork(sql, self._codec(), self._cache, now, is_sole_writer=False)
            work.begin(cause)
            await use_case(work)
            if sql.transaction is not None:
                await sql.roll_back()
            if work.events:
                raise Rejected(
                    Refusal.IDEMPOTENCY_MISMATCH,
                    "this request id was used for another command: choose a new one",
                )
