"""One group on one topic of Apache Kafka, read by FastStream's batch subscriber.

That reads, one batch at a time, and hands over raw records (a parser of ours stands before its own,
which decodes headers and so falls over a hostile one). Four things it does not give, and how they
are done here:

* it flattens the partitions of a read into one batch: the records name theirs, so they are taken
  apart again, in order; all of them have their effect in one commit, if nothing goes wrong;
* it sleeps after a read that found nothing, and after one that failed it goes on behind what that
  had taken of other partitions: the reading itself is replaced;
* it swallows what a handler raises and reads on: the handler here never raises, and goes back to
  where it stood when it could not do its work;
* between an assignment and the seek that follows, aiokafka may already read from elsewhere: such a
  batch is dropped, because the position it came from is no longer the reader's.
"""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, override

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import ConsumerStoppedError, IllegalStateError, KafkaError
from faststream.kafka import KafkaBroker

from services.kernel.adapters import kafka_records as records
from services.kernel.adapters.consumer import Consumer
from services.kernel.adapters.database import is_outage
from services.kernel.adapters.kafka_fetching import Fetching
from services.kernel.adapters.kafka_hearing import (
    by_partition,
    consume_apart,
    is_current,
    raw,
    readable,
    undecoded,
)
from services.kernel.adapters.kafka_offsets import KafkaOffsets
from services.kernel.adapters.kafka_options import KafkaOptions, subscriber_arguments
from services.kernel.adapters.kafka_places import take_over
from services.kernel.adapters.parking import Parked
from services.kernel.adapters.telemetry import METRICS
from services.kernel.adapters.watermarks import Part
from services.kernel.application.tasks import end, heed_cancellation

_log = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 5.0
_TELL_MESSAGES = 100

type _Tell = Callable[[str, Sequence[Parked]], Awaitable[None]]


