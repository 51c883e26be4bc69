"""One service as processes of its own: one kind serves calls, the other works.

``serve`` answers gRPC and appends; ``work`` hears feeds, publishes, projects, fires timers and runs
the senders. Several of either may run beside each other. They share nothing but the service's
database and the bus, so databases and topics are made beforehand, by ``oms migrate``.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

from services.kernel.adapters import database as databases
from services.kernel.adapters.database import APPLICATION_ROLE, Database, Limits
from services.kernel.adapters.installation_secrets import installation_secrets
from services.kernel.adapters.store_clock import StoreClock
from services.kernel.adapters.telemetry import METRICS, TELEMETRY
from services.kernel.entrypoints.grpc_limits import Limits as CallLimits
from services.kernel.entrypoints.grpc_limits import ServiceToken
from services.kernel.entrypoints.grpc_server import grpc_server
from services.kernel.entrypoints.health import HealthEndpoint
from services.kernel.main.buses import ServiceBus, chosen_bus
from services.kernel.main.collector import calm_collector
from services.kernel.main.door import open_gateway
from services.kernel.main.embedded import ALL_SCOPES, api_keys, hand_over_secrets
from services.kernel.main.host import ServiceHost
from services.kernel.main.runtime import SERVICES
from services.kernel.main.service import builder, topic_of
from services.kernel.settings import BusSettings, EdgeSettings, KernelSettings

type Say = Callable[[str], None]

_DEVELOPMENT = "dev"
# Of a worker for whose work nobody waits: on a busy machine an order's promise goes first.
_NICENESS = 5


class Misconfigured(Exception):
    """What is set cannot work; the message says how to mend it."""


async def serve_service(name: str, stop: asyncio.Event, say: Say) -> None:
    """Answer the calls of one service until told to stop; what was taken on is finished.

    Raises:
        Misconfigured: The settings are for one process, or the service is unknown.
    """
    settings, bus_settings, edge = KernelSettings(), BusSettings(), EdgeSettings()
    secrets = _prepared(settings, bus_settings, name)
    async with contextlib.AsyncExitStack() as stack:
        opened = await stack.enter_async_context(_opened(settings, name, secrets, bus_settings))
        opened.host.start_serving()
        access = await Database.open(
            _dsn(settings, "access", secrets),
            Limits(2, settings.acquire_s, settings.statement_s),
        )
        stack.push_async_callback(access.close)
        # The installation's own; what the environment sets wins.
        internal = edge.internal_token.get_secret_value() or secrets["internal_token"]
        keys = api_keys(access.sql, edge, secrets)
        server = grpc_server(
            [opened.host.service],
            authenticator=keys,
            telemetry=TELEMETRY,
            limits=CallLimits(**edge.limits()),
            service_token=ServiceToken(internal, frozenset(ALL_SCOPES)),
            has_reflection=edge.has_reflection or edge.environment == _DEVELOPMENT,
        )
        port = await server.start(f"{settings.host}:{settings.grpc_port}")
        stack.push_async_callback(server.drain, edge.notice_s, edge.grace_s)
        opened.is_started = True
        calm_collector()
        say(f"{name} answers gRPC on {settings.host}:{port}")
        await stop.wait()
        opened.endpoint.drain()


async def work_service(name: str, stop: asyncio.Event, say: Say) -> None:
    """Hear, publish, project and fire timers for one service until told to stop.

    A batch in flight is finished, and how far each partition is noted; then they go to the others.

    Raises:
        Misconfigured: The settings are for one process, or the service is unknown.
    """
    settings, bus_settings = KernelSettings(), BusSettings()
    secrets = _prepared(settings, bus_settings, name)
    async with _opened(settings, name, secrets, bus_settings) as opened:
        if not any(consumer.is_urgent for consumer in opened.host.consumers):
            os.nice(_NICENESS)
        opened.host.start_serving()
        for consumer in opened.host.consumers:
            opened.bus.attach(consumer)
        await opened.bus.start()
        try:
            opened.host.start_working()
            opened.is_started = True
            calm_collector()
            say(f"{name} works: {len(opened.host.consumers)} feeds in, {topic_of(name)} out")
            await stop.wait()
            opened.endpoint.drain()
        finally:
            await opened.bus.stop()
            await opened.host.note_published()


async def serve_gateway(stop: asyncio.Event, say: Say) -> None:
    """Answer HTTP by calling the services, wherever they are, until told to stop.

    Raises:
        Misconfigured: No database server is named, or an address is of no service.
    """
    settings, edge = KernelSettings(), EdgeSettings()
    if not settings.postgres_dsn:
        raise Misconfigured("the gateway keeps answers in PostgreSQL: set OMS_POSTGRES_DSN")
    targets = service_addresses(settings)
    secrets = installation_secrets(settings.data_home)
    internal = edge.internal_token.get_secret_value() or secrets["internal_token"]
    hand_over_secrets({**secrets, "internal_token": internal})
    async with contextlib.AsyncExitStack() as stack:
        access = await Database.open(
            _dsn(settings, "access", secrets),
            Limits(2, settings.acquire_s, settings.statement_s),
        )
        stack.push_async_callback(access.close)
        keys = api_keys(access.sql, edge, secrets)

        async def answers() -> bool:
            return bool(await access.sql.fetchval("SELECT true"))

        endpoint = HealthEndpoint(ready={"database": answers}, metrics=METRICS.exposition)
        dsn = _dsn(settings, "gateway", secrets)
        await open_gateway(settings, dsn, keys, targets, stack)
        await endpoint.start(settings.host, settings.health_port, METRICS.loop_lag_seconds.set)
        stack.push_async_callback(endpoint.stop)
        calm_collector()
        say(f"the gateway answers HTTP on {settings.host}:{settings.http_port}")
        await stop.wait()
        endpoint.drain()


def service_addresses(settings: KernelSettings) -> dict[str, str]:
    """Return where each service answers gRPC.

    Raises:
        Misconfigured: ``OMS_SERVICE_ADDRESSES`` names a service that there is not.
    """
    addresses = dict.fromkeys(SERVICES, f"{settings.host}:{settings.grpc_port}")
    for part in filter(None, settings.service_addresses.split(",")):
        name, _, address = part.partition("=")
        if name not in addresses:
            raise Misconfigured(
                f"OMS_SERVICE_ADDRESSES: no service {name!r}: one of {', '.join(SERVICES)}"
            )
        addresses[name] = address
    return addresses


class _Opened:
    """A service on its database, not yet doing anything."""

    def __init__(self, host: ServiceHost, bus: ServiceBus) -> None:
        self.host = host
        self.bus = bus
        self.is_started = False
        self.endpoint = HealthEndpoint(
            ready={"database": self._has_database, "started": self._has_started},
            metrics=METRICS.exposition,
        )

    async def _has_database(self) -> bool:
        return bool(await self.host.database.sql.fetchval("SELECT true"))

    async def _has_started(self) -> bool:
        return self.is_started


@contextlib.asynccontextmanager
async def _opened(
    settings: KernelSettings, name: str, secrets: dict[str, str], bus_settings: BusSettings
) -> AsyncIterator[_Opened]:
    dsn = _dsn(settings, name, secrets)
    database = await Database.open(
        dsn, Limits(settings.pool_size, settings.acquire_s, settings.statement_s)
    )
    bus = chosen_bus(bus_settings, (name,))
    clock = StoreClock()
    await clock.start(database.sql)
    host = ServiceHost(
        builder(name),
        database,
        database,
        dsn,
        settings,
        bus,
        clock,
        {name: f"{settings.host}:{settings.grpc_port}"},
        is_sole_writer=False,
    )
    opened = _Opened(host, bus)
    endpoint = opened.endpoint
    await endpoint.start(settings.host, settings.health_port, METRICS.loop_lag_seconds.set)
    try:
        yield opened
    finally:
        await clock.stop()
        await host.stop()
        await endpoint.stop()


def _prepared(settings: KernelSettings, bus: BusSettings, name: str) -> dict[str, str]:
    if name not in SERVICES:
        raise Misconfigured(f"no service {name!r}: one of {', '.join(SERVICES)}")
    if bus.bus == "local":
        raise Misconfigured(
            "services in processes of their own need a bus between them: set OMS_BUS=kafka and"
            " OMS_KAFKA_BOOTSTRAP_SERVERS, or run everything in one process by `oms up`"
        )
    if not settings.postgres_dsn:
        raise Misconfigured("processes share a PostgreSQL server: set OMS_POSTGRES_DSN")
    secrets = installation_secrets(settings.data_home)
    hand_over_secrets(secrets)
    return secrets


def _dsn(settings: KernelSettings, name: str, secrets: dict[str, Any]) -> str:
    database = f"{settings.database_prefix}{name}"
    # So that the server's own list of connections tells which process has them.
    process = f"oms {name} {os.getpid()}"
    if settings.postgres_app_dsn:
        dsn = databases.with_database(settings.postgres_app_dsn, database)
        return databases.with_application(dsn, process)
    owner = databases.with_database(settings.postgres_dsn, database)
    dsn = databases.with_login(owner, APPLICATION_ROLE, secrets["app_password"])
    return databases.with_application(dsn, process)
