"""Topics are made here, with what is declared for them; no broker or client makes one by itself."""

import asyncio
import logging
from collections.abc import Sequence

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from services.kernel.adapters.kafka_options import KafkaOptions, client_arguments
from services.kernel.application.feeds import MOST_VALUE_BYTES

_log = logging.getLogger(__name__)
_VISIBLE_WITHIN_S = 30.0


class WrongTopic(Exception):
    """A topic is there, and not as declared."""


async def ensure_topics(options: KafkaOptions, topics: Sequence[str]) -> list[str]:
    """Create the topics that lack and wait until they can be used; return their names.

    A process whose credentials may not create topics can still use those that exist.

    Raises:
        WrongTopic: One has another number of partitions: a key's messages would change their
            partition, and with it lose their order and their watermark.
        KafkaError: No broker answers, or it refuses.
    """
    admin = AIOKafkaAdminClient(**client_arguments(options))
    try:
        await admin.start()
        names = [options.prefix + topic for topic in topics]
        lacking = sorted(set(names) - set(await admin.list_topics()))
        if lacking:
            await _create(admin, options, lacking)
        async with asyncio.timeout(_VISIBLE_WITHIN_S):
            while not await _are_usable(admin, options, names):
                await asyncio.sleep(0.1)
        return lacking
    finally:
        await admin.close()


def topic_settings(options: KafkaOptions) -> dict[str, str]:
    """Return what is declared for a feed. Deleted by age or never; compaction would lose events."""
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(options.retention_ms),
        "retention.bytes": "-1",
        "min.insync.replicas": str(options.min_insync),
        "unclean.leader.election.enable": "false",
        "message.timestamp.type": "CreateTime",
        "max.message.bytes": str(2 * MOST_VALUE_BYTES),
    }


async def _create(admin: AIOKafkaAdminClient, options: KafkaOptions, names: Sequence[str]) -> None:
    answer = await admin.create_topics(
        [
            NewTopic(name, options.partitions, options.replication, None, topic_settings(options))
            for name in names
        ]
    )
    for topic in answer.to_object()["topic_errors"]:
        error = for_code(topic["error_code"])
        # Another process may have been faster.
        if topic["error_code"] and error is not TopicAlreadyExistsError:
            raise error(f"{topic['topic']}: {topic.get('error_message') or 'not created'}")
        _log.info("created topic %s", topic["topic"])


async def _are_usable(
    admin: AIOKafkaAdminClient, options: KafkaOptions, names: Sequence[str]
) -> bool:
    if not names:
        return True
    for topic in await admin.describe_topics(list(names)):
        partitions = topic["partitions"]
        if topic["error_code"] or any(p["leader"] < 0 for p in partitions):
            return False
        if len(partitions) != options.partitions:
            raise WrongTopic(
                f"topic {topic['topic']} has {len(partitions)} partitions, declared are"
                f" {options.partitions}: set OMS_KAFKA_PARTITIONS, or move to a new topic"
            )
    return True
