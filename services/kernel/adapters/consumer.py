"""What a group does with a batch of one partition: watermark, effect and own events in one commit.

The same code runs behind every bus. Three things may go wrong, and each has its own answer:

* the database is away: wait, longer each time, and try the same batch again, for ever (but a
  message that takes too long by itself, while the database is well, cannot be handled);
* a race is lost: drop the states that were relied on and decide the batch again;
* a message cannot be handled: find it by going one by one, try it a few times, then park it with
  its reason. Later messages of its stream are parked behind it; all others go on.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import asyncpg
import msgspec

from services.kernel.adapters import event_log
from services.kernel.adapters.database import Database, is_outage
from services.kernel.adapters.event_codec import EventCodec
from services.kernel.adapters.event_log import Committed
from services.kernel.adapters.lazy_transaction import LazyTransaction
from services.kernel.adapters.telemetry import METRICS, TELEMETRY
from services.kernel.adapters.unit_of_work import UnitOfWork
from services.kernel.application.clock import Clock
from services.kernel.application.feeds import Envelope, Subscription
from services.kernel.application.runner import ConcurrentAppend
from services.kernel.application.state_cache import StateCache
from services.kernel.application.stream_locks import StreamLocks
from services.kernel.domain.ids import derive
from services.kernel.domain.messages import Cause

_log = logging.getLogger(__name__)

encode_envelope = msgspec.json.Encoder().encode
decode_envelope = msgspec.json.Decoder(Envelope).decode

_WATERMARK_MOVED = "OM001"
_APPEND_UNIT = (
    f"SELECT last_position, at FROM append_unit({', '.join(f'${n}' for n in range(1, 23))})"
)
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 5.0
_LONGEST_TURN_S = 0.002
_MOST_RACES = 20
_RACES_BEFORE_HALVING = 3
_OUTAGES_BEFORE_HALVING = 5
_OVERRUNS_BEFORE_PARKING = 6
_REDRIVE_MESSAGES = 1_000
_LONGEST_REASON = 2_000
# Taken by whoever adds to or takes from what is parked of a stream: group, feed, stream.
HOLD_PARKED = (
    "SELECT pg_advisory_xact_lock("
    "hashtextextended(concat_ws(' ', $1::text, $2::text, $3::text), 7235003))"
)
_WAITS = "waits behind an earlier message of its stream"


@dataclass(frozen=True, slots=True)
class Home:
    """What the consumers and timers of one service share.

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


@dataclass(frozen=True, slots=True)
class Parked:
    """A message that waits for a person.

    Attributes:
        envelope: As it was received, or what could be read of it.
        reason: Why it could not be handled.
        attempts: How often it was tried; 0 when it only waits behind another.
    """

    envelope: Envelope
    reason: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Part:
    """What one partition brings.

    Attributes:
        partition: One that was assigned.
        envelopes: In its order.
        bus_offset: Where the bus has the last of them.
    """

    partition: int
    envelopes: Sequence[Envelope]
    bus_offset: int


class WatermarkMoved(Exception):
    """Another owner of the partition went on; what it did must not be done again."""


