"""From raw records of a partition to envelopes for a consumer, whatever they hold."""

from collections.abc import Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError
from faststream.kafka.message import KafkaMessage

from services.kernel.adapters import kafka_records as records
from services.kernel.adapters.consumer import Consumer
from services.kernel.adapters.watermarks import Part
from services.kernel.application.feeds import Envelope


def by_partition(
    topic: str, batch: Sequence[records.Record]
) -> dict[TopicPartition, list[records.Record]]:
    parts: dict[TopicPartition, list[records.Record]] = {}
    for record in batch:
        parts.setdefault(TopicPartition(topic, record.partition), []).append(record)
    return parts


async def is_current(client: Any, place: TopicPartition, part: Sequence[records.Record]) -> bool:
    """Tell whether these were read at the reader's place, not before a seek or for another."""
    try:
        position: int = await client.position(place)
    except (IllegalStateError, KafkaError):
        return False
    return position > part[-1].offset


def readable(consumer: Consumer, partition: int, part: Sequence[records.Record]) -> Part | None:
    """Return what is new on a partition; None if one of its records cannot be read."""
    mark = consumer.watermarks[partition]
    run: list[Envelope] = []
    for record in part:
        try:
            envelope = records.envelope_of(consumer.topic, record)
            records.check_step(envelope.position, mark)
        except records.Unreadable:
            return None
        # A relay may repeat itself within one batch.
        if envelope.position > mark:
            run.append(envelope)
            mark = envelope.position
    return Part(partition, run, part[-1].offset)


async def consume_apart(consumer: Consumer, partition: int, part: Sequence[records.Record]) -> None:
    """Give one partition's records their effect; those that cannot be read are parked."""
    mark = consumer.watermarks[partition]
    run: list[Envelope] = []
    offset = -1
    for record in part:
        try:
            envelope = records.envelope_of(consumer.topic, record)
            records.check_step(envelope.position, mark)
        except records.Unreadable as reason:
            if run:
                await consumer.consume(Part(partition, run, offset))
                run = []
            stand_in = records.stand_in(consumer.topic, record)
            await consumer.park_unreadable(Part(partition, [stand_in], record.offset), str(reason))
        else:
            # A relay may repeat itself within one batch.
            if envelope.position > mark:
                run.append(envelope)
                mark = envelope.position
        offset = record.offset
    if run:
        await consumer.consume(Part(partition, run, offset))


async def raw(batch: Any) -> KafkaMessage:
    """Hand the records on as they are; FastStream's own parser raises on a header not UTF-8."""
    return KafkaMessage(raw_message=batch, body=b"", consumer=_NO_CONSUMER)


async def undecoded(message: KafkaMessage) -> Any:
    return message.raw_message


class _NoConsumer:
    """FastStream may neither commit nor seek: that is done where the outcome is known."""

    async def commit(self) -> None:
        return None

    def seek(self, **_place: Any) -> None:
        return None


_NO_CONSUMER: Any = _NoConsumer()
