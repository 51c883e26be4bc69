"""Topics are made here, with what is declared for them; no broker or client makes one by itself."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from services.kernel.adapters.kafka_options import KafkaOptions, client_arguments
from services.kernel.application.feeds import MOST_VALUE_BYTES

_log = logging.getLogger(__name__)
_VISIBLE_WITHIN_S = 30.0


_PARKED = ".parked"
_CONFIG_NAME, _CONFIG_VALUE, _ENTRIES = 0, 1, 4


def parked_topic_of(group: str) -> str:
    """Return the topic on which a group tells what it parked.

    >>> parked_topic_of("order")
    'oms.order.v1.parked'
    """
    return f"oms.{group}.v1{_PARKED}"


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
        if lacking and has_controller(admin):
            await _create(admin, options, lacking)
        elif lacking:
            # Only librdkafka's mock has none; it makes what somebody asks for.
            _log.warning("NOT KAFKA: this broker makes topics by itself, undeclared")
        async with asyncio.timeout(_VISIBLE_WITHIN_S):
            while not await _are_usable(admin, options, names):
                await asyncio.sleep(0.1)
        return lacking
    finally:
        await admin.close()


def topic_settings(options: KafkaOptions, topic: str = "") -> dict[str, str]:
    """Return what is declared for a topic. Nothing is compacted: that would lose events.

    A feed is deleted by age, or never. What was parked stays in its table until it is dealt with;
    the topic is for those who watch, so it forgets after a while.
    """
    retention_ms = options.retention_ms
    if topic.endswith(_PARKED):
        retention_ms = options.parked_retention_ms
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(retention_ms),
        "retention.bytes": "-1",
        "min.insync.replicas": str(options.min_insync),
        "unclean.leader.election.enable": "false",
        "message.timestamp.type": "CreateTime",
        "max.message.bytes": str(2 * MOST_VALUE_BYTES),
    }


async def examine_topics(options: KafkaOptions, topics: Sequence[str]) -> list[str]:
    """Return how the brokers' topics differ from what is declared, one sentence each.

    Raises:
        KafkaError: No broker answers, or it refuses.
    """
    admin = AIOKafkaAdminClient(**client_arguments(options))
    try:
        await admin.start()
        there = set(await admin.list_topics())
        names = [options.prefix + topic for topic in topics]
        found = [
            f"{name} is not there: `oms migrate` makes it" for name in names if name not in there
        ]
        known = [name for name in names if name in there]
        if not known or not has_controller(admin):
            return found
        for topic in await admin.describe_topics(known):
            count = len(topic["partitions"])
            if count != options.partitions:
                found.append(
                    f"{topic['topic']} has {count} partitions, declared are {options.partitions}:"
                    " set OMS_KAFKA_PARTITIONS to what it was"
                )
            if any(partition["leader"] < 0 for partition in topic["partitions"]):
                found.append(
                    f"{topic['topic']} has partitions without a leader: look at the brokers"
                )
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in known]
        for answer in await admin.describe_configs(resources):
            for resource in answer.resources:
                found += _differing(options, resource)
        return found
    finally:
        await admin.close()


def _differing(options: KafkaOptions, resource: Any) -> list[str]:
    name = resource[3]
    is_ = {entry[_CONFIG_NAME]: entry[_CONFIG_VALUE] for entry in resource[_ENTRIES]}
    return [
        f"{name}: {setting} is {is_[setting]}, declared is {value}: kafka-configs --alter mends it"
        for setting, value in topic_settings(options, name).items()
        if setting in is_ and is_[setting] != value
    ]


def has_controller(admin: AIOKafkaAdminClient) -> bool:
    """Tell whether somebody there can make topics and knows their settings."""
    return admin._client.cluster.controller is not None  # noqa: SLF001 - not told otherwise


async def _create(admin: AIOKafkaAdminClient, options: KafkaOptions, names: Sequence[str]) -> None:
    answer = await admin.create_topics(
        [
            NewTopic(
                *(name, options.partitions, options.replication, None),
                topic_settings(options, name),
            )
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