class KafkaGroup(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka is untyped
    """One group on one topic: what arrives goes through its ``Consumer``, a batch at a time."""

    def __init__(
        self, consumer: Consumer, broker: KafkaBroker, options: KafkaOptions, tell: _Tell
    ) -> None:
        self._consumer = consumer
        self._tell = tell
        labels = (consumer.group, consumer.topic)
        self._lag = METRICS.kafka_lag.labels(*labels)
        self._partitions = METRICS.kafka_partitions.labels(*labels)
        self._rebalances = METRICS.kafka_rebalances.labels(*labels)
        self._passed_over = METRICS.kafka_passed_over.labels(*labels)
        self._batch_size = METRICS.kafka_batch_size.labels(*labels)
        self._options = options
        self._topic = options.prefix + consumer.topic
        # Its own Kafka group for each feed: a member that comes or goes for one does not make
        # the others stop and share out anew.
        self._group = f"{options.prefix}{consumer.group}.{consumer.topic}"
        self._ready = asyncio.Event()
        self._turn = asyncio.Lock()
        self._is_stopping = False
        self._preparing: asyncio.Task[None] | None = None
        self._redriving: asyncio.Task[None] | None = None
        self._pause_s = _FIRST_PAUSE_S
        self._offsets = KafkaOffsets(lambda: self._client)
        self._fetching = Fetching(options.batch_messages, is_urgent=consumer.is_urgent)
        self._subscriber = broker.subscriber(
            self._topic,
            listener=self,
            parser=raw,
            decoder=undecoded,
            **subscriber_arguments(options, self._group, is_urgent=consumer.is_urgent),
        )
        self._subscriber(self._hear)
        # FastStream's own, having found nothing, sleeps for as long as it has waited: what comes
        # meanwhile would wait for that, at every station of an order's way.
        self._subscriber.get_msg = self._read

    def start(self) -> None:
        self._redriving = asyncio.create_task(self._redrive(), name=f"redrive {self._group}")

    def begin_to_stop(self) -> None:
        """Let what waits go; a batch in flight is finished."""
        self._is_stopping = True
        self._ready.set()

    async def finish(self) -> None:
        """Wait for the batch in flight, within limits, and tell the broker of it."""
        with contextlib.suppress(TimeoutError, IllegalStateError):
            async with asyncio.timeout(self._options.finish_s), self._turn:
                await self._leave_word()

    async def stop(self) -> None:
        await end(task for task in (self._preparing, self._redriving) if task is not None)

    def is_idle(self, published: Mapping[TopicPartition, int]) -> bool:
        return not self._turn.locked() and all(
            self._offsets.is_done(place, offset)
            for place, offset in published.items()
            if place.topic == self._topic
        )

    @override
    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Wait for the batch in flight, within limits; the watermark guards what is late."""
        self._ready.clear()
        self._partitions.set(0)
        self._lag.set(0)
        if self._preparing is not None:
            self._preparing.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._options.finish_s), self._turn:
                await self._leave_word()
                self._offsets.forget()

    @override
    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Have the partitions' places looked up; the group protocol does not wait for that."""
        self._rebalances.inc()
        # What is asked of the broker would wait behind a fetch to which nothing is to be answered.
        self._client.pause(*assigned)
        self._preparing = asyncio.create_task(
            self._prepare(list(assigned)), name=f"assign {self._group}"
        )

    async def _prepare(self, assigned: Sequence[TopicPartition]) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                # A batch that is still in flight rests on the places it began with.
                async with self._turn:
                    self._fetching.tell(self._client)
                    self._offsets.begin(
                        await take_over(self._consumer, self._client, self._group, assigned)
                    )
                    self._client.resume(*assigned)
                    self._partitions.set(len(assigned))
                    self._ready.set()
            except Exception as error:
                heed_cancellation()
                if not is_outage(error):
                    _log.exception("%s could not take over its partitions", self._group)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            else:
                return

    async def _read(self, client: Any) -> tuple[records.Record, ...]:
        """Return what has come, as soon as something has; after a while, nothing."""
        await self._fetching.wait()
        try:
            found = await client.getmany(
                timeout_ms=self._options.batch_wait_ms, max_records=self._options.batch_messages
            )
        except (KafkaError, ConsumerStoppedError):
            self._offsets.read_again()
            raise  # FastStream pauses, or ends
        except Exception:
            _log.exception("%s holds what cannot be read at all", self._topic)
            self._offsets.read_again()
            await self._rest()
            return ()
        read = tuple(itertools.chain.from_iterable(found.values()))
        self._fetching.note(client, len(read))
        return read

    async def _hear(self, batch: Sequence[records.Record]) -> None:
        """Give a read its effect; the next one is not read before this returns."""
        await self._ready.wait()
        async with self._turn:
            if self._is_stopping or not self._ready.is_set():
                return
            self._batch_size.observe(len(batch))
            try:
                await self._deal(
                    {
                        place: part
                        for place, part in by_partition(self._topic, batch).items()
                        if await is_current(self._client, place, part)
                    }
                )
                await self._consumer.watermarks.note()
            except Exception:
                _log.exception("%s goes back to what it has handled", self._group)
                self._offsets.read_again()
                await self._rest()
        self._fetching.handled()

    async def _deal(self, parts: dict[TopicPartition, list[records.Record]]) -> None:
        """Give what lies on several partitions its effect, with one commit where that is possible.

        What could not be done is read again; a partition that failed holds no other back.
        """
        together: dict[TopicPartition, Part] = {}
        for place, part in parts.items():
            run = readable(self._consumer, place.partition, part)
            if run is not None:
                self._passed_over.inc(len(part) - len(run.envelopes))
                together[place] = run
            else:
                await self._try(place, part, consume_apart(self._consumer, place.partition, part))
        runs = [run for run in together.values() if run.envelopes]
        places = {place: parts[place] for place in together}
        if not await self._are_done(places, runs):
            for place, part in places.items():
                await self._try(place, part, consume_apart(self._consumer, place.partition, part))

    async def _are_done(
        self, parts: dict[TopicPartition, list[records.Record]], runs: Sequence[Part]
    ) -> bool:
        try:
            await self._consumer.consume_together(runs)
        except Exception:
            _log.exception("%s goes on partition by partition", self._group)
            return False
        for place, part in parts.items():
            self._done(place, part)
        return True

    async def _try(
        self,
        place: TopicPartition,
        part: Sequence[records.Record],
        consuming: Coroutine[Any, Any, None],
    ) -> None:
        try:
            await consuming
        except Exception:
            _log.exception("%s stays at %s, offset %d", self._group, place, part[0].offset)
            with contextlib.suppress(IllegalStateError):
                self._client.seek(place, part[0].offset)
            await self._rest()
        else:
            self._done(place, part)

    async def _rest(self) -> None:
        """Pause after a failure; longer each time, until something succeeds."""
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)

    def _done(self, place: TopicPartition, part: Sequence[records.Record]) -> None:
        self._pause_s = _FIRST_PAUSE_S
        self._offsets.done(place, part[-1].offset)

    async def _leave_word(self) -> None:
        """Tell the broker and the database how far this is: whoever is next begins there."""
        await self._offsets.commit()
        try:
            await self._consumer.watermarks.note(at_once=True)
        except Exception:
            _log.exception("%s could not note how far it is", self._group)

    async def _redrive(self) -> None:
        while True:
            await asyncio.sleep(self._consumer.redrive_poll_s)
            await self._ready.wait()
            async with self._turn:
                try:
                    await self._consumer.watermarks.note()
                    await self._consumer.redrive()
                except Exception:
                    _log.exception("%s could not redrive", self._group)
                if self._offsets.is_commit_due:
                    await self._offsets.commit()
            self._lag.set(self._offsets.lag())
            try:
                if parked := await self._consumer.parking.untold(_TELL_MESSAGES):
                    await self._tell(self._consumer.group, parked)
                    await self._consumer.parking.told(parked)
            except Exception as error:
                if not is_outage(error):
                    _log.warning("%s could not tell what it parked", self._group, exc_info=True)

    @property
    def _client(self) -> Any:
        client = self._subscriber.consumer
        if client is None:
            raise IllegalStateError(f"{self._group} does not read")
        return client
