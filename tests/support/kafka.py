"""The brokers that tests run against; where they come from is `services/kernel/main/brokers.py`."""

import asyncio
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.kernel.adapters.broker import Broker, NoBroker
from services.kernel.main.brokers import KINDS, OURS, start_broker


class NotTested(UserWarning):
    """Something stood in for the broker, and cannot show what a broker would."""


@pytest.fixture(scope="session")
def any_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker for this run; the test is skipped, with the reason, without one."""
    said: list[str] = []
    try:
        broker = start_broker(tmp_path_factory.mktemp("kafka"), said.append, KINDS)
    except NoBroker as reason:
        pytest.skip(f"no Kafka broker: {reason}")
    if said:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("\n".join(said), NotTested, stacklevel=1)
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def kafka_bootstrap(any_broker: Broker) -> str:
    """Addresses of a broker for this run."""
    return any_broker.bootstrap


@pytest.fixture
def real_broker(any_broker: Broker) -> Broker:
    """Skip the test on what only stands in for Kafka."""
    if any_broker.caveat:
        pytest.skip(f"NOT TESTED: {any_broker.caveat}")
    return any_broker


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker that the test may stop, kill and start."""
    try:
        broker = start_broker(tmp_path / "kafka", print, OURS)
    except NoBroker as reason:
        pytest.skip(f"no Kafka broker of our own: {reason}")
    yield broker
    broker.stop()


async def restart(broker: Broker, *, killed: bool = False) -> None:
    """Stop or kill the broker and start it again, while the loop goes on."""
    await asyncio.to_thread(broker.kill if killed else broker.stop)
    await asyncio.to_thread(broker.start)
