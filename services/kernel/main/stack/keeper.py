"""The keeper: starts everything in order, starts again what dies, stops in the order that is safe.

Up: PostgreSQL, the broker, tables and topics, then every process of ours. Down: the gateway, who
answers calls, who works, the broker, PostgreSQL. A keeper that is killed takes nobody along: what
it started goes on, and the next ``up`` or ``down`` finds it by what is written down.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Sequence
from typing import Any

from services.kernel.adapters.bounded_logs import cut
from services.kernel.adapters.broker import Broker, NoBroker
from services.kernel.adapters.database import Database, Limits
from services.kernel.application.tasks import end
from services.kernel.main.buses import declare_feeds
from services.kernel.main.embedded import api_keys, claim_bus, demo_key, open_databases, sole_owner
from services.kernel.main.runtime import SERVICES
from services.kernel.main.stack import state as states
from services.kernel.main.stack.foundations import Foundations
from services.kernel.main.stack.minding import Minder, Misstarted
from services.kernel.main.stack.plan import (
    STOP_ORDER,
    addresses,
    parse_copies,
    plan,
    taken_ports,
)
from services.kernel.main.stack.state import (
    StackState,
    StateFile,
    clear_leftovers,
)
from services.kernel.settings import BusSettings, EdgeSettings, KernelSettings, StackSettings

_log = logging.getLogger(__name__)

_LOOK_S = 0.5
_LOOK_AT_LOGS_S = 5.0


async def keep(stop: asyncio.Event) -> bool:
    """Run the stack until told to stop; tell whether it ended as it should.

    Raises:
        AlreadyRunning: Another So'OMS runs on the data folder.
    """
    settings = KernelSettings()
    with sole_owner(settings.data_home):
        claim_bus(settings.data_home, "kafka")
        keeper = _Keeper(settings, StackSettings())
        return await keep_and_tell(keeper, stop)


async def keep_and_tell(keeper: "_Keeper", stop: asyncio.Event) -> bool:
    """Run a keeper; what goes wrong is written down for whoever waits for it."""
    try:
        await keeper.run(stop)
    except (NoBroker, Misstarted, OSError, RuntimeError, TimeoutError) as error:
        keeper.state.problem = f"{error}" or repr(error)
        keeper.end(states.FAILED)
        return False
    keeper.end(states.DOWN)
    return True


class _Keeper:
    def __init__(self, settings: KernelSettings, stack: StackSettings) -> None:
        self._settings = settings
        self._stack = stack
        self._file = StateFile(settings.data_home)
        self.state = StackState(pid=os.getpid(), born=states.born(os.getpid()))
        self._minders: list[Minder] = []
        self._watching: list[asyncio.Task[None]] = []
        self._is_stopping = False

    def end(self, phase: str) -> None:
        """Write down how it ended."""
        self.state.phase, self.state.pid = phase, 0
        self._changed()

    async def run(self, stop: asyncio.Event) -> None:
        clear_leftovers(self._file)
        self._file.hold(frozenset())
        self._changed()
        self._plan()
        async with contextlib.AsyncExitStack() as exits:
            below = Foundations(self._settings, self._file, self.state, self._changed, exits)
            dsn = await below.open_postgres()
            broker = await below.open_broker()
            self._share(dsn, broker)
            await self._prepare()
            bounding = asyncio.create_task(self._bound_logs())
            exits.push_async_callback(end, [bounding])
            exits.push_async_callback(self._stop_processes)
            up = asyncio.create_task(self._start_processes())
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait([up, stopped], return_when=asyncio.FIRST_COMPLETED)
            if up.done():
                await up  # raises what stopped it
                self.state.phase = states.UP
                self._changed()
                await self._wait(stopped)
            up.cancel()
            stopped.cancel()
            self.state.phase = states.STOPPING
            self._changed()

    def _plan(self) -> None:
        """Settle what is started where; a port that is taken is known before anything is."""
        self._planned = plan(self._settings, parse_copies(self._stack.workers))
        if taken := taken_ports(self._planned, self._settings.host):
            raise Misstarted(
                f"ports are taken ({'; '.join(taken)}): stop who has them, or choose others"
                " (OMS_HTTP_PORT, OMS_GRPC_PORT, OMS_HEALTH_PORT)"
            )

    def _share(self, dsn: str, broker: Broker) -> None:
        """Settle what every process is told; also for what this one does itself."""
        shared = {
            "OMS_BUS": "kafka",
            "OMS_KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap,
            "OMS_POSTGRES_DSN": dsn,
            "OMS_DATA_HOME": str(self._settings.data_home.resolve()),
            **broker.environment,
        }
        shared["OMS_SERVICE_ADDRESSES"] = addresses(self._planned)
        os.environ.update(shared)
        self.state.environment = shared
        for one in self._planned:
            self.state.processes[one.process.name] = one.process
        self._changed()

    async def _prepare(self) -> None:
        """Bring tables, topics and the demo's key up to date."""
        settings, edge = KernelSettings(), EdgeSettings()
        async with open_databases(settings, _quiet) as opened:
            access = await Database.open(
                opened.app_dsns["access"], Limits(2, settings.acquire_s, settings.statement_s)
            )
            try:
                await demo_key(api_keys(access.sql, edge, opened.secrets), settings.data_home)
            finally:
                await access.close()
        await declare_feeds(BusSettings(), SERVICES)

    async def _start_processes(self) -> None:
        """Start all, a few at a time; return once each has been ready."""
        gate = asyncio.Semaphore(max(2, os.cpu_count() or 2))
        self._minders = [
            Minder(
                planned,
                self.state.environment,
                self._file.log_of(planned.process.name),
                self._changed,
                lambda name: name in self._file.held(),
            )
            for planned in self._planned
        ]
        minding = [asyncio.create_task(minder.mind(gate)) for minder in self._minders]
        self._watching += minding
        within_s = self._stack.starts_within_s
        while late := [m for m in self._minders if not m.ready.is_set()]:
            # Each that gets ready starts the clock anew: a busy machine is slow, not broken.
            nearer = asyncio.create_task(_any_ready(late))
            begun: list[asyncio.Future[Any]] = [nearer, *minding]
            done, _ = await asyncio.wait(
                begun, timeout=within_s, return_when=asyncio.FIRST_COMPLETED
            )
            nearer.cancel()
            for task in minding:
                if task in done:
                    await task
            if not done:
                names = ", ".join(minder.process.name for minder in late)
                raise TimeoutError(
                    f"nothing got ready for {within_s:.0f} s; still waited for: {names}; see"
                    " `oms stack logs NAME`"
                )

    async def _wait(self, stopped: "asyncio.Task[bool]") -> None:
        """Wait for the end; a process that can never run again ends everything."""
        watched: list[asyncio.Future[Any]] = [stopped, *self._watching]
        await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        for task in self._watching:
            if task.done():
                await task

    async def _stop_processes(self) -> None:
        for kind in STOP_ORDER:
            minders = [m for m in self._minders if m.process.kind == kind]
            ended = await asyncio.gather(*(m.stop(self._stack.stops_within_s) for m in minders))
            for minder, was_orderly in zip(minders, ended, strict=True):
                if not was_orderly:
                    minder.process.detail = "had to be killed"
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        for minder in self._minders:
            minder.process.state, minder.process.pid = states.DOWN, None
        self._changed()

    async def _bound_logs(self) -> None:
        while True:
            try:
                await asyncio.to_thread(cut, self._file.logs())
            except OSError:  # a full disk may pass, and nobody else would cut them
                _log.warning("the logs could not be cut", exc_info=True)
            await asyncio.sleep(_LOOK_AT_LOGS_S)

    def _changed(self) -> None:
        self._file.write(self.state)


async def _any_ready(minders: Sequence[Minder]) -> None:
    """Return when one of them is."""
    while not any(minder.ready.is_set() for minder in minders):
        await asyncio.sleep(_LOOK_S)


def _quiet(_: str) -> None:
    """Say nothing: the state file says it."""
