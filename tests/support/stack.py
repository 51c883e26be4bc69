"""Starts what integration tests stand on: PostgreSQL, and services on the local bus."""

import asyncio
import hashlib
import itertools
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
from google.protobuf.message import Message

from services.kernel.adapters import database as databases
from services.kernel.adapters.database import APPLICATION_ROLE, with_login
from services.kernel.adapters.migrations import migrate
from services.kernel.application.clock import Clock
from services.kernel.application.feeds import Envelope
from services.kernel.domain.ids import derive
from services.kernel.domain.messages import Cause
from services.kernel.main import Build, Runtime, ServiceHost, prepare_databases
from services.kernel.main.buses import ServiceBus
from services.kernel.settings import KernelSettings

APP_PASSWORD = "only-for-tests-0123456789"  # noqa: S105 - of a server that lives for one run
TENANT = "demo"
_SETTLED_WITHIN_S = 20.0
_FIRST_LOOK_S, _LONGEST_LOOK_S = 0.01, 0.1
_TEMPLATE = f"template_{secrets.token_hex(4)}_"
# Databases that lie migrated on a server, to be copied: by the server's DSN, and their name.
_TEMPLATES: set[tuple[str, str]] = set()


def a_cause(command_id: str, tenant: str = TENANT) -> Cause:
    """A client's call."""
    return Cause(tenant, command_id, correlation_id=f"correlation-{command_id}")


@dataclass
class Stack:
    """Running services, and the feeds that tests speak on."""

    runtime: Runtime
    _positions: dict[str, "itertools.count[int]"] = field(default_factory=dict)
    _versions: dict[str, "itertools.count[int]"] = field(default_factory=dict)

    def __getitem__(self, name: str) -> ServiceHost:
        return self.runtime.hosts[name]

    async def publish(
        self, message: Message, key: str, *, tenant: str = TENANT, correlation_id: str = "test"
    ) -> Envelope:
        """Speak on a feed in the place of a service that is not running.

        Args:
            message: The feed's wrapper message, ``OrderEvent(order_placed=...)``.
            key: Stream key with its category, ``order-O1``.
            tenant: Whose.
            correlation_id: Of the request that all follows from.
        """
        topic = f"{message.DESCRIPTOR.file.package}.events"
        stream = f"{tenant}/{key}"
        case = message.WhichOneof("event")
        assert case is not None
        position = next(self._positions.setdefault(topic, itertools.count(1)))
        version = next(self._versions.setdefault(topic + stream, itertools.count(1)))
        envelope = Envelope(
            topic=topic,
            key=stream,
            value=message.SerializeToString(),
            event_id=derive(topic, position),
            type=getattr(message, case).DESCRIPTOR.full_name,
            tenant=tenant,
            stream_version=version,
            position=position,
            recorded_at=datetime.now(UTC),  # noqa: TID251 - a test is an edge
            causation_id="",
            correlation_id=correlation_id,
            traceparent="",
        )
        await self.runtime.bus.publish(topic, [envelope])
        return envelope

    async def settle(self) -> None:
        """Return once every message and every event of every log has had its effect."""
        async with asyncio.timeout(_SETTLED_WITHIN_S):
            quiet = 0
            while quiet < 3:
                quiet = quiet + 1 if await self._is_quiet() else 0
                await asyncio.sleep(0.01)

    async def _is_quiet(self) -> bool:
        if not self.runtime.bus.is_idle():
            return False
        for host in self.runtime.hosts.values():
            head = await host.database.sql.fetchval(
                "SELECT coalesce(max(notification_id), 0) FROM events"
            )
            if host.relay.position < head or (
                host.service.read_models and host.projector.position < head
            ):
                return False
        return self.runtime.bus.is_idle()


@asynccontextmanager
async def running(
    admin_dsn: str,
    services: Sequence[str] | Mapping[str, Build],
    *,
    prefix: str = "",
    clock: Clock | None = None,
    bus: ServiceBus | None = None,
    is_sole_writer: bool = True,
    **settings: Any,
) -> AsyncIterator[Stack]:
    """Run services in this process on databases of their own.

    Args:
        admin_dsn: The ``postgres_dsn`` fixture.
        services: Names; or, for toys, names and how to build them.
        prefix: Of the databases; give the same again to start on what a former run left.
        clock: Instead of the system's.
        bus: Instead of the local one.
        is_sole_writer: False where the test runs several on the same databases.
        settings: What differs from the defaults.
    """
    prefix = prefix or f"t{secrets.token_hex(4)}_"
    chosen = KernelSettings(
        database_prefix=prefix, poll_s=0.1, timer_poll_s=0.05, redrive_poll_s=0.05, **settings
    )
    for name in services:
        template = _TEMPLATE + name
        if (admin_dsn, template) not in _TEMPLATES:
            await prepare_databases(
                KernelSettings(database_prefix=_TEMPLATE), admin_dsn, APP_PASSWORD, [name]
            )
            _TEMPLATES.add((admin_dsn, template))
        await _copy(admin_dsn, template, prefix + name)
    dsns = await prepare_databases(chosen, admin_dsn, APP_PASSWORD, list(services))
    runtime = Runtime(
        chosen,
        dsns,
        dict(services) if isinstance(services, Mapping) else None,
        clock,
        bus,
        is_sole_writer=is_sole_writer,
    )
    await runtime.start()
    try:
        yield Stack(runtime)
    finally:
        await runtime.stop()


async def a_database(admin_dsn: str, *folders: Path, event_store: bool = True) -> str:
    """Create and migrate an empty database; return its DSN for the application role."""
    words = [str(event_store), *map(str, folders)]
    template = _TEMPLATE + hashlib.sha256(" ".join(words).encode()).hexdigest()[:16]
    if (admin_dsn, template) not in _TEMPLATES:
        owner = await databases.ensure_database(admin_dsn, template, APP_PASSWORD)
        await migrate(owner, folders, event_store=event_store)
        _TEMPLATES.add((admin_dsn, template))
    name = f"t{secrets.token_hex(6)}"
    await _copy(admin_dsn, template, name)
    return with_login(databases.with_database(admin_dsn, name), APPLICATION_ROLE, APP_PASSWORD)


async def forget_power_cuts(admin_dsn: str) -> None:
    """Leave the disk's part out: no test here cuts the power, and the server's end would wait."""
    connection = await asyncpg.connect(admin_dsn, timeout=10)
    try:
        await connection.execute("ALTER SYSTEM SET fsync = off")
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()


async def _copy(admin_dsn: str, template: str, name: str) -> None:
    """Make a database from one that was migrated before: a tenth of the work of migrating."""
    connection = await asyncpg.connect(admin_dsn, timeout=10)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            await connection.execute(
                f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy'
            )
    finally:
        await connection.close()


async def eventually(condition: Callable[[], Any], within_s: float = 10.0) -> None:
    """Wait until ``condition`` (plain or async) holds; fail when it does not in time."""
    look_s = _FIRST_LOOK_S
    async with asyncio.timeout(within_s):
        while True:
            answer = condition()
            if asyncio.iscoroutine(answer):
                answer = await answer
            if answer:
                return
            # Whoever has waited for long may wait a little longer: looking takes from what works.
            await asyncio.sleep(look_s)
            look_s = min(look_s * 1.2, _LONGEST_LOOK_S)


async def execute(dsn: str, query: str, *args: Any) -> Any:
    """Run one statement on a connection of its own."""
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetch(query, *args)
    finally:
        await connection.close()
