"""Which bus carries the feeds: the one the settings name."""

import importlib
from typing import Protocol

from services.kernel.adapters.consumer import Consumer
from services.kernel.adapters.local_bus import LocalBus
from services.kernel.application.bus import Bus
from services.kernel.main.service import topic_of
from services.kernel.settings import BusSettings


class ServiceBus(Bus, Protocol):
    """A bus as the composition root sees it."""

    def attach(self, consumer: Consumer) -> None:
        """Deliver the consumer's feed to it; before ``start``."""

    async def start(self) -> None:
        """Begin to deliver."""

    async def stop(self) -> None:
        """Deliver no more; what is being handled is finished, or comes again."""

    def is_idle(self) -> bool:
        """Tell whether nothing waits and nothing is being handled, as far as is known here."""


def chosen_bus(settings: BusSettings, services: tuple[str, ...]) -> ServiceBus:
    """Return the bus that the settings name, for the feeds of these services."""
    if settings.bus == "local":
        return LocalBus()
    # Only who uses Kafka pays for loading its clients.
    options = importlib.import_module("services.kernel.adapters.kafka_options")
    kafka = importlib.import_module("services.kernel.adapters.kafka_bus")
    bus: ServiceBus = kafka.KafkaBus(
        options.KafkaOptions(**settings.kafka_options()), [topic_of(name) for name in services]
    )
    return bus


async def declare_feeds(settings: BusSettings, services: tuple[str, ...]) -> list[str]:
    """Create the topics that lack, where the bus has any; return their names."""
    if settings.bus == "local":
        return []
    options = importlib.import_module("services.kernel.adapters.kafka_options")
    topics = importlib.import_module("services.kernel.adapters.kafka_topics")
    created: list[str] = await topics.ensure_topics(
        options.KafkaOptions(**settings.kafka_options()), declared_topics(services)
    )
    return created


async def examine_feeds(settings: BusSettings, services: tuple[str, ...]) -> list[str]:
    """Return how the brokers' topics differ from what is declared.

    Raises:
        KafkaError: No broker answers.
    """
    options = importlib.import_module("services.kernel.adapters.kafka_options")
    topics = importlib.import_module("services.kernel.adapters.kafka_topics")
    found: list[str] = await topics.examine_topics(
        options.KafkaOptions(**settings.kafka_options()), declared_topics(services)
    )
    return found


def declared_topics(services: tuple[str, ...]) -> list[str]:
    """Return every topic of these services: what they publish, and what they parked."""
    topics = importlib.import_module("services.kernel.adapters.kafka_topics")
    feeds = [topic_of(name) for name in services]
    return feeds + [topics.parked_topic_of(name) for name in services]
