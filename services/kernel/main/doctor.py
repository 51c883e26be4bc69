"""What is reachable and what is misconfigured, one line each."""

import asyncio
import contextlib
import shutil
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncpg

from services.kernel.adapters.database import with_database
from services.kernel.adapters.embedded_postgres import CannotStart
from services.kernel.adapters.relay import RELAY
from services.kernel.main.buses import declared_topics, examine_feeds
from services.kernel.main.reading import server
from services.kernel.main.runtime import SERVICES
from services.kernel.main.stack.lag import total
from services.kernel.main.stack.minding import fetch
from services.kernel.main.stack.plan import GATEWAY
from services.kernel.main.stack.state import READY, StateFile
from services.kernel.settings import BusSettings, EdgeSettings, KernelSettings

_WITHIN_S = 3.0
_BROKER_WITHIN_S = 10.0
_LEAST_FREE_SHARE = 0.15
_DISBELIEVED = ("oms_forwarding_disbelieved_total",)


@dataclass(frozen=True, slots=True)
class Examined:
    """One thing that was looked at.

    Attributes:
        what: The thing.
        state: ``fine``, ``absent`` (nothing wrong, it is not running) or ``broken``.
        detail: What was seen, and how to mend it.
    """

    what: str
    state: str
    detail: str


async def examine(settings: KernelSettings) -> list[Examined]:
    """Look at the machine, the database, the ports, the broker, the feeds and the stack."""
    return [
        _python(),
        _disk(settings),
        await _database(settings),
        *[
            await _port(name, settings.host, port)
            for name, port in (
                ("gateway (HTTP)", settings.http_port),
                ("services (gRPC)", settings.grpc_port),
                ("health", settings.health_port),
            )
        ],
        *await _kafka(settings),
        *await _feeds(settings),
        *_stack(settings),
        *await _proxy(settings),
        _export(),
    ]


def _python() -> Examined:
    version = ".".join(map(str, sys.version_info[:3]))
    return Examined("Python", "fine", version)


def _disk(settings: KernelSettings) -> Examined:
    folder = settings.data_home.resolve()
    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    share = usage.free / usage.total
    detail = f"{usage.free // 2**30} GiB free ({share:.0%}) under {settings.data_home}"
    if share < _LEAST_FREE_SHARE:
        return Examined("disk", "broken", f"{detail}: make room, or move OMS_DATA_HOME")
    return Examined("disk", "fine", detail)


async def _database(settings: KernelSettings) -> Examined:
    if not settings.postgres_dsn:
        running = _is_running(settings)
        return Examined(
            "PostgreSQL",
            "fine" if running else "absent",
            "embedded, running" if running else "embedded, starts with `oms up`",
        )
    return await _try(
        "PostgreSQL",
        lambda: _ask(settings.postgres_dsn),
        "check OMS_POSTGRES_DSN, and that the role may create databases and roles",
    )


def _is_running(settings: KernelSettings) -> bool:
    """Tell whether the embedded server runs, as far as its note says so."""
    return (settings.data_home / "postgres" / "postmaster.pid").exists()


async def _ask(dsn: str) -> str:
    connection = await asyncpg.connect(dsn, timeout=_WITHIN_S)
    try:
        row = await connection.fetchrow(
            "SELECT current_setting('server_version'), current_setting('fsync'),"
            " current_setting('synchronous_commit'), rolcreatedb OR rolsuper"
            " FROM pg_roles WHERE rolname = current_user"
        )
    finally:
        await connection.close()
    if row is None or row[1] != "on" or row[2] == "off":
        raise ValueError("fsync or synchronous_commit is off: an acknowledged order may be lost")
    if not row[3]:
        raise ValueError("the role may not create databases")
    return f"version {row[0]}, durable"


