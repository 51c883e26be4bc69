"""Kafka from a container, and what stands in for Kafka where none can be had.

Each runs as a process of its own that ends with a signal, so that whoever started it deals with one
kind of thing: ``python -m services.kernel.adapters.broker_stand_ins docker|mock ARGUMENT``.
"""

import importlib
import importlib.util
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from services.kernel.adapters.broker import BrokerProcess, NoBroker, answers
from services.kernel.adapters.broker_jars import KAFKA
from services.kernel.adapters.ports import free_port

_IMAGE = f"apache/kafka:{KAFKA}"
_DOCKER_ANSWERS_WITHIN_S = 5.0
_CLIENTS, _CONTROLLERS = 9092, 9093
# The partitions of every topic that librdkafka's mock makes; it cannot be told otherwise.
_MOCK_PARTITIONS = 4


class ContainerBroker(BrokerProcess):
    """The official image, by testcontainers; its data outlive the container, in ``folder``."""

    kind = "docker"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "broker.log")
        self._folder = folder
        self._port = free_port()

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self.run(
            [*_myself("docker"), str(self._folder.resolve()), str(self._port)],
            lambda: answers("127.0.0.1", self._port),
        )


class MockBroker(BrokerProcess):
    """librdkafka's mock cluster: speaks the protocol, keeps a little in memory, and no more."""

    kind = "mock"
    caveat = (
        "this is librdkafka's mock cluster, not Kafka: it forgets everything when it stops and"
        " keeps 5 MB of each partition, so durability, rebalances, retention and topic settings"
        " are NOT tested by it"
    )

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "broker.log")
        self._told = folder / "mock.address"
        self.environment = {"OMS_KAFKA_PARTITIONS": str(_MOCK_PARTITIONS)}

    @property
    def bootstrap(self) -> str:
        return self._told.read_text().strip() if self._told.exists() else ""

    def start(self) -> None:
        self._told.parent.mkdir(parents=True, exist_ok=True)
        self._told.unlink(missing_ok=True)
        self.run([*_myself("mock"), str(self._told)], lambda: bool(self.bootstrap))


def need_docker() -> None:
    """Raise unless a container can be started.

    Raises:
        NoBroker: Why not.
    """
    if importlib.util.find_spec("testcontainers") is None:
        raise NoBroker("no testcontainers: `pip install testcontainers`")
    docker = shutil.which("docker")
    if docker is None:
        raise NoBroker("no docker")
    try:
        answer = subprocess.run(  # noqa: S603 - our own words
            [docker, "info", "--format", "{{.ServerVersion}}"],
            capture_output=True,
            check=False,
            timeout=_DOCKER_ANSWERS_WITHIN_S,
        )
    except subprocess.TimeoutExpired:
        raise NoBroker("the Docker engine does not answer") from None
    if answer.returncode:
        raise NoBroker("no Docker engine answers")


def need_mock() -> None:
    """Raise unless the mock cluster can be started.

    Raises:
        NoBroker: Why not.
    """
    if importlib.util.find_spec("confluent_kafka") is None:
        raise NoBroker("no mock cluster: `pip install confluent-kafka`")


def _myself(kind: str) -> list[str]:
    return [sys.executable, "-m", "services.kernel.adapters.broker_stand_ins", kind]


def _hold_container(folder: Path, port: int, stop: threading.Event) -> None:
    """Run the image until told to stop."""
    container_module: Any = importlib.import_module("testcontainers.core.container")
    container = container_module.DockerContainer(_IMAGE)
    data = folder / "log"
    data.mkdir(parents=True, exist_ok=True)
    data.chmod(0o777)  # the image's user is not ours
    container.with_bind_ports(_CLIENTS, port)
    container.with_volume_mapping(str(data), "/var/lib/kafka/data", "rw")
    for name, value in {
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_NODE_ID": "1",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": f"1@localhost:{_CONTROLLERS}",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENERS": f"PLAINTEXT://:{_CLIENTS},CONTROLLER://:{_CONTROLLERS}",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{port}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_LOG_DIRS": "/var/lib/kafka/data",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": "1000",
    }.items():
        container.with_env(name, value)
    container.start()
    try:
        stop.wait()
    finally:
        container.stop()


def _hold_mock(told: Path, stop: threading.Event) -> None:
    """Keep a mock cluster until told to stop; write its address to ``told``."""
    confluent: Any = importlib.import_module("confluent_kafka")
    # The cluster lives inside of this client, which itself sends nothing.
    client = confluent.Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1})
    brokers = client.list_topics(timeout=10).brokers.values()
    told.write_text(",".join(f"{broker.host}:{broker.port}" for broker in brokers))
    stop.wait()


def _main(kind: str, place: str, *port: str) -> None:
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    if kind == "docker":
        _hold_container(Path(place), int(port[0]), stop)
    else:
        _hold_mock(Path(place), stop)


if __name__ == "__main__":
    _main(*sys.argv[1:])
