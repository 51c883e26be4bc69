"""Several services in one process, on whichever bus."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence

from services.kernel.adapters import database as databases
from services.kernel.adapters.database import Database, Limits, is_outage
from services.kernel.adapters.local_bus import LocalBus
from services.kernel.adapters.migrations import migrate
from services.kernel.adapters.store_clock import StoreClock
from services.kernel.application.clock import Clock
from services.kernel.application.tasks import end
from services.kernel.main.buses import ServiceBus
from services.kernel.main.host import ServiceHost
from services.kernel.main.service import Build, builder, migrations_of
from services.kernel.settings import KernelSettings

_log = logging.getLogger(__name__)

_NOTING_S = 2.0
_RECOVERY_PAUSE_S = 0.25


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


async def prepare_databases(
    settings: KernelSettings, admin_dsn: str, app_password: str, names: Sequence[str]
) -> dict[str, str]:
    """Create and migrate the databases of services; return the DSN the services use, by name."""
    app_dsns: dict[str, str] = {}
    for name in names:
        database = f"{settings.database_prefix}{name}"
        owner_dsn = await databases.ensure_database(admin_dsn, database, app_password)
        applied = await migrate(owner_dsn, [migrations_of(name)])
        for migration in applied:
            _log.info("%s: applied %s", name, migration)
        app_dsns[name] = (
            databases.with_database(settings.postgres_app_dsn, database)
            if settings.postgres_app_dsn
            else databases.with_login(owner_dsn, databases.APPLICATION_ROLE, app_password)
        )
    return app_dsns


class Runtime:
    """Several services in one process, on whichever bus.

    Args:
        settings: Limits and addresses.
        app_dsns: DSN of each service to run, by name.
        builders: How each is made; ``builder`` in production.
        clock: The only source of now; the database server's, unless a test brings another.
        bus: Carries the feeds; without one, the local bus.
        is_sole_writer: Whether no other process works on these databases.
    """

    def __init__(
        self,
        settings: KernelSettings,
        app_dsns: Mapping[str, str],
        builders: Mapping[str, Build] | None = None,
        clock: Clock | None = None,
        bus: ServiceBus | None = None,
        *,
        is_sole_writer: bool = True,
    ) -> None:
        self._settings = settings
        self._app_dsns = app_dsns
        self._builders = builders or {name: builder(name) for name in app_dsns}
        self._store_clock = StoreClock()
        self._clock = clock or self._store_clock
        self.bus = bus or LocalBus()
        self._is_sole_writer = is_sole_writer
        self.hosts: dict[str, ServiceHost] = {}
        self._lost: Callable[[], None] | None = None
        self._recovering: asyncio.Task[None] | None = None

    async def start(self) -> None:
        settings = self._settings
        limits = Limits(settings.pool_size, settings.acquire_s, settings.statement_s)
        target = dict.fromkeys(self._app_dsns, f"{settings.host}:{settings.grpc_port}")
        # Lazy commits are for one server and one process: what leaves either must be on disk.
        is_lazy = (
            settings.is_derived_work_lazy
            and self._is_sole_writer
            and isinstance(self.bus, LocalBus)
        )
        for name, dsn in self._app_dsns.items():
            database = await Database.open(dsn, limits)
            if not self.hosts and self._clock is self._store_clock:
                await self._store_clock.start(database.sql)
            self.hosts[name] = ServiceHost(
                self._builders[name],
                database,
                await Database.open(dsn, limits, is_lazy=True) if is_lazy else database,
                dsn,
                settings,
                self.bus,
                self._clock,
                target,
                is_sole_writer=self._is_sole_writer,
            )
        for host in self.hosts.values():
            host.start_serving()
            for consumer in host.consumers:
                self.bus.attach(consumer)
        await self.bus.start()
        self._lost = self._begin_again if is_lazy else None
        for host in self.hosts.values():
            host.start_working(self._lost)

    def _begin_again(self) -> None:
        """Stop everything that follows the logs, this very moment, and begin anew from the disk.

        A server that died may have taken the newest lazy commits with it, and gives their
        positions to other events: watermarks, states and messages in memory are ahead of it.
        """
        if self._recovering is not None and not self._recovering.done():
            return
        _log.warning("the database server was lost: following the logs anew")
        if isinstance(self.bus, LocalBus):
            self.bus.halt()
        for host in self.hosts.values():
            host.forget()
        self._recovering = asyncio.create_task(self._recover(), name="recover")

    async def _recover(self) -> None:
        for host in self.hosts.values():
            await host.unfollow()
        while True:
            await self.bus.stop()
            for host in self.hosts.values():
                host.forget()
            try:
                await self.bus.start()
                break
            except Exception as error:  # noqa: BLE001 - nothing is followed until it succeeds
                if not is_outage(error):
                    _log.exception("could not follow the logs anew, trying again")
            await asyncio.sleep(_RECOVERY_PAUSE_S)
        for host in self.hosts.values():
            host.follow(self._lost)

    async def stop(self) -> None:
        """Stop in the order that loses no work: the log's followers, the bus, the connections."""
        if self._recovering is not None:
            await end([self._recovering])
        for host in self.hosts.values():
            await host.note_published()
        await self.bus.stop()
        await self._note_watermarks()
        await self._store_clock.stop()
        for host in self.hosts.values():
            await host.stop()

    async def _note_watermarks(self) -> None:
        """Remember what was heard and came to nothing: who looks later shall not miss it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_NOTING_S):
                for host in self.hosts.values():
                    for consumer in host.consumers:
                        await consumer.watermarks.note(at_once=True)