async def _port(name: str, host: str, port: int) -> Examined:
    try:
        async with asyncio.timeout(_WITHIN_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return Examined(name, "absent", f"nothing listens on {host}:{port}")
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return Examined(name, "fine", f"listens on {host}:{port}")


async def _kafka(settings: KernelSettings) -> list[Examined]:
    """Look for a broker and at its topics, where the feeds go over one."""
    bus = BusSettings()
    state = StateFile(settings.data_home).read()
    if bus.bus != "kafka" and state is not None and state.is_kept():
        partitions = int(state.environment.get("OMS_KAFKA_PARTITIONS", bus.kafka_partitions))
        bus = bus.model_copy(
            update={
                "bus": "kafka",
                "kafka_bootstrap_servers": state.broker,
                "kafka_partitions": partitions,
            }
        )
    if bus.bus != "kafka":
        return [Examined("Kafka", "absent", "the feeds stay within the process")]
    try:
        async with asyncio.timeout(_BROKER_WITHIN_S):
            wrong = await examine_feeds(bus, SERVICES)
    except (Exception, TimeoutError) as error:  # noqa: BLE001 - whatever it is, it is broken
        mend = "check OMS_KAFKA_BOOTSTRAP_SERVERS, and OMS_KAFKA_SECURITY_PROTOCOL and its like"
        return [Examined("Kafka", "broken", f"{bus.kafka_bootstrap_servers}: {error!r}: {mend}")]
    reached = Examined("Kafka", "fine", f"answers at {bus.kafka_bootstrap_servers}")
    if not wrong:
        count = len(declared_topics(SERVICES))
        return [reached, Examined("topics", "fine", f"{count}, as declared")]
    return [reached, *(Examined("topics", "broken", one) for one in wrong)]


async def _feeds(settings: KernelSettings) -> list[Examined]:
    """Look for feeds that wait for an event that cannot be made public; nothing runs for it."""
    if not settings.postgres_dsn and not _is_running(settings):
        return []
    held: list[Examined] = []
    try:
        async with server(settings) as dsn:
            for service in SERVICES:
                database = with_database(dsn, f"{settings.database_prefix}{service}")
                held += [
                    Examined(
                        f"feed {topic}",
                        "broken",
                        f"held at {stream} (see `oms parked show {stream}`): {reason}",
                    )
                    for topic, stream, reason in await _held(database)
                ]
    except (OSError, TimeoutError, asyncpg.PostgresError, CannotStart) as error:
        return [Examined("feeds", "broken", f"cannot be looked at: {error}: see PostgreSQL above")]
    return held or [Examined("feeds", "fine", "none waits for an event that cannot be said")]


async def _held(dsn: str) -> list[tuple[str, str, str]]:
    """Return topic, stream and reason of what holds the feed of a service, if anything does."""
    try:
        connection = await asyncpg.connect(dsn, timeout=_WITHIN_S)
    except asyncpg.InvalidCatalogNameError:  # it has not been started yet
        return []
    try:
        rows = await connection.fetch(
            "SELECT topic, stream, reason FROM parked WHERE group_name = $1"
            " ORDER BY topic, position",
            RELAY,
            timeout=_WITHIN_S,
        )
    except asyncpg.UndefinedTableError:  # it is just being made
        return []
    finally:
        await connection.close()
    return [tuple(row) for row in rows]


def _stack(settings: KernelSettings) -> list[Examined]:
    state = StateFile(settings.data_home).read()
    if state is None or not state.is_kept():
        return [Examined("stack", "absent", "starts with `oms stack up`")]
    late = [p.name for p in state.processes.values() if p.state != READY]
    if late:
        detail = f"{state.phase}; not ready: {', '.join(late)}: see `oms stack logs NAME`"
        return [Examined("stack", "broken", detail)]
    return [Examined("stack", "fine", f"{len(state.processes)} processes, all ready")]


async def _proxy(settings: KernelSettings) -> list[Examined]:
    """Ask the gateway whether somebody in front of it tells whose requests he passes on, in vain.

    It breaks nothing, and whoever is no proxy can send the header too: it is told, not judged.
    """
    state = StateFile(settings.data_home).read()
    health = f"{settings.host}:{settings.health_port}"
    if state is not None and state.is_kept() and GATEWAY in state.processes:
        health = state.processes[GATEWAY].health
    answer = await fetch(health, "/metrics")
    if answer is None:
        return []
    count = total(answer[1].decode("utf-8", "replace"), _DISBELIEVED)
    if not count:
        return [Examined("proxy", "fine", "no forwarded address was disbelieved")]
    return [
        Examined(
            "proxy",
            "absent",
            f"{count} requests since the start brought an X-Forwarded-For that was not believed:"
            " if they came through a proxy of yours, all its callers count as one address; name the"
            " proxy's address in FORWARDED_ALLOW_IPS where the gateway runs",
        )
    ]


def _export() -> Examined:
    settings = EdgeSettings()
    if not settings.otlp_endpoint:
        return Examined(
            "export", "absent", "no traces or metrics; set OMS_OTLP_ENDPOINT to send them"
        )
    return Examined("export", "fine", f"traces and metrics go to {settings.otlp_endpoint}")


async def _try(what: str, ask: Callable[[], Awaitable[str]], mend: str) -> Examined:
    try:
        return Examined(what, "fine", await ask())
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError) as error:
        return Examined(what, "broken", f"{error}: {mend}")
