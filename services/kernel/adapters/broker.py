"""A Kafka broker to run against: what every way of getting one has in common."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

_STARTS_WITHIN_S = 90.0
_STOPS_WITHIN_S = 30.0
_LOOK_S = 0.1
_TAIL_CHARACTERS = 2_000


class NoBroker(Exception):
    """Why a broker cannot be had here; the message says what would help."""


class Broker(Protocol):
    """A broker, running or to be started.

    Attributes:
        kind: ``given``, ``docker``, ``jars`` or ``mock``.
        caveat: What nobody may conclude from running against it; empty for a real broker.
        environment: Settings that clients need to use it.
        log: Where it writes; None when it is not ours.
    """

    kind: str
    caveat: str
    environment: Mapping[str, str]
    log: Path | None

    @property
    def bootstrap(self) -> str:
        """``host:port``; known once it was started."""

    @property
    def pid(self) -> int | None:
        """The process that holds it, where there is one of ours."""

    def start(self) -> None:
        """Start, or start again on the same data; return once it answers.

        Raises:
            NoBroker: It does not.
        """

    def stop(self) -> None:
        """Stop as an operator would."""

    def kill(self) -> None:
        """Stop as a power cut would."""

    def is_running(self) -> bool:
        """Tell whether it still runs, as far as is known here."""


class GivenBroker:
    """One that somebody else runs."""

    kind = "given"
    caveat = ""
    log: Path | None = None
    pid: int | None = None

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.environment: Mapping[str, str] = {}

    def start(self) -> None:
        """Look whether any of its addresses answers."""
        for address in self.bootstrap.split(","):
            host, _, port = address.strip().rpartition(":")
            if port.isdigit() and answers(host.strip("[]"), int(port)):
                return
        raise NoBroker(f"no broker answers at {self.bootstrap}: see OMS_KAFKA_BOOTSTRAP_SERVERS")

    def stop(self) -> None:
        """Leave it running: it is not ours."""

    def kill(self) -> None:
        """Leave it running: it is not ours."""

    def is_running(self) -> bool:
        return True


class BrokerProcess:
    """A broker in a process of ours, with a log file.

    Args:
        log: Where the process writes what it says.
    """

    caveat = ""

    def __init__(self, log: Path) -> None:
        self.log: Path | None = log
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.environment: Mapping[str, str] = {}

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOPS_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def run(self, command: list[str], is_ready: Callable[[], bool]) -> None:
        """Start the process and return once it is ready.

        A group of its own keeps the terminal's Ctrl-C away from it: it stops last, by our hand.

        Raises:
            NoBroker: It ended, or took too long.
        """
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own words
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        ends = time.monotonic() + _STARTS_WITHIN_S
        while not is_ready():
            if not self.is_running() or time.monotonic() > ends:
                self.kill()
                tail = self._log.read_text(errors="replace")[-_TAIL_CHARACTERS:]
                raise NoBroker(f"the broker did not start, see {self._log}: {tail}")
            time.sleep(_LOOK_S)


def answers(host: str, port: int) -> bool:
    """Tell whether somebody listens there."""
    with contextlib.suppress(OSError):
        socket.create_connection((host, port), timeout=0.5).close()
        return True
    return False
