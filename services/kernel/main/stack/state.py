"""What the keeper writes down, and whether it is still true."""

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

STARTING, UP, STOPPING, DOWN, FAILED = "starting", "up", "stopping", "down", "failed"
READY, UNREADY, HELD = "ready", "unready", "held"
# The start time that the system tells may be rounded.
_SAME_START_S = 1.0
_LEFTOVER_STOPS_WITHIN_S = 15.0


@dataclass(slots=True)
class ProcessState:
    """One process of the stack.

    Attributes:
        name: ``order.serve``, ``order.work``, ``order.work.2``, ``gateway``, ``broker``,
            ``postgres``.
        kind: ``serve``, ``work``, ``gateway``, ``broker`` or ``postgres``.
        state: ``down``, ``starting``, ``ready``, ``unready``, ``stopping``, ``held`` or ``failed``.
        pid: While there is one.
        born: When that process began, as the system tells: pids are given out again.
        grpc: Where it answers gRPC.
        http: Where it answers HTTP.
        health: Where it answers ``/live``, ``/ready`` and ``/metrics``; empty: nowhere.
        restarts: How often it was started again.
        exit_code: Of its last end.
        detail: What else there is to say.
    """

    name: str
    kind: str
    state: str = DOWN
    pid: int | None = None
    born: float = 0.0
    grpc: str = ""
    http: str = ""
    health: str = ""
    restarts: int = 0
    exit_code: int | None = None
    detail: str = ""

    def is_alive(self) -> bool:
        """Tell whether the very process that was written down still runs."""
        return self.pid is not None and is_same(self.pid, self.born)


@dataclass(slots=True)
class StackState:
    """The stack as its keeper sees it.

    Attributes:
        phase: ``starting``, ``up``, ``stopping``, ``down`` or ``failed``.
        pid: The keeper's.
        born: When the keeper began.
        problem: Why it failed.
        broker: Address of the broker.
        caveats: What nobody may conclude from this stack.
        environment: What clients of the broker and the database have to be told, without secrets
            that are not in files of the data folder anyway.
        processes: By name, in the order of their start.
    """

    phase: str = STARTING
    pid: int = 0
    born: float = 0.0
    problem: str = ""
    broker: str = ""
    caveats: list[str] = field(default_factory=list[str])
    environment: dict[str, str] = field(default_factory=dict[str, str])
    processes: dict[str, ProcessState] = field(default_factory=dict[str, ProcessState])

    def is_kept(self) -> bool:
        """Tell whether the keeper that wrote this is alive."""
        return bool(self.pid) and is_same(self.pid, self.born)


class StateFile:
    """``stack/state.json`` of a data folder: replaced whole, so nobody reads half of it."""

    def __init__(self, data_home: Path) -> None:
        self.folder = data_home / "stack"
        self._file = self.folder / "state.json"
        self._held = self.folder / "held"

    def log_of(self, name: str) -> Path:
        """Return the log of a process."""
        return self.folder / "logs" / f"{name}.log"

    def logs(self) -> list[Path]:
        """Return what the processes, the keeper and the broker wrote."""
        return [*(self.folder / "logs").glob("*.log"), self.folder / "broker/broker.log"]

    def write(self, state: StackState) -> None:
        """Replace what is written down."""
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = self._file.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as out:
            json.dump(asdict(state), out, indent=1)
        fresh.replace(self._file)

    def read(self) -> StackState | None:
        """Return what was written down last; None where nothing, or nothing readable, is."""
        try:
            told: dict[str, Any] = json.loads(self._file.read_text())
            processes = {
                name: ProcessState(**process) for name, process in told.pop("processes").items()
            }
            return StackState(**told, processes=processes)
        except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def forget(self) -> None:
        """Forget what was written down: what it tells of is over."""
        self._file.unlink(missing_ok=True)

    def held(self) -> frozenset[str]:
        """Return the names of processes that somebody wants stopped."""
        with contextlib.suppress(FileNotFoundError):
            return frozenset(self._held.read_text().split())
        return frozenset()

    def hold(self, names: frozenset[str]) -> None:
        """Have these processes stopped, and all others running."""
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = self._held.with_suffix(".new")
        fresh.write_text("\n".join(sorted(names)))
        fresh.replace(self._held)


def born(pid: int) -> float:
    """Return when a process began; 0 when it is gone."""
    with contextlib.suppress(psutil.Error):
        return float(psutil.Process(pid).create_time())
    return 0.0


def is_same(pid: int, at: float) -> bool:
    """Tell whether ``pid`` is still the process that began at ``at``."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        is_dead = process.status() == psutil.STATUS_ZOMBIE
        return not is_dead and abs(float(process.create_time()) - at) < _SAME_START_S
    return False


def leftovers(state: StackState | None) -> Iterator[ProcessState]:
    """Yield processes that run on although their keeper is gone; PostgreSQL is found anyway."""
    if state is not None and not state.is_kept():
        for process in state.processes.values():
            if process.kind != "postgres" and process.is_alive():
                yield process


def clear_leftovers(file: StateFile) -> list[str]:
    """Stop what a keeper left behind that was killed, the broker last; return the names.

    Who works needs the broker to give back what it holds; without it each would wait in vain.
    """
    found = list(_processes(file))
    for is_broker in (False, True):
        _stop([process for state, process in found if (state.kind == "broker") is is_broker])
    return [state.name for state, _ in found]


def _stop(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGCONT)
    _, alive = psutil.wait_procs(processes, _LEFTOVER_STOPS_WITHIN_S)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, _LEFTOVER_STOPS_WITHIN_S)


def _processes(file: StateFile) -> Iterator[tuple[ProcessState, psutil.Process]]:
    for left in leftovers(file.read()):
        with contextlib.suppress(psutil.Error):
            yield left, psutil.Process(left.pid)
