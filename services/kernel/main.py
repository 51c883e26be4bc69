"""What a service is made of, what the kernel gives it, and how the two are put together."""

import asyncio
import contextlib
import importlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
from google.protobuf.message import Message

from services.kernel.adapters import database as databases
from services.kernel.adapters.appender import Appender, AppenderLimits
from services.kernel.adapters.consumer import Consumer, Home
from services.kernel.adapters.database import Database, Limits
from services.kernel.adapters.event_codec import EventCodec
from services.kernel.adapters.event_log import NewEvent
from services.kernel.adapters.local_bus import LocalBus
from services.kernel.adapters.projector import Projector
from services.kernel.adapters.reader import PostgresReader
from services.kernel.adapters.relay import Relay
from services.kernel.adapters.runner import CommandRunner
from services.kernel.adapters.tail import Follower, Tail
from services.kernel.adapters.timers import Timers
from services.kernel.application.bus import Bus
from services.kernel.application.clock import Clock, SystemClock
from services.kernel.application.feeds import Subscription
from services.kernel.application.runner import Reader, Runner
from services.kernel.application.state_cache import StateCache
from services.kernel.application.stream_locks import StreamLocks
from services.kernel.application.work import Sql, Work
from services.kernel.domain.messages import Recorded
from services.kernel.read_models.read_model import ReadModel
from services.kernel.settings import KernelSettings

_log = logging.getLogger(__name__)

# Every service with an event store, in the order in which orders pass through them.
SERVICES = (
    "catalog",
    "order",
    "sourcing",
    "stock_ledger",
    "picking",
    "delivery",
    "returns",
    "notification",
)

