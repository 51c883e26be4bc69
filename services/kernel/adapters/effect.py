"""What messages bring about, in one transaction: watermark, rows, timers and own events."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any

import asyncpg

from services.kernel.adapters import event_log
from services.kernel.adapters.home import Home
from services.kernel.adapters.lazy_transaction import LazyTransaction
from services.kernel.adapters.parking import Parking
from services.kernel.adapters.telemetry import TELEMETRY
from services.kernel.adapters.unit_of_work import UnitOfWork
from services.kernel.adapters.watermarks import Part, WatermarkMoved, Watermarks
from services.kernel.application.feeds import Envelope, Subscription
from services.kernel.application.runner import ConcurrentAppend
from services.kernel.domain.ids import derive
from services.kernel.domain.messages import Cause

_WATERMARK_MOVED = "OM001"
_APPEND_UNIT = (
    f"SELECT last_position, at FROM append_unit({', '.join(f'${n}' for n in range(1, 23))})"
)
_LONGEST_TURN_S = 0.002

type _Kept = tuple[int, datetime] | None  # last position and when; None without events


class Effect:
    """Of one subscription. Every method is one transaction, kept whole or not at all.

    All raise ``ConcurrentAppend`` where a stream that was decided on has moved, and
    ``WatermarkMoved`` where another owner went on.
    """

    def __init__(
        self, subscription: Subscription, home: Home, watermarks: Watermarks, parking: Parking
    ) -> None:
        self._subscription = subscription
        self._group = subscription.group
        self._home = home
        self._watermarks = watermarks
        self._parking = parking
        self._turn = home.turn if subscription.takes_turns else contextlib.nullcontext()
        self._contended: set[str] = set()

    @property
    def is_contended(self) -> bool:
        """Tell whether the last unit lost a race: the next one holds the lines of its streams."""
        return bool(self._contended)

    async def of_batch(self, part: Part) -> None:
        """Have one partition's messages heard; park those whose stream is blocked behind it."""
        waiting = [e for e in part.envelopes if self._parking.blocks(e)]
        free = [e for e in part.envelopes if not self._parking.blocks(e)] if waiting else None
        position = part.envelopes[-1].position
        async with self._heard(part.envelopes if free is None else free) as (work, sql):
            if work.events or work.timers or waiting or sql.transaction:
                kept = await self._keep(work, sql, part, waiting)
                self._watermarks.kept(part.partition, position)
                self._tell(work, kept)
            else:
                self._watermarks.pass_over(part.partition, position)

    async def of_parts(self, parts: Sequence[Part]) -> None:
        """Have the messages of several partitions heard, none of which is blocked."""
        async with self._heard([e for part in parts for e in part.envelopes]) as (work, sql):
            if work.events or work.timers or sql.transaction:
                self._expect_current(work)
                await self._watermarks.advance_several(sql, parts)
                kept = await _write(work, sql)
                for part in parts:
                    self._watermarks.kept(part.partition, part.envelopes[-1].position)
                self._tell(work, kept)
            for part in parts:
                self._watermarks.passed(part)

    async def of_parked(self, envelope: Envelope) -> None:
        """Have a parked message heard again, and take it out."""
        async with self._heard([envelope]) as (work, sql):
            self._expect_current(work)
            if not await self._parking.take(sql, envelope):
                raise WatermarkMoved(self._group)
            self._tell(work, await _write(work, sql))

    async def was_had(self, envelope: Envelope) -> bool:
        """Tell whether the log holds what followed from a message.

        A decider is silent about what it knows already; a process writes down what it hears.
        """
        first_id = derive(envelope.tenant, _cause(envelope, self._group, "").command_id, 0)
        return bool(
            await self._home.database.sql.fetchval(
                "SELECT 1 FROM events WHERE event_id = $1::uuid", first_id
            )
        )

    @asynccontextmanager
    async def _heard(
        self, envelopes: Sequence[Envelope]
    ) -> AsyncIterator[tuple[UnitOfWork, LazyTransaction]]:
        """Lend what hearing the messages came to; the block keeps it."""
        decoded = [(self._subscription.read(envelope), envelope) for envelope in envelopes]
        async with (
            self._turn,
            # A batch takes longer than a call, so a stream of calls would make it lose for ever:
            # once it has lost, calls that write to its streams wait until it is through.
            self._home.locks.hold(self._contended),
            AsyncExitStack() as stack,
        ):
            sql = LazyTransaction(self._home.database, stack, keeps_connection=True)
            work = self._home.work(sql)
            await self._hear(work, decoded)
            try:
                yield work, sql
            except ConcurrentAppend:
                work.forget()
                self._contended = {event.stream for event in work.events}
                raise
            self._contended = set()
            work.keep()

    async def _hear(self, work: UnitOfWork, decoded: Sequence[tuple[Any, Envelope]]) -> None:
        if not decoded:
            return
        subscription = self._subscription
        if subscription.prepare is not None:
            # A batch may hold several tenants; whoever prepares groups by the envelope's.
            first = decoded[0][1]
            work.begin(_cause(first, self._group, first.traceparent))
            await subscription.prepare(decoded, work)
        loop = asyncio.get_running_loop()
        turn_ends_s = loop.time() + _LONGEST_TURN_S
        for message, envelope in decoded:
            if loop.time() > turn_ends_s:
                await asyncio.sleep(0)  # a long batch must not keep others from what is urgent
                turn_ends_s = loop.time() + _LONGEST_TURN_S
            if not envelope.key.startswith(f"{envelope.tenant}/"):
                raise ValueError(f"stream {envelope.key!r} is not of tenant {envelope.tenant!r}")
            if TELEMETRY.is_tracing:
                age = self._home.clock.now() - envelope.recorded_at
                name = f"{self._group} hear {envelope.type}"
                with TELEMETRY.work(name, envelope.traceparent, age) as hearing:
                    traceparent = hearing.traceparent
                    work.begin_because(partial(_cause, envelope, self._group, traceparent))
                    await subscription.hear(message, envelope, work)
            else:
                traceparent = envelope.traceparent
                work.begin_because(partial(_cause, envelope, self._group, traceparent))
                await subscription.hear(message, envelope, work)

    async def _keep(
        self, work: UnitOfWork, sql: LazyTransaction, part: Part, waiting: Sequence[Envelope]
    ) -> _Kept:
        self._expect_current(work)
        if sql.transaction is None and not waiting:
            return await self._keep_at_once(work, part)
        position = part.envelopes[-1].position
        await self._watermarks.advance(sql, part.partition, position, part.bus_offset)
        await self._parking.put_behind(sql, waiting)
        return await _write(work, sql)

    async def _keep_at_once(self, work: UnitOfWork, part: Part) -> _Kept:
        """Do the same in one statement, for a unit that wrote no rows of its own."""
        try:
            row = await self._home.database.sql.fetchrow(
                _APPEND_UNIT,
                *(self._group, self._subscription.topic, part.partition),
                *(self._watermarks.stored[part.partition], part.envelopes[-1].position),
                part.bus_offset,
                *work.timers.columns(),
                *event_log.unit_columns(work.events),
            )
        except asyncpg.PostgresError as error:
            if error.sqlstate == _WATERMARK_MOVED:
                raise WatermarkMoved(self._group) from None
            if error.sqlstate == event_log.APPEND_REFUSED:
                raise ConcurrentAppend(work.events[0].stream) from None
            raise
        return (row[0], row[1]) if work.events else None

    def _expect_current(self, work: UnitOfWork) -> None:
        if work.is_outdated:
            raise WatermarkMoved(self._group)

    def _tell(self, work: UnitOfWork, kept: _Kept) -> None:
        if kept is not None:
            self._home.committed(work.events, *kept)


async def _write(work: UnitOfWork, sql: LazyTransaction) -> _Kept:
    """Write timers and events of a unit and end its transaction."""
    answer = await work.write(sql.transaction)
    await sql.commit()
    return (answer.last_position, answer.at) if answer is not None else None


def _cause(envelope: Envelope, group: str, traceparent: str) -> Cause:
    """Return why a message's commands run: their id follows from the message and the group."""
    return Cause(
        tenant=envelope.tenant,
        command_id=derive(envelope.event_id, group),
        correlation_id=envelope.correlation_id,
        causation_id=envelope.event_id,
        traceparent=traceparent,
    )
