"""Where a group begins to read a partition that it was given: behind what its database knows.

Kafka's committed offsets only show the lag. What stands beside the watermark counts, unless the
topic is not the one that it was read of.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from services.kernel.adapters.consumer import Consumer
from services.kernel.adapters.kafka_topic_ids import topic_ids

_log = logging.getLogger(__name__)

_PAUSE_S = 0.05
_BOUNDS_WITHIN_S = 5.0


async def take_over(
    consumer: Consumer, client: Any, group: str, places: Sequence[TopicPartition]
) -> Mapping[TopicPartition, int]:
    """Become the owner of partitions of one topic.

    Args:
        consumer: Keeps the watermarks.
        client: An aiokafka consumer to which they were assigned.
        group: What the brokers call the group, for the log.
        places: Perhaps none.

    Returns:
        For each the offset up to which it was read; -1: from its beginning.
    """
    if not places:
        return {}
    bounds = await _bounds(client, places)
    topic_id = await _topic_id(client, places[0].topic)
    return {
        place: await _had(consumer, group, place, bounds.get(place), topic_id) for place in places
    }


async def _had(
    consumer: Consumer,
    group: str,
    place: TopicPartition,
    bounds: tuple[int, int] | None,
    topic_id: str,
) -> int:
    """Become the owner of a partition; return the offset up to which it was read, or -1."""
    offset = await consumer.assign(place.partition)
    if topic_id and not await consumer.watermarks.is_of(place.partition, topic_id):
        _log.error(
            "%s: %s was made anew. Reading it from its beginning; what nobody had read of the"
            " old one is only in the event store",
            *(group, place),
        )
        return -1
    if bounds is None:
        return offset
    begins, ends = bounds
    if offset >= ends:
        _log.error(
            "%s: %s was made anew: it ends at %d, and %d was read of it. Reading it from its"
            " beginning; what nobody had read of the old one is only in the event store",
            *(group, place, ends, offset),
        )
        await consumer.watermarks.forget_offset(place.partition)
        return -1
    if 0 <= offset < begins - 1:
        _log.error(
            "%s: records %d to %d of %s were deleted before they were read: keep feeds longer"
            " (OMS_KAFKA_RETENTION_MS); what they said is only in the event store",
            *(group, offset + 1, begins - 1, place),
        )
    return offset


async def _topic_id(client: Any, topic: str) -> str:
    """Return the id of the topic, or nothing if the brokers do not tell it in time."""
    with contextlib.suppress(KafkaError, TimeoutError):
        async with asyncio.timeout(_BOUNDS_WITHIN_S):
            ids = await topic_ids(client._client, [topic])  # noqa: SLF001
            return ids.get(topic, "")
    return ""


async def _bounds(
    client: Any, places: Sequence[TopicPartition]
) -> dict[TopicPartition, tuple[int, int]]:
    """Return where partitions begin and end; nothing if the brokers do not say so in time.

    Of a topic that was just made they do not know at once who leads it.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_BOUNDS_WITHIN_S):
            while True:
                try:
                    begin = await client.beginning_offsets(places)
                    ends = await client.end_offsets(places)
                except KafkaError:
                    await asyncio.sleep(_PAUSE_S)
                else:
                    return {place: (begin[place], ends[place]) for place in places}
    return {}
