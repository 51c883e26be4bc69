"""Embedded mode: every service, the gateway and the database in one process group."""

import contextlib
import fcntl
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from services.kernel.adapters import database as databases
from services.kernel.adapters.api_keys import PostgresApiKeys
from services.kernel.adapters.database import APPLICATION_ROLE, Database, Limits
from services.kernel.adapters.embedded_postgres import EmbeddedPostgres
from services.kernel.adapters.installation_secrets import installation_secrets
from services.kernel.adapters.migrations import migrate
from services.kernel.adapters.telemetry import METRICS, TELEMETRY
from services.kernel.application.clock import SystemClock
from services.kernel.application.work import Sql
from services.kernel.entrypoints.grpc_limits import Limits as CallLimits
from services.kernel.entrypoints.grpc_limits import ServiceToken
from services.kernel.entrypoints.grpc_server import GrpcServer, grpc_server
from services.kernel.entrypoints.health import HealthEndpoint
from services.kernel.main.buses import chosen_bus
from services.kernel.main.door import open_gateway
from services.kernel.main.runtime import SERVICES, Runtime, prepare_databases
from services.kernel.settings import BusSettings, EdgeSettings, KernelSettings

DEMO_TENANT = "demo"
_MIGRATIONS_ACCESS = Path(__file__).parents[1] / "migrations_access"
# Where a stranger with grpcurl may discover the methods.
_DEVELOPMENT = "dev"

# What the key of the demo tenant may do: everything a retailer's own platform may.
ALL_SCOPES = (
    "delivery:code",
    *(
        f"{resource}:{verb}"
        for resource in (
            *("catalog", "delivery", "notifications", "orders"),
            *("picking", "returns", "sourcing", "stock"),
        )
        for verb in ("read", "write")
    ),
)

type Say = Callable[[str], None]


class AlreadyRunning(RuntimeError):
    """Another process runs on the same data, or ran on it in another way."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the running system answers."""

    http: str
    grpc: str
    health: str


@dataclass(frozen=True, slots=True)
class Databases:
    """The server and what is on it.

    Attributes:
        admin_dsn: The server, as its owner.
        app_dsns: Each service's database as the role it runs under, by service.
        owner_dsns: The same as the owner, for migrations and rebuilds.
        secrets: The installation's, by name.
    """

    admin_dsn: str
    app_dsns: Mapping[str, str]
    owner_dsns: Mapping[str, str]
    secrets: Mapping[str, str]


@contextlib.asynccontextmanager
async def open_databases(settings: KernelSettings, say: Say) -> Any:
    """Start or find the server, bring every database up to date, and lend them for the block."""
    secrets = installation_secrets(settings.data_home)
    server: EmbeddedPostgres | None = None
    admin_dsn = settings.postgres_dsn
    if not admin_dsn:
        folder = settings.data_home.resolve() / "postgres"
        is_there = (folder / "postmaster.pid").exists()
        say("joining PostgreSQL" if is_there else "starting PostgreSQL")
        server = EmbeddedPostgres(folder)
        admin_dsn = await server.start()
    try:
        say("bringing the tables up to date")
        password = secrets["app_password"]
        app_dsns = await prepare_databases(settings, admin_dsn, password, SERVICES)
        for name, folder in (
            ("access", _MIGRATIONS_ACCESS),
            ("gateway", Path(__file__).parents[2] / "gateway" / "migrations"),
        ):
            owner = await databases.ensure_database(
                admin_dsn, f"{settings.database_prefix}{name}", password
            )
            await migrate(owner, [folder], event_store=False)
            app_dsns[name] = databases.with_login(owner, APPLICATION_ROLE, password)
        owner_dsns = {
            name: databases.with_database(admin_dsn, f"{settings.database_prefix}{name}")
            for name in app_dsns
        }
        yield Databases(admin_dsn, app_dsns, owner_dsns, secrets)
    finally:
        if server is not None:
            server.stop()


def hand_over_secrets(secrets: Mapping[str, str]) -> None:
    """Put the installation's secrets where each service looks for its own, if nobody else did."""
    for variable, name in (
        ("OMS_DELIVERY_PICKUP_CODE_SECRET", "pickup_code_secret"),
        ("OMS_GATEWAY_TRACKING_SECRET", "tracking_secret"),
        ("OMS_GATEWAY_INTERNAL_TOKEN", "internal_token"),
        ("OMS_GATEWAY_DEMO_TENANT", ""),
    ):
        os.environ.setdefault(variable, secrets[name] if name else DEMO_TENANT)


