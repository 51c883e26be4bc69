"""What operators need of a broker: declared topics, parked messages told, metrics, encryption."""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from services.kernel.adapters.broker import Broker, NoBroker
from services.kernel.adapters.broker_jars import JarBroker
from services.kernel.adapters.kafka_bus import KafkaBus
from services.kernel.adapters.kafka_options import KafkaOptions, client_arguments
from services.kernel.adapters.kafka_topics import ensure_topics, examine_topics, parked_topic_of
from services.kernel.adapters.telemetry import METRICS
from tests.integration.kernel.test_kafka_bus import (
    FEED,
    PARTITIONS,
    Toys,
    add,
    holds,
    options,
    reasons,
)
from tests.support.stack import eventually

pytestmark = pytest.mark.stack

PASSWORD = "only-for-tests"  # noqa: S105


async def test_topics_differ_from_what_is_declared_until_they_are_made(
    real_broker: Broker,
) -> None:
    chosen = options(real_broker.bootstrap)
    topics = [FEED, parked_topic_of("order")]
    assert len(await examine_topics(chosen, topics)) == 2
    await ensure_topics(chosen, topics)
    assert await examine_topics(chosen, topics) == []
    # Somebody changed his mind about retention, or the topic.
    (found,) = await examine_topics(replace(chosen, parked_retention_ms=60_000), topics)
    assert found.startswith(f"{chosen.prefix}oms.order.v1.parked: retention.ms is 1209600000")
    more = await examine_topics(replace(chosen, partitions=PARTITIONS + 1), [FEED])
    assert f"has {PARTITIONS} partitions" in more[0]


async def test_a_topic_that_somebody_else_made_is_told_apart(real_broker: Broker) -> None:
    chosen = options(real_broker.bootstrap)
    admin = AIOKafkaAdminClient(**client_arguments(chosen))
    await admin.start()
    compacted = {"cleanup.policy": "compact"}
    await admin.create_topics([NewTopic(chosen.prefix + FEED, PARTITIONS, 1, None, compacted)])
    await admin.close()
    found = await examine_topics(chosen, [FEED])
    assert any("cleanup.policy is compact, declared is delete" in one for one in found)


async def test_what_is_parked_is_told_on_a_topic_with_its_reason(
    kafka_bootstrap: str, postgres_dsn: str
) -> None:
    chosen = options(kafka_bootstrap)
    toys = Toys(postgres_dsn, lambda: KafkaBus(chosen, [FEED]))
    async with toys.run() as stack:
        toys.sink.poison = {13}
        await add(stack, "a", 13, "c1")
        await add(stack, "a", 2, "c2")
        await eventually(lambda: reasons(stack))
        consumer = AIOKafkaConsumer(
            chosen.prefix + parked_topic_of("sink"),
            **client_arguments(chosen),
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            async with asyncio.timeout(30):
                told = [await consumer.getone(), await consumer.getone()]
        finally:
            await consumer.stop()
    headers = [dict(record.headers) for record in told]
    assert [record.key for record in told] == [b"demo/counter-a"] * 2
    assert [header["oms_reason"] for header in headers] == [
        b"Poison: 13",
        b"waits behind an earlier message of its stream",
    ]
    assert {header["oms_topic"] for header in headers} == {FEED.encode()}
    assert headers[0]["oms_attempts"] == b"3"
    assert all(header["ce_id"] for header in headers)


async def test_batches_rebalances_and_lag_are_metrics(
    kafka_bootstrap: str, postgres_dsn: str
) -> None:
    toys = Toys(postgres_dsn, lambda: KafkaBus(options(kafka_bootstrap), [FEED]))
    async with toys.run() as stack:
        await add(stack, "a", 1, "c1")
        await stack.settle()
        await eventually(lambda: holds(stack, {"a": 1}))
        of_group = {"group": "sink", "topic": FEED}
        value = METRICS.registry.get_sample_value
        await eventually(
            lambda: (
                value("oms_kafka_partitions_held", of_group) == PARTITIONS
                and value("oms_kafka_lag_messages", of_group) == 0
            )
        )
        assert (value("oms_kafka_rebalances_total", of_group) or 0) >= 1
        assert (value("oms_kafka_batch_messages_count", of_group) or 0) >= 1


@pytest.fixture
def guarded_broker(tmp_path: Path) -> Iterator[tuple[JarBroker, str]]:
    """A broker that speaks TLS only, to those with a password; and its certificate."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1")
    subprocess.run(  # noqa: S603 - our own words
        [
            *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    store = tmp_path / "store.pem"
    store.write_text(key.read_text() + certificate.read_text())
    login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    broker = JarBroker(
        tmp_path / "kafka",
        {
            "listeners": "SASL_SSL://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": "SASL_SSL://127.0.0.1:{port}",
            "listener.security.protocol.map": "SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "SASL_SSL",
            "sasl.enabled.mechanisms": "PLAIN",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": f'{login} username="oms"'
            f' password="{PASSWORD}" user_oms="{PASSWORD}";',
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": store,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": certificate,
        },
    )
    try:
        broker.start()
    except NoBroker as reason:
        pytest.skip(f"no Kafka broker of our own: {reason}")
    yield broker, str(certificate)
    broker.stop()


async def test_feeds_travel_encrypted_and_only_for_those_who_may(
    guarded_broker: tuple[JarBroker, str], postgres_dsn: str
) -> None:
    broker, certificate = guarded_broker
    plain = options(broker.bootstrap)
    chosen: KafkaOptions = replace(
        plain,
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        username="oms",
        password=PASSWORD,
        ca_file=certificate,
    )
    toys = Toys(postgres_dsn, lambda: KafkaBus(chosen, [FEED]))
    async with toys.run() as stack:
        await add(stack, "a", 5, "c1")
        await eventually(lambda: holds(stack, {"a": 5}), within_s=60)
    for wrong in (
        replace(chosen, password="guessed"),
        replace(chosen, ca_file=""),
        replace(plain, request_ms=2_000),
    ):
        with pytest.raises((KafkaError, OSError, TimeoutError)):
            await asyncio.wait_for(ensure_topics(wrong, [FEED]), 15)