class Consumer:
    """One group on one feed.

    Args:
        subscription: What to do, made by ``listen``.
        home: The service that listens.
        tries: How often a message is tried before it is parked.
        redrive_poll_s: How often to look whether someone asked for a redrive.
    """

    def __init__(
        self, subscription: Subscription, home: Home, *, tries: int, redrive_poll_s: float
    ) -> None:
        self._subscription = subscription
        self._passes_over = subscription.passes_over
        self._home = home
        self._tries = tries
        self.redrive_poll_s = redrive_poll_s
        # Up to where messages were handled, and up to where the database knows it. The first runs
        # ahead over messages that came to nothing: hearing those again comes to nothing again.
        self._watermarks: dict[int, int] = {}
        self._stored: dict[int, int] = {}
        self._bus_offsets: dict[int, int] = {}
        self._next_note = 0.0
        self._blocked: set[str] = set()
        self._contended: set[str] = set()
        self._next_redrive = 0.0
        self.topic = subscription.topic
        self.is_urgent = subscription.is_urgent
        self._turn = home.turn if subscription.takes_turns else contextlib.nullcontext()
        self.group = subscription.group

    def watermark(self, partition: int) -> int:
        """Return the position up to which messages of a partition have had their effect."""
        return self._watermarks[partition]

    def is_interested(self, envelopes: Sequence[Envelope]) -> bool:
        """Tell whether any of these messages is one that the group hears."""
        return any(envelope.type not in self._passes_over for envelope in envelopes)

    def pass_over(self, partition: int, position: int) -> None:
        """Note that nothing up to ``position`` concerns the group; it must be idle."""
        self._watermarks[partition] = max(self._watermarks[partition], position)

    async def assign(self, partition: int) -> int:
        """Become the owner of a partition; return the bus offset after which to read (-1: none)."""
        sql = self._home.database.sql
        row = await sql.fetchrow(
            "INSERT INTO watermarks (group_name, topic, partition, position) VALUES ($1, $2, $3, 0)"
            " ON CONFLICT (group_name, topic, partition)"
            " DO UPDATE SET position = watermarks.position RETURNING position, bus_offset",
            *(self.group, self.topic, partition),
        )
        self._watermarks[partition] = self._stored[partition] = row[0]
        self._bus_offsets.pop(partition, None)
        await self._reload_blocked()
        return int(row[1])

    async def is_of(self, partition: int, topic_id: str) -> bool:
        """Tell whether what was read of a partition was of this topic, and note that it is now.

        If it was not, the partition is to be read from its beginning, as in ``forget_offset``.
        """
        before = await self._home.database.sql.fetchval(
            "UPDATE watermarks w SET bus_topic = $4,"
            " bus_offset = CASE b.bus_topic WHEN '' THEN w.bus_offset ELSE -1 END"
            " FROM watermarks b WHERE w.group_name = $1 AND w.topic = $2 AND w.partition = $3"
            " AND b.group_name = $1 AND b.topic = $2 AND b.partition = $3 AND b.bus_topic <> $4"
            " RETURNING b.bus_topic",
            *(self.group, self.topic, partition, topic_id),
        )
        return not before  # the same, or not noted so far

    async def forget_offset(self, partition: int) -> None:
        """Have a partition read from its beginning: what the bus has there is not what it had.

        The watermark stays: what was heard before is passed over.
        """
        self._bus_offsets.pop(partition, None)
        await self._home.database.sql.execute(
            "UPDATE watermarks SET bus_offset = -1"
            " WHERE group_name = $1 AND topic = $2 AND partition = $3",
            *(self.group, self.topic, partition),
        )

    async def consume_together(self, parts: Sequence[Part]) -> None:
        """Give batches of several partitions their effect, in one commit if all goes well.

        If anything does not, nothing of it was kept, and each is consumed by itself.
        """
        if len(parts) > 1 and not self._blocked and not self._contended:
            fresh = [
                Part(part.partition, batch, part.bus_offset)
                for part in parts
                if (batch := self._fresh(part.partition, part.envelopes))
            ]
            # What concerns nobody costs no commit by itself either.
            if len(fresh) > 1 and await self._are_kept_together(fresh):
                heard = {part.partition for part in fresh}
                parts = [part for part in parts if part.partition not in heard]
        for part in parts:
            await self.consume(part.partition, part.envelopes, part.bus_offset)

    def _fresh(self, partition: int, envelopes: Sequence[Envelope]) -> list[Envelope]:
        mark = self._watermarks[partition]
        return [e for e in envelopes if e.position > mark and e.type not in self._passes_over]

    async def _are_kept_together(self, parts: Sequence[Part]) -> bool:
        try:
            with METRICS.consume_seconds.labels(self.group).time():
                await self._unit_of_several(parts)
        except Exception as error:  # whatever it is, `consume` knows what to do
            _log.debug("%s goes on partition by partition: %r", self.group, error)
            return False
        last = max((part.envelopes[-1] for part in parts), key=lambda e: e.recorded_at)
        self._count(sum(len(part.envelopes) for part in parts), last)
        return True

    async def consume(  # noqa: C901, PLR0912 - three answers to three failures, in one place
        self, partition: int, envelopes: Sequence[Envelope], bus_offset: int = -1
    ) -> None:
        """Give a batch its effect; return once that is durable, or every failure is parked.

        Args:
            partition: One that was assigned.
            envelopes: In the order of the partition.
            bus_offset: Where the bus has the last of them; kept beside the watermark.
        """
        pause_s = _FIRST_PAUSE_S
        races = outages = overruns = 0
        while True:
            mark = self._watermarks[partition]
            batch = [e for e in envelopes if e.position > mark and e.type not in self._passes_over]
            if not batch:
                self._watermarks[partition] = max(mark, envelopes[-1].position)
                self._bus_offsets[partition] = bus_offset
                return
            try:
                if (
                    races >= _RACES_BEFORE_HALVING
                    and len(batch) == 1
                    and await self._was_heard(batch[0])
                ):
                    # A feed is heard again from further back than the watermark ever was.
                    await self._advance(
                        self._home.database.sql, partition, batch[0].position, bus_offset
                    )
                    self._stored[partition] = batch[0].position
                else:
                    with METRICS.consume_seconds.labels(self.group).time():
                        await self._unit(partition, batch, bus_offset)
            except WatermarkMoved:
                await self.assign(partition)
            except ConcurrentAppend:
                races += 1
                if races >= _RACES_BEFORE_HALVING and len(batch) > 1:
                    # Another process writes to these streams: a shorter unit has better chances.
                    half = batch[: len(batch) // 2]
                    await self.consume(partition, half)
                    races = 0
                elif races > _MOST_RACES:
                    await asyncio.sleep(_FIRST_PAUSE_S)
            except Exception as error:
                if is_outage(error):
                    outages += 1
                    _log.warning("%s waits for its database", self.group, exc_info=True)
                    overruns += len(batch) == 1 and await self._home.database.overran(error)
                    if overruns >= max(_OVERRUNS_BEFORE_PARKING, self._tries):
                        await self._park(partition, batch[0], bus_offset, error)
                        continue
                    if outages % _OUTAGES_BEFORE_HALVING == 0 and len(batch) > 1:
                        # A busy server may not manage so much within the limit of a statement.
                        await self.consume(partition, batch[: len(batch) // 2])
                        pause_s = _FIRST_PAUSE_S
                        continue
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
                elif len(batch) > 1:
                    # The bus is past a message only when those before it are dealt with.
                    for envelope in batch:
                        last = envelope is batch[-1]
                        await self.consume(partition, [envelope], bus_offset if last else -1)
                else:
                    await self._try_again_or_park(partition, batch[0], bus_offset)
            else:
                self._count(len(batch), batch[-1])
                self._watermarks[partition] = max(batch[-1].position, envelopes[-1].position)
                self._bus_offsets[partition] = bus_offset
                return

    def _count(self, messages: int, last: Envelope) -> None:
        METRICS.consumed.labels(self.group).inc(messages)
        METRICS.consume_batch_size.labels(self.group).observe(messages)
        lag = self._home.clock.now() - last.recorded_at
        METRICS.watermark_lag_seconds.labels(self.group, self.topic).set(lag.total_seconds())

    async def _was_heard(self, envelope: Envelope) -> bool:
        """Tell whether the log holds what followed from a message: then no race explains a refusal.

        A decider is silent about what it knows already; a process writes down what it hears.
        """
        first_id = derive(envelope.tenant, _cause(envelope, self.group, "").command_id, 0)
        return bool(
            await self._home.database.sql.fetchval(
                "SELECT 1 FROM events WHERE event_id = $1::uuid", first_id
            )
        )

    async def note_watermarks(self, *, at_once: bool = False) -> None:
        """Store the watermarks that ran ahead of the database.

        Args:
            at_once: Also when that was done less than a poll interval ago.
        """
        loop_time = asyncio.get_running_loop().time()
        if loop_time < self._next_note and not at_once:
            return
        self._next_note = loop_time + self.redrive_poll_s
        for partition, position in self._watermarks.items():
            if position > self._stored[partition]:
                try:
                    await self._advance(
                        self._home.database.sql,
                        partition,
                        position,
                        self._bus_offsets.get(partition, -1),
                    )
                except WatermarkMoved:
                    await self.assign(partition)
                except Exception as error:
                    if not is_outage(error):
                        raise
                    _log.warning("%s could not note its watermark", self.group, exc_info=True)
                else:
                    self._stored[partition] = position

    async def park_unreadable(
        self, partition: int, envelope: Envelope, reason: str, bus_offset: int
    ) -> None:
        """Park what the bus could not read; its stream, if it has one, waits behind it.

        Such a message has no place in the source's log, so the watermark stays where it is; that
        it was dealt with shows in the bus offset beside it.

        Args:
            partition: One that was assigned.
            envelope: A stand-in with what could be read; the same whenever the message comes.
            reason: What is wrong with it.
            bus_offset: Where the bus has it.
        """
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                async with self._home.database.connection() as connection, connection.transaction():
                    moved = await connection.execute(
                        "UPDATE watermarks SET bus_offset = $4 WHERE group_name = $1"
                        " AND topic = $2 AND partition = $3 AND bus_offset < $4",
                        *(self.group, self.topic, partition, bus_offset),
                    )
                    if moved != "UPDATE 1":
                        return  # it came before, and was parked, perhaps dropped
                    await self._insert_parked(connection, [envelope], f"Unreadable: {reason}", 1)
                self._bus_offsets[partition] = bus_offset
                break
            except Exception as error:
                if not is_outage(error):
                    raise
                _log.warning("%s waits for its database", self.group, exc_info=True)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
        _log.error("%s parked an unreadable message: %s", self.group, reason)
        self._blocked.add(envelope.key)
        METRICS.parked.labels(self.group, self.topic).set(len(self._blocked))

    async def redrive(self) -> None:
        """Try parked streams again that someone asked for; at most once per poll interval."""
        loop_time = asyncio.get_running_loop().time()
        if not self._blocked or loop_time < self._next_redrive:
            return
        self._next_redrive = loop_time + self.redrive_poll_s
        try:
            rows = await self._home.database.sql.fetch(
                "SELECT envelope FROM parked p WHERE group_name = $1 AND topic = $2 AND EXISTS"
                " (SELECT FROM parked r WHERE r.group_name = $1 AND r.topic = $2"
                "  AND r.stream = p.stream AND r.redrive)"
                " ORDER BY position LIMIT $3",
                *(self.group, self.topic, _REDRIVE_MESSAGES),
            )
            failed: set[str] = set()
            for row in rows:
                envelope = decode_envelope(row[0])
                if envelope.key not in failed and not await self._redrive_one(envelope):
                    failed.add(envelope.key)
            await self._reload_blocked()
        except Exception as error:
            if not is_outage(error):
                raise
            _log.warning("%s could not redrive", self.group, exc_info=True)

    async def untold(self, limit: int) -> list[Parked]:
        """Return parked messages that nobody has been told of yet, oldest first."""
        rows = await self._home.database.sql.fetch(
            "SELECT envelope, reason, attempts FROM parked WHERE group_name = $1 AND topic = $2"
            " AND NOT is_told ORDER BY parked_at, position LIMIT $3",
            *(self.group, self.topic, limit),
        )
        return [Parked(decode_envelope(row[0]), row[1], row[2]) for row in rows]

    async def told(self, parked: Sequence[Parked]) -> None:
        """Note that these were told."""
        await self._home.database.sql.execute(
            "UPDATE parked SET is_told = true WHERE group_name = $1 AND topic = $2"
            " AND (stream, position) IN (SELECT * FROM unnest($3::text[], $4::bigint[]))",
            *(self.group, self.topic),
            [one.envelope.key for one in parked],
            [one.envelope.position for one in parked],
        )

    async def _redrive_one(self, envelope: Envelope) -> bool:
        for _ in range(_MOST_RACES):
            try:
                await self._unit(None, [envelope], -1)
            except ConcurrentAppend:
                continue
            except WatermarkMoved:  # dropped, or driven again elsewhere, in the meantime
                return True
            except Exception as error:
                if is_outage(error) and not await self._home.database.overran(error):
                    raise
                # The whole stream has had its try: what waits behind was asked for with it.
                await self._home.database.sql.execute(
                    "UPDATE parked SET redrive = false,"
                    " attempts = attempts + (position = $4)::int,"
                    " reason = CASE WHEN position = $4 THEN $5 ELSE reason END"
                    " WHERE group_name = $1 AND topic = $2 AND stream = $3",
                    *(self.group, self.topic, envelope.key, envelope.position, reason_of(error)),
                )
                return False
            return True
        return False

    async def _try_again_or_park(self, partition: int, envelope: Envelope, bus_offset: int) -> None:
        pause_s = _FIRST_PAUSE_S
        failure: Exception | None = None
        attempt = 1
        while attempt < self._tries:
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            try:
                await self._unit(partition, [envelope], bus_offset)
            except ConcurrentAppend:
                continue
            except WatermarkMoved:
                return
            except Exception as error:
                if is_outage(error):
                    return
                attempt += 1
                failure = error
            else:
                return
        await self._park(partition, envelope, bus_offset, failure)

    async def _park(
        self, partition: int, envelope: Envelope, bus_offset: int, failure: Exception | None
    ) -> None:
        _log.error(
            "%s parked message %s (%s)",
            self.group,
            envelope.event_id,
            envelope.type,
            exc_info=failure,
        )
        async with self._home.database.connection() as connection, connection.transaction():
            await self._advance(connection, partition, envelope.position, bus_offset)
            await self._insert_parked(connection, [envelope], reason_of(failure), self._tries)
        self._watermarks[partition] = self._stored[partition] = envelope.position
        self._blocked.add(envelope.key)
        METRICS.parked.labels(self.group, self.topic).set(len(self._blocked))

    async def _unit(
        self, partition: int | None, batch: Sequence[Envelope], bus_offset: int
    ) -> None:
        """One transaction: watermark (or, on a redrive, the parked row), effects, own events."""
        home = self._home
        free = [e for e in batch if partition is None or e.key not in self._blocked]
        waiting = [e for e in batch if partition is not None and e.key in self._blocked]
        decoded = [(self._subscription.read(e), e) for e in free]
        async with (
            self._turn,
            # A batch takes longer than a call, so a stream of calls would make it lose for ever:
            # once it has lost, calls that write to its streams wait until it is through.
            home.locks.hold(self._contended),
            AsyncExitStack() as stack,
        ):
            sql = LazyTransaction(home.database, stack, keeps_connection=True)
            work = UnitOfWork(
                sql,
                home.codec,
                home.cache,
                home.clock.now(),
                is_sole_writer=home.is_sole_writer,
            )
            await self._hear(work, decoded)
            kept: tuple[int, datetime] | None = None
            if work.events or work.timers or waiting or partition is None or sql.transaction:
                try:
                    kept = await self._keep(work, sql, partition, batch[-1], bus_offset, waiting)
                except ConcurrentAppend:
                    work.forget()
                    self._contended = {event.stream for event in work.events}
                    raise
                if partition is not None:
                    self._stored[partition] = batch[-1].position
            self._contended = set()
            work.keep()
            if partition is not None:
                self._watermarks[partition] = batch[-1].position
            if kept is not None:
                home.committed(work.events, *kept)

    async def _unit_of_several(self, parts: Sequence[Part]) -> None:
        """One transaction for several partitions: all watermarks, effects, own events."""
        home = self._home
        decoded = [(self._subscription.read(e), e) for part in parts for e in part.envelopes]
        async with self._turn, AsyncExitStack() as stack:
            sql = LazyTransaction(home.database, stack, keeps_connection=True)
            work = UnitOfWork(
                sql,
                home.codec,
                home.cache,
                home.clock.now(),
                is_sole_writer=home.is_sole_writer,
            )
            await self._hear(work, decoded)
            answer = None
            has_effect = bool(work.events or work.timers or sql.transaction)
            if has_effect:
                if work.is_outdated:
                    raise WatermarkMoved(self.group)
                await self._advance_several(sql, parts)
                if work.timers:
                    await work.flush_timers(sql)
                if work.events:
                    answer = await event_log.append(sql.transaction, [work.events])
                    if answer.refused:
                        work.forget()
                        raise ConcurrentAppend(work.events[0].stream)
                await sql.commit()
            work.keep()
            for part in parts:
                self._watermarks[part.partition] = part.envelopes[-1].position
                self._bus_offsets[part.partition] = part.bus_offset
                if has_effect:
                    self._stored[part.partition] = part.envelopes[-1].position
            if answer is not None:
                home.committed(work.events, answer.last_position, answer.at)

    async def _advance_several(self, connection: Any, parts: Sequence[Part]) -> None:
        moved = await connection.execute(
            "UPDATE watermarks w SET position = p.position,"
            " bus_offset = CASE WHEN p.bus_offset < 0 THEN w.bus_offset ELSE p.bus_offset END"
            " FROM unnest($3::int[], $4::bigint[], $5::bigint[], $6::bigint[])"
            " AS p (partition, stored, position, bus_offset)"
            " WHERE w.group_name = $1 AND w.topic = $2 AND w.partition = p.partition"
            " AND w.position = p.stored",
            *(self.group, self.topic),
            [part.partition for part in parts],
            [self._stored[part.partition] for part in parts],
            [part.envelopes[-1].position for part in parts],
            [part.bus_offset for part in parts],
        )
        if moved != f"UPDATE {len(parts)}":
            raise WatermarkMoved(self.group)

    async def _keep(
        self,
        work: UnitOfWork,
        sql: LazyTransaction,
        partition: int | None,
        last: Envelope,
        bus_offset: int,
        waiting: Sequence[Envelope],
    ) -> tuple[int, datetime] | None:
        """Commit rows, timers, events and the watermark (or the parked row's end) together.

        Returns:
            Position of the last event and when it was recorded; None without events.
        """
        if work.is_outdated:
            raise WatermarkMoved(self.group)
        if partition is not None and sql.transaction is None and not waiting:
            return await self._keep_at_once(work, partition, last.position, bus_offset)
        if partition is None:
            await self._unpark(sql, last)
        else:
            await self._advance(sql, partition, last.position, bus_offset)
        if waiting:
            await self._park_behind(sql, waiting)
        answer = await work.write(sql.transaction)
        await sql.commit()
        return (answer.last_position, answer.at) if answer is not None else None

    async def _keep_at_once(
        self, work: UnitOfWork, partition: int, position: int, bus_offset: int
    ) -> tuple[int, datetime] | None:
        """Do the same in one statement, for a unit that wrote no rows of its own."""
        try:
            row = await self._home.database.sql.fetchrow(
                _APPEND_UNIT,
                *(self.group, self.topic, partition, self._stored[partition], position, bus_offset),
                *work.timer_columns(),
                *event_log.unit_columns(work.events),
            )
        except asyncpg.PostgresError as error:
            if error.sqlstate == _WATERMARK_MOVED:
                raise WatermarkMoved(self.group) from None
            if error.sqlstate == event_log.APPEND_REFUSED:
                raise ConcurrentAppend(work.events[0].stream) from None
            raise
        return (row[0], row[1]) if work.events else None

    async def _hear(self, work: UnitOfWork, decoded: Sequence[tuple[Any, Envelope]]) -> None:
        if not decoded:
            return
        subscription = self._subscription
        if subscription.prepare is not None:
            # A batch may hold several tenants; whoever prepares groups by the envelope's.
            first = decoded[0][1]
            work.begin(_cause(first, self.group, first.traceparent))
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
                name = f"{self.group} hear {envelope.type}"
                with TELEMETRY.work(name, envelope.traceparent, age) as hearing:
                    traceparent = hearing.traceparent
                    work.begin_because(partial(_cause, envelope, self.group, traceparent))
                    await subscription.hear(message, envelope, work)
            else:
                traceparent = envelope.traceparent
                work.begin_because(partial(_cause, envelope, self.group, traceparent))
                await subscription.hear(message, envelope, work)

    async def _advance(
        self, connection: Any, partition: int, position: int, bus_offset: int
    ) -> None:
        moved = await connection.execute(
            "UPDATE watermarks SET position = $4,"
            " bus_offset = CASE WHEN $6 < 0 THEN bus_offset ELSE $6 END"
            " WHERE group_name = $1 AND topic = $2 AND partition = $3 AND position = $5",
            *(self.group, self.topic, partition, position),
            *(self._stored[partition], bus_offset),
        )
        if moved != "UPDATE 1":
            raise WatermarkMoved(self.group)

    async def _park_behind(self, connection: Any, envelopes: Sequence[Envelope]) -> None:
        """Park messages behind others of their stream.

        What they waited for may have been driven or dropped meanwhile, here or in another process:
        then nobody would ever ask for them, so they ask themselves.
        """
        for envelope in envelopes:
            await self._hold_parked(connection, envelope)
            await self._insert_parked(connection, [envelope], _WAITS, 0)
            await connection.execute(
                "UPDATE parked SET redrive = true WHERE group_name = $1 AND topic = $2"
                " AND stream = $3 AND position = $4 AND NOT EXISTS (SELECT FROM parked e"
                "  WHERE e.group_name = $1 AND e.topic = $2 AND e.stream = $3 AND e.position < $4)",
                *(self.group, self.topic, envelope.key, envelope.position),
            )

    async def _hold_parked(self, connection: Any, envelope: Envelope) -> None:
        """Let nobody else add to or take from what is parked of a stream until the commit."""
        await connection.execute(HOLD_PARKED, self.group, self.topic, envelope.key)

    async def _unpark(self, connection: Any, envelope: Envelope) -> None:
        await self._hold_parked(connection, envelope)
        gone = await connection.execute(
            "DELETE FROM parked WHERE group_name = $1 AND topic = $2 AND stream = $3"
            " AND position = $4",
            *(self.group, self.topic, envelope.key, envelope.position),
        )
        if gone != "DELETE 1":
            raise WatermarkMoved(self.group)
        # What came after the wish to drive the stream again was not there to be asked for.
        await connection.execute(
            "UPDATE parked SET redrive = true WHERE group_name = $1 AND topic = $2 AND stream = $3"
            " AND position = (SELECT min(position) FROM parked"
            "  WHERE group_name = $1 AND topic = $2 AND stream = $3)",
            *(self.group, self.topic, envelope.key),
        )

    async def _insert_parked(
        self, connection: Any, envelopes: Sequence[Envelope], reason: str, attempts: int
    ) -> None:
        await connection.executemany(
            "INSERT INTO parked (group_name, topic, stream, position, event_id, tenant, type,"
            " envelope, reason, attempts) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
            # An unreadable one is read again after the offset was set back.
            " ON CONFLICT DO NOTHING",
            [
                (
                    *(self.group, self.topic, e.key, e.position, e.event_id, e.tenant, e.type),
                    *(encode_envelope(e), reason, attempts),
                )
                for e in envelopes
            ],
        )

    async def _reload_blocked(self) -> None:
        rows = await self._home.database.sql.fetch(
            "SELECT DISTINCT stream FROM parked WHERE group_name = $1 AND topic = $2",
            *(self.group, self.topic),
        )
        self._blocked = {row[0] for row in rows}
        METRICS.parked.labels(self.group, self.topic).set(len(self._blocked))


def _cause(envelope: Envelope, group: str, traceparent: str) -> Cause:
    """Return why a message's commands run: their id follows from the message and the group."""
    return Cause(
        tenant=envelope.tenant,
        command_id=derive(envelope.event_id, group),
        correlation_id=envelope.correlation_id,
        causation_id=envelope.event_id,
        traceparent=traceparent,
    )


def reason_of(error: Exception | None) -> str:
    """Return what went wrong as a table can hold it: an error may quote whatever came."""
    said = f"{type(error).__name__}: {error}"[:_LONGEST_REASON]
    return said.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