@contextlib.contextmanager
def sole_owner(data_home: Path) -> Any:
    """Hold the data folder for the block.

    Raises:
        AlreadyRunning: Another process holds it.
    """
    data_home.mkdir(parents=True, exist_ok=True)
    with (data_home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(
                f"another So'OMS runs on {data_home}: stop it, or set OMS_DATA_HOME"
            ) from None
        yield


def claim_bus(data_home: Path, bus: str) -> None:
    """Settle which bus carries the feeds of a data folder: the first one, for ever.

    What one bus has not delivered yet, the other never heard of.

    Raises:
        AlreadyRunning: The folder's feeds went another way until now.
    """
    file = data_home / "bus"
    is_used = (data_home / "postgres").exists()
    noted = file.read_text().strip() if file.exists() else ""
    before = noted or ("local" if is_used else bus)
    if before != bus:
        raise AlreadyRunning(
            f"the feeds of {data_home} go over the bus {before!r}, not {bus!r}, and would be torn"
            " apart: set OMS_DATA_HOME to another folder, or OMS_BUS to what it was"
        )
    if noted != bus:
        fresh = file.with_suffix(".new")
        fresh.write_text(bus)
        fresh.replace(file)


class Embedded:
    """The running system; made by ``running``."""

    def __init__(
        self,
        runtime: Runtime,
        server: GrpcServer,
        keys: PostgresApiKeys,
        addresses: Addresses,
        databases_: Databases,
    ) -> None:
        self.runtime = runtime
        self.server = server
        self.keys = keys
        self.addresses = addresses
        self.databases = databases_

    async def demo_key(self, data_home: Path) -> str:
        """Return an API key of the demo tenant; the same one until its file is removed."""
        return await demo_key(self.keys, data_home)


def api_keys(sql: Sql, edge: EdgeSettings, secrets: Mapping[str, str]) -> PostgresApiKeys:
    """Return the installation's API keys; the pepper that the environment sets wins.

    Args:
        sql: Of the database that keeps them.
        edge: Whose environment the keys name.
        secrets: The installation's, by name.
    """
    pepper = edge.api_key_pepper.get_secret_value() or secrets["api_key_pepper"]
    return PostgresApiKeys(
        sql, pepper=pepper.encode(), environment=edge.environment, clock=SystemClock()
    )


async def demo_key(keys: PostgresApiKeys, data_home: Path) -> str:
    """Return an API key of the demo tenant; the same one until its file is removed."""
    file = data_home / "demo.key"
    if file.exists():
        token = file.read_text().strip()
        if await keys.authenticate(token) is not None:
            return token
    token = (await keys.issue(DEMO_TENANT, ALL_SCOPES)).token
    file.touch(mode=0o600)
    file.write_text(token)
    return token


@contextlib.asynccontextmanager
async def running(settings: KernelSettings, say: Say) -> Any:
    """Run everything for the block; stop it in the order that loses no work.

    Readiness goes first, then the doors (HTTP, gRPC) finish what they took, then the feeds, then
    the writers and their connections, and the database last.
    """
    edge = EdgeSettings()
    with sole_owner(settings.data_home):
        claim_bus(settings.data_home, BusSettings().bus)
        async with open_databases(settings, say) as opened, contextlib.AsyncExitStack() as stack:
            internal_token = (
                edge.internal_token.get_secret_value() or opened.secrets["internal_token"]
            )
            hand_over_secrets({**opened.secrets, "internal_token": internal_token})
            health = HealthEndpoint(
                ready={"database": _reachable(opened.admin_dsn)}, metrics=METRICS.exposition
            )
            await health.start(settings.host, settings.health_port, METRICS.loop_lag_seconds.set)
            stack.push_async_callback(health.stop)
            limits = Limits(settings.pool_size, settings.acquire_s, settings.statement_s)
            access = await Database.open(opened.app_dsns["access"], limits)
            stack.push_async_callback(access.close)
            keys = api_keys(access.sql, edge, opened.secrets)
            say("starting the services")
            runtime = Runtime(
                settings,
                {name: opened.app_dsns[name] for name in SERVICES},
                bus=chosen_bus(BusSettings(), SERVICES),
            )
            await runtime.start()
            stack.push_async_callback(runtime.stop)
            server = grpc_server(
                [host.service for host in runtime.hosts.values()],
                authenticator=keys,
                telemetry=TELEMETRY,
                limits=CallLimits(**edge.limits()),
                service_token=ServiceToken(internal_token, frozenset(ALL_SCOPES)),
                has_reflection=edge.has_reflection or edge.environment == _DEVELOPMENT,
            )
            port = await server.start(f"{settings.host}:{settings.grpc_port}")
            stack.push_async_callback(server.drain, edge.notice_s, edge.grace_s)
            say("opening the gateway")
            grpc_address = f"{settings.host}:{port}"
            await open_gateway(
                settings,
                opened.app_dsns["gateway"],
                keys,
                dict.fromkeys(SERVICES, grpc_address),
                stack,
            )
            addresses = Addresses(
                f"http://{settings.host}:{settings.http_port}",
                grpc_address,
                f"http://{settings.host}:{settings.health_port}",
            )
            stack.callback(health.drain)
            yield Embedded(runtime, server, keys, addresses, opened)


def _reachable(dsn: str) -> Callable[[], Awaitable[bool]]:
    async def reachable() -> bool:
        connection = await asyncpg.connect(dsn, timeout=1)
        await connection.close(timeout=1)
        return True

    return reachable
