"""Sending to Apache Kafka: what belongs to one partition goes as one batch, all or nothing.

No batch is sent before the one ahead of it is acknowledged, so a partition's records lie in the
order of the source's log. Repetitions (a relay that lost an acknowledgement, two relays at once)
may follow; who reads passes them over by position.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaProducer, TopicPartition

from services.kernel.adapters import kafka_records as records
from services.kernel.adapters.kafka_options import KafkaOptions, producer_arguments
from services.kernel.adapters.kafka_topics import parked_topic_of
from services.kernel.adapters.parking import Parked
from services.kernel.application.feeds import MOST_VALUE_BYTES, Envelope


class KafkaSender:
    """An idempotent producer, and a new one when that has failed."""

    def __init__(self, options: KafkaOptions) -> None:
        self._options = options
        self._producer: AIOKafkaProducer | None = None
        self._opening = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()
        self._published: dict[TopicPartition, int] = {}

    @property
    def published(self) -> Mapping[TopicPartition, int]:
        """Offset of the last record that this process sent, by topic and partition."""
        return self._published

    async def stop(self) -> None:
        """Send what is left, within limits."""
        if self._producer is not None:
            self._retire(self._producer)
        for task in list(self._closing):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(task, self._options.finish_s)

    async def publish(self, topic: str, envelopes: Sequence[Envelope]) -> None:
        """Send them; return once they are acknowledged."""
        producer = await self._open_producer()
        try:
            full = self._options.prefix + topic
            count = len(await producer.partitions_for(full))
            by_partition: dict[int, list[Envelope]] = {}
            for envelope in envelopes:
                by_partition.setdefault(records.partition_of(envelope.key, count), []).append(
                    envelope
                )
            answers = await asyncio.gather(
                *(self._send(producer, full, *item) for item in by_partition.items()),
                return_exceptions=True,
            )
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer
        except Exception:
            # A producer that failed may have given up one batch and not the next; a new one
            # begins a new sequence, and the relay repeats what it has no acknowledgement for.
            self._retire(producer)
            raise

    async def _send(
        self, producer: AIOKafkaProducer, topic: str, partition: int, envelopes: Sequence[Envelope]
    ) -> None:
        waiting = list(reversed(envelopes))
        while waiting:
            batch = producer.create_batch()
            while waiting:
                envelope = waiting[-1]
                if (
                    batch.append(
                        key=records.key_of(envelope),
                        value=envelope.value,
                        timestamp=records.timestamp_ms(envelope),
                        headers=records.headers_of(envelope),
                    )
                    is None
                ):
                    break
                waiting.pop()
            count = batch.record_count()
            acknowledged = await producer.send_batch(batch, topic, partition=partition)
            last = (await acknowledged).offset + count - 1
            place = TopicPartition(topic, partition)
            self._published[place] = max(last, self._published.get(place, -1))

    async def tell_parked(self, group: str, parked: Sequence[Parked]) -> None:
        """Tell on the group's topic what it parked, for whoever watches; the table is the truth."""
        producer = await self._open_producer()
        topic = self._options.prefix + parked_topic_of(group)
        try:
            for one in parked:
                value = one.envelope.value
                await producer.send_and_wait(
                    topic,
                    # What is too long for a feed is too long here; the table has it.
                    value if len(value) <= MOST_VALUE_BYTES else b"",
                    key=records.key_of(one.envelope),
                    headers=records.parked_headers(one.envelope, group, one.reason, one.attempts),
                )
        except Exception:
            self._retire(producer)
            raise

    async def _open_producer(self) -> AIOKafkaProducer:
        async with self._opening:
            if self._producer is None:
                producer: AIOKafkaProducer = AIOKafkaProducer(**producer_arguments(self._options))
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer

    def _retire(self, producer: AIOKafkaProducer) -> None:
        """Let a producer end in its own time: others may still wait for its acknowledgements."""
        if self._producer is producer:
            self._producer = None
            self._close(producer)

    def _close(self, producer: AIOKafkaProducer) -> None:
        task = asyncio.create_task(producer.stop(), name="retired producer")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
