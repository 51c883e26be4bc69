"""A real Kafka broker for tests, without Docker: the broker's own jars on the system's Java.

``OMS_KAFKA_BOOTSTRAP_SERVERS`` names one that runs already. Otherwise the jars are resolved once by
Maven into the user's cache, and one KRaft node listens on free loopback ports for the run.
"""

import asyncio
import contextlib
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

KAFKA = "4.3.1"
# Where the broker says that its classes are; logging only of what goes wrong.
_CLUSTER_ID = "c28tb21zLXRlc3RzLTAwMQ"
_STARTS_WITHIN_S = 60.0
_RESOLVES_WITHIN_S = 300.0
_LEAST_JAVA = 17

_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
<modelVersion>4.0.0</modelVersion>
<groupId>so-oms</groupId><artifactId>broker-for-tests</artifactId><version>1</version>
<dependencies><dependency>
<groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA}</version>
</dependency></dependencies>
</project>"""


class NoBroker(Exception):
    """Why a broker cannot be had here."""


class Broker:
    """One KRaft node in a folder of its own; what it was told survives a restart.

    Args:
        folder: For its log and configuration.
        jars: Folder with the broker and all it needs.
    """

    def __init__(self, folder: Path, jars: Path) -> None:
        self._folder = folder
        self._jars = jars
        self._port, self._controller_port = _free_port(), _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start, or start again on the same log; return once it answers."""
        properties = self._folder / "server.properties"
        if not properties.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            properties.write_text(self._properties())
            self._java("kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", properties)
        log = (self._folder / "broker.log").open("ab")
        self._process = subprocess.Popen(  # noqa: S603 - our own words
            [*self._command(), "kafka.Kafka", str(properties)], stdout=log, stderr=log
        )
        log.close()
        ends = time.monotonic() + _STARTS_WITHIN_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > ends:
                self.kill()
                tail = (self._folder / "broker.log").read_text(errors="replace")[-2_000:]
                raise NoBroker(f"the broker did not start: {tail}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop as an operator would."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def kill(self) -> None:
        """Stop as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self._port), timeout=0.5).close()
            return True
        return False

    def _command(self) -> list[str]:
        return [
            "java",
            "-Xmx384m",
            "-Xms128m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            f"{self._jars}/*",
        ]

    def _java(self, *arguments: object) -> None:
        answer = subprocess.run(  # noqa: S603 - our own words
            [*self._command(), *map(str, arguments)], capture_output=True, check=False
        )
        if answer.returncode:
            raise NoBroker(answer.stderr.decode(errors="replace")[-2_000:])

    def _properties(self) -> str:
        settings = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://127.0.0.1:{self._port},"
            f"CONTROLLER://127.0.0.1:{self._controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self._port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": self._folder / "log",
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            "log.retention.check.interval.ms": 3_600_000,
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())


def jars() -> Path:
    """Return the folder with the broker's jars; resolve them by Maven where it is empty.

    Raises:
        NoBroker: No Java 17, no Maven, or no way to Maven Central.
    """
    _need_java()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "so-oms" / f"kafka-{KAFKA}"
    if (folder / f"kafka_2.13-{KAFKA}.jar").exists():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise NoBroker("no Maven to fetch the broker with: install mvn")
    arriving = folder.with_suffix(f".{os.getpid()}")
    arriving.mkdir(parents=True)
    (arriving / "pom.xml").write_text(_POM)
    try:
        answer = subprocess.run(  # noqa: S603 - our own words
            [
                *(maven, "-q", "-B", "-f", str(arriving / "pom.xml")),
                *("dependency:copy-dependencies", "-DincludeScope=runtime"),
                f"-DoutputDirectory={arriving}",
            ],
            capture_output=True,
            check=False,
            timeout=_RESOLVES_WITHIN_S,
        )
    except subprocess.TimeoutExpired:
        raise NoBroker("Maven did not bring the broker in time") from None
    if answer.returncode:
        raise NoBroker(f"Maven could not bring the broker: {answer.stdout.decode()[-1_000:]}")
    shutil.rmtree(folder, ignore_errors=True)
    arriving.rename(folder)
    return folder


def _need_java() -> None:
    java = shutil.which("java")
    if java is None:
        raise NoBroker(f"no Java: install {_LEAST_JAVA} or newer")
    answer = subprocess.run([java, "-version"], capture_output=True, check=False)  # noqa: S603
    version = re.search(r'version "(\d+)', answer.stderr.decode(errors="replace"))
    if version is None or int(version[1]) < _LEAST_JAVA:
        raise NoBroker(f"Java {version[1] if version else '?'} is too old: {_LEAST_JAVA} or newer")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def kafka_bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Addresses of a broker for this run; the test is skipped, with the reason, without one."""
    if given := os.environ.get("OMS_KAFKA_BOOTSTRAP_SERVERS"):
        yield given
        return
    try:
        broker = Broker(tmp_path_factory.mktemp("kafka"), jars())
        broker.start()
    except NoBroker as reason:
        pytest.skip(f"no Kafka broker: {reason}")
    yield broker.bootstrap
    broker.stop()


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker that the test may stop, kill and start."""
    try:
        broker = Broker(tmp_path / "kafka", jars())
        broker.start()
    except NoBroker as reason:
        pytest.skip(f"no Kafka broker: {reason}")
    yield broker
    broker.stop()


async def restart(broker: Broker, *, killed: bool = False) -> None:
    """Stop or kill the broker and start it again, while the loop goes on."""
    await asyncio.to_thread(broker.kill if killed else broker.stop)
    await asyncio.to_thread(broker.start)
