"""The bus on Apache Kafka: an idempotent aiokafka producer, and FastStream's batch subscribers.

The truth about what a group has had is its watermark in its own database; Kafka's committed
offsets only show the lag. So when a partition arrives, reading begins after the offset that stands
beside the watermark, whatever the broker believes, and offsets are committed after the database.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence

from faststream.kafka import KafkaBroker

from services.kernel.adapters.consumer import Consumer
from services.kernel.adapters.kafka_forgiving import forgive
from services.kernel.adapters.kafka_group import KafkaGroup
from services.kernel.adapters.kafka_options import KafkaOptions, broker_arguments
from services.kernel.adapters.kafka_sender import KafkaSender
from services.kernel.adapters.kafka_topics import ensure_topics, parked_topic_of
from services.kernel.application.feeds import Envelope

# FastStream would log every message it hands over; only what goes wrong is kept.
_client_log = logging.getLogger("services.kernel.adapters.kafka_bus.client")
_client_log.setLevel(logging.ERROR)


class KafkaBus:
    """Delivers at least once, in the order of each key; the watermark makes it once.

    Args:
        options: Limits and addresses.
        topics: Every feed that this process publishes or hears; those that lack are created.
    """

    def __init__(self, options: KafkaOptions, topics: Iterable[str] = ()) -> None:
        forgive()
        self._options = options
        self._topics = set(topics)
        self.broker = KafkaBroker(logger=_client_log, **broker_arguments(options))
        self._groups: list[KafkaGroup] = []
        self._sender = KafkaSender(options)
        self._is_stopped = False

    def attach(self, consumer: Consumer) -> None:
        """Deliver the consumer's feed to it; before ``start``."""
        self._topics |= {consumer.topic, parked_topic_of(consumer.group)}
        group = KafkaGroup(consumer, self.broker, self._options, self._sender.tell_parked)
        self._groups.append(group)

    async def start(self) -> None:
        """Create the topics that lack, and begin to read.

        Raises:
            KafkaError: No broker answers.
        """
        await ensure_topics(self._options, sorted(self._topics))
        await self.broker.connect()
        # All at once: each waits for its group's coordinator, which may take seconds.
        await asyncio.gather(*(subscriber.start() for subscriber in self.broker.subscribers))
        for group in self._groups:
            group.start()

    async def stop(self) -> None:
        """Read no more, finish the batches in flight, commit, leave the groups, send the rest."""
        self._is_stopped = True
        for group in self._groups:
            group.begin_to_stop()
        await asyncio.gather(*(group.finish() for group in self._groups))
        await self.broker.stop()
        for group in self._groups:
            await group.stop()
        await self._sender.stop()

    async def start_position(self, _topic: str, published_to: int) -> int:
        # What was acknowledged is on the brokers' disks; they keep it for who comes later.
        return published_to

    def is_heard(self, topic: str) -> bool:  # noqa: ARG002 - the port's
        """Tell that a topic is: whoever reads it later reads it from the beginning."""
        return True

    async def publish(self, topic: str, envelopes: Sequence[Envelope]) -> None:
        if self._is_stopped:
            # The relay is about to be cancelled; it must not believe that it published.
            await asyncio.Event().wait()
        await self._sender.publish(topic, envelopes)

    def is_idle(self) -> bool:
        """Tell whether all that this process published was handled by all who hear it here."""
        return all(group.is_idle(self._sender.published) for group in self._groups)
