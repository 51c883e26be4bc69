"""Which processes make the stack, what each is told, and where it answers."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from services.kernel.adapters.ports import bound, free_port
from services.kernel.main.runtime import SERVICES
from services.kernel.main.stack.state import ProcessState
from services.kernel.settings import KernelSettings

_MOST_COPIES = 16
_ANY_INTERFACE = ("0.0.0.0", "::")  # noqa: S104 - to be recognised, not to be opened

SERVE, WORK, GATEWAY = "serve", "work", "gateway"
STOP_ORDER = (GATEWAY, SERVE, WORK)
"""Doors first: who has let nobody in needs nobody behind him."""


class WrongPlan(ValueError):
    """What is asked for cannot be started."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One process of ours, to be started.

    Attributes:
        process: What the state file says of it.
        command: To run.
        environment: Beyond what all share.
    """

    process: ProcessState
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])


def parse_copies(text: str) -> dict[str, int]:
    """Read how many workers each service gets: ``stock_ledger=3,order=2``; one where unnamed.

    >>> parse_copies("order=2")["order"]
    2

    Raises:
        WrongPlan: It is not of that form, or names no service.
    """
    copies = dict.fromkeys(SERVICES, 1)
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, count = part.partition("=")
        if name not in copies or not count.isdigit() or not 1 <= int(count) <= _MOST_COPIES:
            raise WrongPlan(
                f"workers {part!r}: SERVICE=COUNT is meant, the count 1 to {_MOST_COPIES},"
                f" the service one of {', '.join(SERVICES)}"
            )
        copies[name] = int(count)
    return copies


def plan(settings: KernelSettings, copies: Mapping[str, int]) -> list[Planned]:
    """Return all processes of ours: who answers calls, who works, who opens the door.

    Ports count up from ``OMS_GRPC_PORT`` and ``OMS_HEALTH_PORT``; a port 0, also the gateway's,
    means any that is free.
    """
    grpc_ports = _Ports(settings.grpc_port)
    health_ports = _Ports(settings.health_port)
    host = "127.0.0.1" if settings.host in _ANY_INTERFACE else settings.host

    def at(port: int) -> str:
        return f"{host}:{port}"

    planned: list[Planned] = []
    for name in SERVICES:
        port = grpc_ports.next()
        health = health_ports.next()
        process = ProcessState(f"{name}.serve", SERVE, grpc=at(port), health=at(health))
        planned.append(Planned(process, _oms("serve", name), _ports(port, health)))
    for name in SERVICES:
        for copy in range(1, copies[name] + 1):
            suffix = f".{copy}" if copy > 1 else ""
            health = health_ports.next()
            process = ProcessState(f"{name}.work{suffix}", WORK, health=at(health))
            planned.append(Planned(process, _oms("work", name), _ports(0, health)))
    health, http = health_ports.next(), settings.http_port or free_port()
    door = ProcessState(GATEWAY, GATEWAY, http=f"http://{at(http)}", health=at(health))
    told = {**_ports(0, health), "OMS_HTTP_PORT": str(http)}
    planned.append(Planned(door, _oms("gateway"), told))
    return planned


def addresses(planned: Iterable[Planned]) -> str:
    """Return where each service answers gRPC, as ``OMS_SERVICE_ADDRESSES`` wants to be told."""
    return ",".join(
        f"{one.process.name.removesuffix('.serve')}={one.process.grpc}"
        for one in planned
        if one.process.kind == SERVE
    )


def taken_ports(planned: Iterable[Planned], host: str) -> list[str]:
    """Return the addresses that a process would want and somebody has, each with who wants it.

    Args:
        planned: The processes, none of them started.
        host: Where they will listen.
    """
    taken: list[str] = []
    for process in (one.process for one in planned):
        for address in filter(None, (process.grpc, process.http, process.health)):
            try:
                for listener in bound(host, int(address.rpartition(":")[2])):
                    listener.close()
            except OSError as error:
                taken.append(f"{process.name}: {error.strerror}")
    return taken


def _oms(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "services.kernel", *arguments)


def _ports(grpc: int, health: int) -> dict[str, str]:
    return {"OMS_GRPC_PORT": str(grpc), "OMS_HEALTH_PORT": str(health)}


class _Ports:
    """Counts up from the first port, or takes whatever is free."""

    def __init__(self, first: int) -> None:
        self._next = first

    def next(self) -> int:
        if not self._next:
            return free_port()
        self._next += 1
        return self._next - 1