type Publish = Callable[[Recorded[Any]], Message | None]
type Register = Callable[[grpc.aio.Server], None]
type Check = Callable[[Sql], Awaitable[Sequence[str]]]
type Wake = Callable[[str, Work], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Kernel:
    """What the kernel gives a service to build itself with.

    Attributes:
        runner: Runs commands that arrive by gRPC.
        reader: Answers queries.
        clock: The only source of now.
        target: Address of the gRPC server of each service, by name, for those that call others.
    """

    runner: Runner
    reader: Reader
    clock: Clock
    target: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Service:
    """A service, put together: what the kernel has to serve, feed, project and publish.

    Attributes:
        name: Folder name, for example ``stock_ledger``.
        codec: Stored names of the service's events and of the messages of its processes.
        publish: A private event to the public one (the feed's wrapper message), or to nothing.
        read_models: Fed by the service's own events.
        subscriptions: Made by ``listen``.
        timers: Handler for each timer name; gets the key the timer was set with. It runs in a
            unit of work of its own, whose command id derives from the timer's id.
        grpc: One function per servicer that adds it to a server.
        scopes: Scope that each gRPC method asks for, by full name
            (``/oms.order.v1.OrderService/PlaceOrder``). A method without one is refused.
        tasks: Long-running coroutines of the worker (senders); cancelled on shutdown.
        checks: Invariants of the service's own, by name, for ``oms verify``: each reads what it
            needs and returns one sentence per violation, a bounded number.
    """

    name: str
    codec: EventCodec
    publish: Publish
    read_models: tuple[ReadModel, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()
    timers: Mapping[str, Wake] = field(default_factory=dict[str, Wake])
    grpc: tuple[Register, ...] = ()
    scopes: Mapping[str, str] = field(default_factory=dict[str, str])
    tasks: tuple[Callable[[], Awaitable[None]], ...] = ()
    checks: Mapping[str, Check] = field(default_factory=dict[str, Check])

    @property
    def topic(self) -> str:
        """The feed that the service publishes."""
        return f"oms.{self.name}.v1.events"


type Build = Callable[[Kernel], Service]


def builder(name: str) -> Build:
    """Return ``build`` of ``services.<name>.main``; services are found by name, never imported."""
    build: Build = importlib.import_module(f"services.{name}.main").build
    return build


def migrations_of(name: str) -> Path:
    """Return the folder of a service's own migrations."""
    return Path(__file__).parent.parent / name / "migrations"


class ServiceHost:
    """One service with its database: runs its commands, its consumers, its log's followers.

    Args:
        build: Makes the service.
        database: Its tables, as the application role.
        dsn: The same database, for the connection that holds the leader's lock.
        settings: Limits.
        bus: Where its feed goes.
        clock: The only source of now.
        target: Addresses of other services.
        is_sole_writer: Whether no other process appends to the database.
    """

    def __init__(
        self,
        build: Build,
        database: Database,
        dsn: str,
        settings: KernelSettings,
        bus: Bus,
        clock: Clock,
        target: Mapping[str, str],
        *,
        is_sole_writer: bool,
    ) -> None:
        self.database = database
        self._dsn = dsn
        self._settings = settings
        self._tail: Tail | None = None
        self._tasks: list[asyncio.Task[None]] = []
        cache = StateCache(settings.cached_states)
        locks = StreamLocks()
        self.appender = Appender(
            database,
            AppenderLimits(
                settings.append_batch_commands,
                settings.append_batch_events,
                settings.append_queue_commands,
            ),
            self._committed,
        )
        # The codec belongs to the service, and the service is built with the runner that needs
        # it: the runner asks for it when it first decodes.
        self.runner = CommandRunner(
            database,
            self.appender,
            lambda: self.service.codec,
            cache,
            clock,
            locks,
            self._committed,
            is_sole_writer=is_sole_writer,
        )
        self.reader = PostgresReader(database)
        self.service = build(Kernel(self.runner, self.reader, clock, target))
        self.reader.models = [model.name for model in self.service.read_models]
        home = Home(
            database,
            self.service.codec,
            cache,
            clock,
            locks,
            asyncio.Lock(),
            self._committed,
            is_sole_writer,
        )
        self.consumers = [
            Consumer(
                subscription,
                home,
                tries=settings.message_tries,
                redrive_poll_s=settings.redrive_poll_s,
            )
            for subscription in self.service.subscriptions
        ]
        self._timers = Timers(home, self.service.timers, settings.timer_poll_s)
        self.projector = Projector(database, self.service.read_models)
        self.relay = Relay(database, self.service.topic, self.service.publish, bus)

    def start_serving(self) -> None:
        """Take commands."""
        self.appender.start()

    def start_working(self) -> None:
        """Follow the log, fire timers, run the tasks; consumers start on their bus."""
        followers: list[Follower] = [self.relay]
        if self.service.read_models:
            followers.append(self.projector)
            self.reader.projector = self.projector
        self._tail = Tail(
            self.database, self._dsn, self.service.codec, followers, self._settings.poll_s
        )
        self._tail.start()
        if self.service.timers:
            self._timers.start()
        for task in self.service.tasks:
            self._tasks.append(asyncio.create_task(_supervise(task, self.service.name)))

    async def stop(self) -> None:
        """Stop working, finish what waits to be appended, let the connections go."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._timers.stop()
        if self._tail is not None:
            await self._tail.stop()
        await self.appender.stop()
        await self.database.close()

    def _committed(self, events: Sequence[NewEvent]) -> None:
        if self._tail is not None:
            self._tail.wake()
        self.reader.committed(events)


async def _supervise(task: Callable[[], Awaitable[None]], name: str) -> None:
    """Run a task for ever; one that fails is started again, a second later."""
    while True:
        try:
            await task()
        except Exception:  # noqa: BLE001 - a sender that fell over must not take the service along
            _log.exception("%s: a task failed and is started again", name)
        await asyncio.sleep(1)


async def prepare_databases(
    settings: KernelSettings, admin_dsn: str, app_password: str, names: Sequence[str]
) -> dict[str, str]:
    """Create and migrate the databases of services; return the DSN the services use, by name."""
    app_dsns: dict[str, str] = {}
    for name in names:
        database = f"{settings.database_prefix}{name}"
        owner_dsn = await databases.ensure_database(admin_dsn, database, app_password)
        applied = await databases.migrate(owner_dsn, [migrations_of(name)])
        for migration in applied:
            _log.info("%s: applied %s", name, migration)
        app_dsns[name] = (
            databases.with_database(settings.postgres_app_dsn, database)
            if settings.postgres_app_dsn
            else databases.with_login(owner_dsn, databases.APPLICATION_ROLE, app_password)
        )
    return app_dsns


class Runtime:
    """Several services in one process, on the local bus.

    Args:
        settings: Limits and addresses.
        app_dsns: DSN of each service to run, by name.
        builders: How each is made; ``builder`` in production.
        clock: The only source of now.
    """

    def __init__(
        self,
        settings: KernelSettings,
        app_dsns: Mapping[str, str],
        builders: Mapping[str, Build] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings
        self._app_dsns = app_dsns
        self._builders = builders or {name: builder(name) for name in app_dsns}
        self._clock = clock or SystemClock()
        self.bus = LocalBus()
        self.hosts: dict[str, ServiceHost] = {}

    async def start(self) -> None:
        settings = self._settings
        limits = Limits(settings.pool_size, settings.acquire_s, settings.statement_s)
        target = dict.fromkeys(self._app_dsns, f"{settings.host}:{settings.grpc_port}")
        for name, dsn in self._app_dsns.items():
            self.hosts[name] = ServiceHost(
                self._builders[name],
                await Database.open(dsn, limits),
                dsn,
                settings,
                self.bus,
                self._clock,
                target,
                is_sole_writer=True,
            )
        for host in self.hosts.values():
            host.start_serving()
            for consumer in host.consumers:
                self.bus.attach(consumer)
        await self.bus.start()
        for host in self.hosts.values():
            host.start_working()

    async def stop(self) -> None:
        """Stop in the order that loses no work: the log's followers, the bus, the connections."""
        await self.bus.stop()
        for host in self.hosts.values():
            await host.stop()
