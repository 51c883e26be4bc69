"""A feed read from its topic, without a group: no offset is committed, nobody is disturbed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, OffsetOutOfRangeError

from services.kernel.adapters import kafka_records as records
from services.kernel.adapters.kafka_forgiving import forgive
from services.kernel.adapters.kafka_options import KafkaOptions, client_arguments, reader_arguments
from services.kernel.adapters.kafka_topic_ids import topic_ids
from services.kernel.application.feeds import Envelope
from services.kernel.application.reading import Gone, Page, Period, Place
from services.kernel.domain.errors import NotFound

NO_BROKER = KafkaConnectionError
_PAGE_RECORDS = 5_000
_WAIT_MS = 500


@asynccontextmanager
async def kafka_reader(
    options: KafkaOptions, topic: str, period: Period
) -> AsyncIterator["KafkaReader"]:
    """Read one feed for the block.

    Args:
        options: Addresses, and the installation's prefix.
        topic: The feed, without the prefix.
        period: Which events are wanted.

    Raises:
        NotFound: The cluster has no such topic.
        KafkaError: No broker answers.
    """
    forgive()
    places = await _partitions(options, options.prefix + topic)
    consumer = AIOKafkaConsumer(**reader_arguments(options))
    await consumer.start()
    try:
        # A task of the client's that was stopped before it had begun would end whoever stops it.
        await asyncio.sleep(0)
        consumer.assign(places)
        ids = await topic_ids(consumer._client, [options.prefix + topic])  # noqa: SLF001
        yield KafkaReader(consumer, topic, places, period, ids.get(options.prefix + topic, ""))
    finally:
        await consumer.stop()


async def _partitions(options: KafkaOptions, topic: str) -> list[TopicPartition]:
    """Return the partitions of a topic; asking for one that is not there must not make it."""
    admin = AIOKafkaAdminClient(**client_arguments(options))
    try:
        await admin.start()
        if topic not in await admin.list_topics():
            raise NotFound("topic (`oms migrate` makes them)", topic)
        (described,) = await admin.describe_topics([topic])
        return [
            TopicPartition(topic, n)
            for n in sorted(p["partition"] for p in described["partitions"])
        ]
    finally:
        await admin.close()


class KafkaReader:
    """All partitions of one topic; made by ``kafka_reader``."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        topic: str,
        places: list[TopicPartition],
        period: Period,
        topic_id: str,
    ) -> None:
        self._topic_id = topic_id
        self._consumer = consumer
        self.topic = topic
        self._places = places
        self._period = period
        self._at: dict[TopicPartition, int] = {}

    async def beginning(self) -> Place:
        if self._period.since is None:
            offsets = await self._consumer.beginning_offsets(self._places)
        else:
            # A record's timestamp is when its event was recorded.
            moment = int(self._period.since.timestamp() * 1_000)
            found = await self._consumer.offsets_for_times(dict.fromkeys(self._places, moment))
            ends = await self._consumer.end_offsets(self._places)
            offsets = {p: found[p].offset if found[p] else ends[p] for p in self._places}
        return {str(place.partition): (offset, 0) for place, offset in offsets.items()}

    async def end(self) -> Place:
        offsets = await self._consumer.end_offsets(self._places)
        return {str(place.partition): (offset, 0) for place, offset in offsets.items()}

    async def read(self, place: Place, end: Place | None) -> Page:
        wanted = [
            partition
            for partition in self._places
            if end is None or place[str(partition.partition)][0] < end[str(partition.partition)][0]
        ]
        if not wanted:
            return Page([], place)
        for partition in wanted:
            at, _ = place[str(partition.partition)]
            if self._at.get(partition) != at:
                self._consumer.seek(partition, at)
        try:
            found = await self._consumer.getmany(
                *wanted, timeout_ms=_WAIT_MS, max_records=_PAGE_RECORDS
            )
        except OffsetOutOfRangeError:
            raise Gone(f"{self.topic} no longer keeps what was to be read next") from None
        page = Page([], dict(place), [])
        for partition in wanted:
            name = str(partition.partition)
            # Where no record lies between here and the end, the position alone moves on.
            self._at[partition] = await self._consumer.position(partition)
            limit = self._at[partition] if end is None else end[name][0]
            part = [one for one in found.get(partition, ()) if one.offset < limit]
            page = self._with(page, name, part, self._at[partition])
        return page

    async def mark(self, place: Place) -> str:  # noqa: ARG002 - the port's
        """Return which topic it is: what was acknowledged keeps its offset there."""
        return self._topic_id

    def _with(self, page: Page, name: str, part: Sequence[records.Record], at: int) -> Page:
        envelopes: list[Envelope] = []
        unreadable: list[str] = []
        highest = page.place[name][1]
        for record in part:
            try:
                envelope = records.envelope_of(self.topic, record)
                # Believed, it would hide every true event that follows.
                records.check_step(envelope.position, highest)
            except records.Unreadable as reason:
                unreadable.append(f"partition {name}, offset {record.offset}: {reason}")
                continue
            # A relay may repeat itself.
            if envelope.position > highest:
                highest = envelope.position
                if self._period.holds(envelope.recorded_at):
                    envelopes.append(envelope)
        return Page(
            [*page.envelopes, *envelopes],
            {**page.place, name: (at, highest)},
            [*page.unreadable, *unreadable],
        )
