"""What a group does with what a bus brings it, and what it does where that fails.

The same code runs behind every bus. Three things may go wrong, and each has its own answer:

* the database is away: wait, longer each time, and try the same batch again, for ever (but a
  message that takes too long by itself, while the database is well, cannot be handled);
* a race is lost: drop the states that were relied on and decide the batch again;
* a message cannot be handled: find it by going one by one, try it a few times, then park it with
  its reason. Later messages of its stream are parked behind it; all others go on.
"""

import asyncio
import logging
from collections.abc import Sequence

from services.kernel.adapters.database import is_outage
from services.kernel.adapters.effect import Effect
from services.kernel.adapters.home import Home
from services.kernel.adapters.parking import Parking, reason_of
from services.kernel.adapters.telemetry import METRICS
from services.kernel.adapters.watermarks import Part, WatermarkMoved, Watermarks
from services.kernel.application.feeds import Envelope, Subscription
from services.kernel.application.runner import ConcurrentAppend

_log = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 5.0
_MOST_RACES = 20
_RACES_BEFORE_HALVING = 3
_OUTAGES_BEFORE_HALVING = 5
_OVERRUNS_BEFORE_PARKING = 6


class Consumer:
    """One group on one feed.

    Args:
        subscription: What to do, made by ``listen``.
        home: The service that listens.
        tries: How often a message is tried before it is parked.
        redrive_poll_s: How often to look whether someone asked for a redrive.

    Attributes:
        watermarks: How far the group is.
        parking: What it could not handle.
    """

    def __init__(
        self, subscription: Subscription, home: Home, *, tries: int, redrive_poll_s: float
    ) -> None:
        self.topic = subscription.topic
        self.group = subscription.group
        self.is_urgent = subscription.is_urgent
        self.redrive_poll_s = redrive_poll_s
        self._passes_over = subscription.passes_over
        self._clock = home.clock
        self._database = home.database
        self._tries = tries
        self._next_redrive = 0.0
        place = (self.group, self.topic, home.database)
        self.watermarks = Watermarks(*place, note_every_s=redrive_poll_s)
        self.parking = Parking(*place)
        self._effect = Effect(subscription, home, self.watermarks, self.parking)

    def is_interested(self, envelopes: Sequence[Envelope]) -> bool:
        """Tell whether any of these messages is one that the group hears."""
        return any(envelope.type not in self._passes_over for envelope in envelopes)

    async def assign(self, partition: int) -> int:
        """Become the owner of a partition; return the bus offset after which to read (-1: none)."""
        offset = await self.watermarks.assign(partition)
        await self.parking.reload()
        return offset

    async def consume_together(self, parts: Sequence[Part]) -> None:
        """Give batches of several partitions their effect, in one commit if all goes well.

        If anything does not, nothing of it was kept, and each is consumed by itself.
        """
        if len(parts) > 1 and not self.parking and not self._effect.is_contended:
            fresh = [
                Part(part.partition, batch, part.bus_offset)
                for part in parts
                if (batch := self._fresh(part))
            ]
            # What concerns nobody costs no commit by itself either.
            if len(fresh) > 1 and await self._are_kept_together(fresh):
                heard = {part.partition for part in fresh}
                parts = [part for part in parts if part.partition not in heard]
        for part in parts:
            await self.consume(part)

    def _fresh(self, part: Part) -> list[Envelope]:
        mark = self.watermarks[part.partition]
        passes_over = self._passes_over
        return [e for e in part.envelopes if e.position > mark and e.type not in passes_over]

    async def _are_kept_together(self, parts: Sequence[Part]) -> bool:
        try:
            with METRICS.consume_seconds.labels(self.group).time():
                await self._effect.of_parts(parts)
        except Exception as error:  # whatever it is, `consume` knows what to do
            _log.debug("%s goes on partition by partition: %r", self.group, error)
            return False
        last = max((part.envelopes[-1] for part in parts), key=lambda e: e.recorded_at)
        self._count(sum(len(part.envelopes) for part in parts), last)
        return True

    async def consume(self, part: Part) -> None:  # noqa: C901 - three answers to three failures
        """Give a batch its effect; return once that is durable, or every failure is parked."""
        pause_s = _FIRST_PAUSE_S
        races = outages = overruns = 0
        while batch := self._fresh(part):
            fresh = Part(part.partition, batch, part.bus_offset)
            is_one = len(batch) == 1
            try:
                if is_one and races >= _RACES_BEFORE_HALVING and await self._pass_had(fresh):
                    break
                with METRICS.consume_seconds.labels(self.group).time():
                    await self._effect.of_batch(fresh)
            except WatermarkMoved:
                await self.assign(part.partition)
            except ConcurrentAppend:
                races += 1
                if races >= _RACES_BEFORE_HALVING and not is_one:
                    # Another process writes to these streams: a shorter unit has better chances.
                    await self.consume(_first_half(fresh))
                    races = 0
                elif races > _MOST_RACES:
                    await asyncio.sleep(_FIRST_PAUSE_S)
            except Exception as error:
                if not is_outage(error):
                    await self._go_one_by_one(fresh)
                    continue
                outages += 1
                _log.warning("%s waits for its database", self.group, exc_info=True)
                overruns += is_one and await self._database.overran(error)
                if overruns >= max(_OVERRUNS_BEFORE_PARKING, self._tries):
                    await self._park(fresh, error)
                elif outages % _OUTAGES_BEFORE_HALVING == 0 and not is_one:
                    # A busy server may not manage so much within the limit of a statement.
                    await self.consume(_first_half(fresh))
                    pause_s = _FIRST_PAUSE_S
                else:
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            else:
                self._count(len(batch), batch[-1])
                break
        self.watermarks.passed(part)

    def _count(self, messages: int, last: Envelope) -> None:
        METRICS.consumed.labels(self.group).inc(messages)
        METRICS.consume_batch_size.labels(self.group).observe(messages)
        lag = self._clock.now() - last.recorded_at
        METRICS.watermark_lag_seconds.labels(self.group, self.topic).set(lag.total_seconds())

    async def _pass_had(self, part: Part) -> bool:
        """Pass over a message that had its effect; tell whether it is one.

        A feed is heard again from further back than the watermark ever was: then no race explains
        the refusal.
        """
        (envelope,) = part.envelopes
        if not await self._effect.was_had(envelope):
            return False
        sql = self._database.sql
        await self.watermarks.advance(sql, part.partition, envelope.position, part.bus_offset)
        self.watermarks.kept(part.partition, envelope.position)
        self._count(1, envelope)
        return True

    async def _go_one_by_one(self, part: Part) -> None:
        """Find what cannot be handled, and park it."""
        if len(part.envelopes) == 1:
            await self._try_again_or_park(part)
            return
        # The bus is past a message only when those before it are dealt with.
        for envelope in part.envelopes:
            is_last = envelope is part.envelopes[-1]
            await self.consume(Part(part.partition, [envelope], part.bus_offset if is_last else -1))

    async def _try_again_or_park(self, part: Part) -> None:
        pause_s = _FIRST_PAUSE_S
        failure: Exception | None = None
        attempt = 1
        while attempt < self._tries:
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            try:
                await self._effect.of_batch(part)
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
        await self._park(part, failure)

    async def _park(self, part: Part, failure: Exception | None) -> None:
        (envelope,) = part.envelopes
        _log.error(
            "%s parked message %s (%s)",
            *(self.group, envelope.event_id, envelope.type),
            exc_info=failure,
        )
        place = (part.partition, envelope.position, part.bus_offset)
        async with self._database.connection() as connection, connection.transaction():
            await self.watermarks.advance(connection, *place)
            await self.parking.put(connection, envelope, reason_of(failure), self._tries)
        self.watermarks.kept(part.partition, envelope.position)
        self.parking.block(envelope)

    async def park_unreadable(self, part: Part, reason: str) -> None:
        """Park what the bus could not read; its stream, if it has one, waits behind it.

        Such a message has no place in the source's log, so the watermark stays where it is; that
        it was dealt with shows in the bus offset beside it.

        Args:
            part: A stand-in with what could be read; the same whenever the message comes.
            reason: What is wrong with it.
        """
        (envelope,) = part.envelopes
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                async with self._database.connection() as connection, connection.transaction():
                    if not await self.watermarks.advance_offset(
                        connection, part.partition, part.bus_offset
                    ):
                        return  # it came before, and was parked, perhaps dropped
                    await self.parking.put(connection, envelope, f"Unreadable: {reason}", 1)
                break
            except Exception as error:
                if not is_outage(error):
                    raise
                _log.warning("%s waits for its database", self.group, exc_info=True)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
        self.watermarks.passed_in_bus(part.partition, part.bus_offset)
        _log.error("%s parked an unreadable message: %s", self.group, reason)
        self.parking.block(envelope)

    async def redrive(self) -> None:
        """Try parked streams again that someone asked for; at most once per poll interval."""
        loop_time = asyncio.get_running_loop().time()
        if not self.parking or loop_time < self._next_redrive:
            return
        self._next_redrive = loop_time + self.redrive_poll_s
        try:
            failed: set[str] = set()
            for envelope in await self.parking.asked_for():
                if envelope.key not in failed and not await self._redrive_one(envelope):
                    failed.add(envelope.key)
            await self.parking.reload()
        except Exception as error:
            if not is_outage(error):
                raise
            _log.warning("%s could not redrive", self.group, exc_info=True)

    async def _redrive_one(self, envelope: Envelope) -> bool:
        for _ in range(_MOST_RACES):
            try:
                await self._effect.of_parked(envelope)
            except ConcurrentAppend:
                continue
            except WatermarkMoved:  # dropped, or driven again elsewhere, in the meantime
                return True
            except Exception as error:
                if is_outage(error) and not await self._database.overran(error):
                    raise
                await self.parking.failed_again(envelope, error)
                return False
            return True
        return False


def _first_half(part: Part) -> Part:
    """Return the first half; the bus is not past it before the other is dealt with too."""
    return Part(part.partition, part.envelopes[: len(part.envelopes) // 2], -1)
