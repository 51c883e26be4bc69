"""The keeper: starts everything in order, starts again what dies, stops in the order that is safe.

Up: PostgreSQL, the broker, tables and topics, then every process of ours. Down: the gateway, who
answers calls, who works, the broker, PostgreSQL. A keeper that is killed takes nobody along: what
it started goes on, and the next ``up`` or ``down`` finds it by what is written down.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from services.kernel.adapters.api_keys import PostgresApiKeys
from services.kernel.adapters.broker import Broker, NoBroker
from services.kernel.adapters.database import Database, Limits
from services.kernel.adapters.embedded_postgres import EmbeddedPostgres
from services.kernel.application.clock import SystemClock
from services.kernel.main.brokers import start_broker
from services.kernel.main.buses import declare_feeds
from services.kernel.main.embedded import claim_bus, demo_key, open_databases, sole_owner
from services.kernel.main.runtime import SERVICES
from services.kernel.main.stack import state as states
from services.kernel.main.stack.minding import Minder, Misstarted
from services.kernel.main.stack.plan import STOP_ORDER, addresses, parse_copies, plan
from services.kernel.main.stack.state import ProcessState, StackState, StateFile
from services.kernel.settings import BusSettings, EdgeSettings, KernelSettings, StackSettings

_LOOK_S = 0.5
_LEFTOVER_STOPS_WITHIN_S = 15.0


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
        async with contextlib.AsyncExitStack() as exits:
            dsn = await self._open_postgres(exits)
            broker = await self._open_broker(exits)
            self._share(dsn, broker)
            await self._prepare()
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

    async def _open_postgres(self, exits: contextlib.AsyncExitStack) -> str:
        row = self._note(ProcessState("postgres", "postgres"))
        if self._settings.postgres_dsn:
            row.detail = "given"
            self._set(row, states.READY)
            return self._settings.postgres_dsn
        self._set(row, states.STARTING)
        folder = self._settings.data_home.resolve() / "postgres"
        server = EmbeddedPostgres(folder)
        dsn = await server.start()

        async def close() -> None:
            self._set(row, states.STOPPING)
            await asyncio.to_thread(server.stop)
            row.pid = None
            self._set(row, states.DOWN)

        exits.push_async_callback(close)
        self._found_postgres(row, folder)
        self._watch(self._mind_postgres(server, row, folder), exits)
        return dsn

    async def _mind_postgres(
        self, server: EmbeddedPostgres, row: ProcessState, folder: Path
    ) -> None:
        """Start the server again when it died."""
        while True:
            await asyncio.sleep(_LOOK_S)
            if not row.is_alive():
                row.pid = None
                self._set(row, states.DOWN)
                if await asyncio.to_thread(server.revive):
                    row.restarts += 1
                    self._found_postgres(row, folder)

    def _found_postgres(self, row: ProcessState, folder: Path) -> None:
        with contextlib.suppress(OSError, ValueError, IndexError):
            row.pid = int((folder / "postmaster.pid").read_text().splitlines()[0])
            row.born = states.born(row.pid)
        self._set(row, states.READY)

    async def _open_broker(self, exits: contextlib.AsyncExitStack) -> Broker:
        row = self._note(ProcessState("broker", "broker"))
        self._set(row, states.STARTING)
        broker = await asyncio.to_thread(
            start_broker, self._file.folder / "broker", self.state.caveats.append
        )

        async def close() -> None:
            self._set(row, states.STOPPING)
            await asyncio.to_thread(broker.stop)
            row.pid = None
            self._set(row, states.DOWN)

        exits.push_async_callback(close)
        row.detail = broker.kind
        self._found_broker(row, broker)
        if broker.pid is not None:
            self._watch(self._mind_broker(broker, row), exits)
        return broker

    async def _mind_broker(self, broker: Broker, row: ProcessState) -> None:
        """Start the broker again when it died, stop it while somebody wants it stopped."""
        while True:
            await asyncio.sleep(_LOOK_S)
            is_held = "broker" in self._file.held()
            if is_held and broker.is_running():
                self._set(row, states.STOPPING)
                await asyncio.to_thread(broker.stop)
                row.pid = None
                self._set(row, states.HELD)
            elif not is_held and not broker.is_running():
                row.pid = None
                self._set(row, states.STARTING)
                try:
                    await asyncio.to_thread(broker.start)
                except NoBroker as error:
                    self.state.problem = str(error)
                    self._set(row, states.DOWN)
                    continue
                row.restarts += 1
                self._found_broker(row, broker)

    def _found_broker(self, row: ProcessState, broker: Broker) -> None:
        self.state.broker = broker.bootstrap
        row.pid = broker.pid
        row.born = states.born(broker.pid) if broker.pid else 0.0
        self._set(row, states.READY)

    def _share(self, dsn: str, broker: Broker) -> None:
        """Settle what every process is told; also for what this one does itself."""
        shared = {
            "OMS_BUS": "kafka",
            "OMS_KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap,
            "OMS_POSTGRES_DSN": dsn,
            "OMS_DATA_HOME": str(self._settings.data_home.resolve()),
            **broker.environment,
        }
        self._planned = plan(self._settings, parse_copies(self._stack.workers))
        shared["OMS_SERVICE_ADDRESSES"] = addresses(self._planned)
        os.environ.update(shared)
        self.state.environment = shared
        for one in self._planned:
            self._note(one.process)
        self._changed()

    async def _prepare(self) -> None:
        """Bring tables, topics and the demo's key up to date."""
        settings, edge = KernelSettings(), EdgeSettings()
        async with open_databases(settings, _quiet) as opened:
            access = await Database.open(
                opened.app_dsns["access"], Limits(2, settings.acquire_s, settings.statement_s)
            )
            try:
                pepper = edge.api_key_pepper.get_secret_value() or opened.secrets["api_key_pepper"]
                keys = PostgresApiKeys(
                    access.sql,
                    pepper=pepper.encode(),
                    environment=edge.environment,
                    clock=SystemClock(),
                )
                await demo_key(keys, settings.data_home)
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

    def _watch(self, work: Coroutine[Any, Any, None], exits: contextlib.AsyncExitStack) -> None:
        task = asyncio.create_task(work)

        async def end() -> None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        exits.push_async_callback(end)

    def _note(self, row: ProcessState) -> ProcessState:
        self.state.processes[row.name] = row
        return row

    def _set(self, row: ProcessState, state: str) -> None:
        if row.state != state:
            row.state = state
            self._changed()

    def _changed(self) -> None:
        self._file.write(self.state)


def clear_leftovers(file: StateFile) -> list[str]:
    """Stop what a keeper left behind that was killed; return the names."""
    found = list(_processes(file))
    for _, process in found:
        with contextlib.suppress(psutil.Error):
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGCONT)
    _, alive = psutil.wait_procs([process for _, process in found], _LEFTOVER_STOPS_WITHIN_S)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, _LEFTOVER_STOPS_WITHIN_S)
    return [name for name, _ in found]


def _processes(file: StateFile) -> Iterator[tuple[str, psutil.Process]]:
    for left in states.leftovers(file.read()):
        with contextlib.suppress(psutil.Error):
            yield left.name, psutil.Process(left.pid)


async def _any_ready(minders: Sequence[Minder]) -> None:
    """Return when one of them is."""
    while not any(minder.ready.is_set() for minder in minders):
        await asyncio.sleep(_LOOK_S)


def _quiet(_: str) -> None:
    """Say nothing: the state file says it."""
