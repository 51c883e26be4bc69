"""Every setting of every client of Kafka, enumerated: a library's default is never relied on."""

import asyncio
import ssl
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faststream.middlewares import AckPolicy
from pydantic import ValidationError

from services.kernel.adapters.consumer import Consumer
from services.kernel.adapters.kafka_bus import KafkaBus
from services.kernel.adapters.kafka_options import (
    KafkaOptions,
    broker_arguments,
    client_arguments,
    producer_arguments,
    subscriber_arguments,
)
from services.kernel.adapters.kafka_topics import topic_settings
from services.kernel.adapters.local_bus import LocalBus
from services.kernel.main import SERVICES, builder
from services.kernel.main.buses import chosen_bus
from services.kernel.main.service import Kernel, topic_of
from services.kernel.settings import BusSettings

OPTIONS = KafkaOptions("one:9092,two:9092", prefix="shop.")


class Group:
    """As much of a consumer as a bus wants to know before it starts."""

    redrive_poll_s = 1.0
    is_urgent = True

    def __init__(self, group: str, topic: str) -> None:
        self.group = group
        self.topic = topic


@pytest.fixture
def every_subscriber(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    monkeypatch.setenv("OMS_DELIVERY_PICKUP_CODE_SECRET", "f3" * 32)
    bus = KafkaBus(OPTIONS)
    for name in SERVICES:
        service = builder(name)(cast("Kernel", _Anything()))
        for subscription in service.subscriptions:
            bus.attach(cast("Consumer", Group(subscription.group, subscription.topic)))
    return list(bus.broker.subscribers)


class _Anything:
    """A kernel that a service is built with and never uses."""

    def __getattr__(self, name: str) -> Any:
        return _Anything()

    def __call__(self, *_: object, **__: object) -> Any:
        return _Anything()


async def test_no_subscriber_rests_on_a_default_that_loses_messages(
    every_subscriber: list[Any],
) -> None:
    subscribers = every_subscriber
    assert len(subscribers) >= 10
    for subscriber in subscribers:
        told = subscriber._connection_args
        assert told["enable_auto_commit"] is False
        assert told["auto_offset_reset"] == "earliest"
        assert subscriber.ack_policy is AckPolicy.MANUAL
        assert subscriber._no_reply
        assert (subscriber.max_records, subscriber.batch_timeout_ms) == (500, 1_000)
        assert subscriber._listener is not None


class _Silent:
    """A client that nothing comes to, and that does not wait for it."""

    def __init__(self) -> None:
        self._fetcher = SimpleNamespace(_prefetch_backoff=0.1)

    async def getmany(self, **_: int) -> dict[str, list[Any]]:
        return {}


async def test_who_found_nothing_listens_again_at_once(every_subscriber: list[Any]) -> None:
    """FastStream's own way would be to sleep for as long as it has listened, here for hours."""
    for subscriber in every_subscriber:
        subscriber.batch_timeout_ms = 10_000_000
        async with asyncio.timeout(10):
            assert await subscriber.get_msg(_Silent()) == ()


async def test_every_feed_of_a_service_is_a_group_of_its_own(
    every_subscriber: list[Any],
) -> None:
    subscribers = every_subscriber
    groups = [subscriber.group_id for subscriber in subscribers]
    assert len(set(groups)) == len(groups)
    for subscriber in subscribers:
        (topic,) = subscriber.topic_names
        assert subscriber.group_id.startswith("shop.")
        assert topic.startswith("shop.oms.")


def test_a_subscriber_is_told_all_of_this() -> None:
    assert subscriber_arguments(OPTIONS, "g", is_urgent=True) == {
        "group_id": "g",
        "batch": True,
        "max_records": 500,
        "batch_timeout_ms": 1_000,
        "fetch_max_wait_ms": 1_000,
        "fetch_min_bytes": 1,
        "ack_policy": AckPolicy.MANUAL,
        "auto_offset_reset": "earliest",
        "session_timeout_ms": 30_000,
        "heartbeat_interval_ms": 3_000,
        "max_poll_interval_ms": 300_000,
        "rebalance_timeout_ms": 30_000,
        "no_reply": True,
    }


def test_what_nobody_waits_for_is_gathered_by_the_broker() -> None:
    urgent = subscriber_arguments(OPTIONS, "g", is_urgent=True)
    unhurried = subscriber_arguments(OPTIONS, "g", is_urgent=False)
    assert unhurried == urgent | {"fetch_min_bytes": 65_536, "fetch_max_wait_ms": 300}


def test_the_producer_is_told_all_of_this() -> None:
    assert producer_arguments(OPTIONS) == {
        "bootstrap_servers": ["one:9092", "two:9092"],
        "client_id": "so-oms",
        "request_timeout_ms": 20_000,
        "security_protocol": "PLAINTEXT",
        "ssl_context": None,
        "acks": "all",
        "enable_idempotence": True,
        "max_batch_size": 512 << 10,
        "max_request_size": 8 << 20,
        "linger_ms": 0,
    }


def test_faststream_makes_no_producer_and_no_topic() -> None:
    told = broker_arguments(OPTIONS)
    assert told["consumer_only"] is True
    assert told["allow_auto_create_topics"] is False
    assert told["ack_policy"] is AckPolicy.MANUAL
    assert told["apply_types"] is False


def test_a_topic_keeps_everything_unless_told_otherwise() -> None:
    assert topic_settings(OPTIONS) == {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "min.insync.replicas": "1",
        "unclean.leader.election.enable": "false",
        "message.timestamp.type": "CreateTime",
        "max.message.bytes": str(8 << 20),
    }


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_both_libraries_are_told_the_same_credentials(mechanism: str) -> None:
    secured = KafkaOptions(
        "b:9093",
        security_protocol="SASL_SSL",
        sasl_mechanism=mechanism,
        username="oms",
        password="secret",
    )
    client = client_arguments(secured)
    assert client["sasl_mechanism"] == mechanism
    assert (client["sasl_plain_username"], client["sasl_plain_password"]) == ("oms", "secret")
    context = client["ssl_context"]
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    reader = broker_arguments(secured)["security"]
    assert (reader.username, reader.password, reader.use_ssl) == ("oms", "secret", True)


def test_the_settings_reach_the_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMS_BUS", "kafka")
    monkeypatch.setenv("OMS_KAFKA_BOOTSTRAP_SERVERS", "b1:9092")
    monkeypatch.setenv("OMS_KAFKA_PARTITIONS", "12")
    monkeypatch.setenv("OMS_KAFKA_PASSWORD", "secret")
    monkeypatch.setenv("OMS_KAFKA_PREFIX", "shop.")
    settings = BusSettings()
    assert "secret" not in repr(settings)
    assert KafkaOptions(**settings.kafka_options()) == KafkaOptions(
        "b1:9092", partitions=12, password="secret", prefix="shop."
    )


async def test_the_bus_is_the_one_that_the_settings_name() -> None:
    assert isinstance(chosen_bus(BusSettings(bus="local"), ("order",)), LocalBus)
    bus = chosen_bus(BusSettings(bus="kafka"), ("order", "sourcing"))
    assert isinstance(bus, KafkaBus)
    assert bus._topics == {topic_of("order"), topic_of("sourcing")}
    with pytest.raises(ValidationError):
        BusSettings(bus="rabbit")  # type: ignore[arg-type]
