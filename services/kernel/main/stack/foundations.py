"""What the processes stand on: one PostgreSQL and one broker, started and started again."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from services.kernel.adapters.broker import Broker, NoBroker
from services.kernel.adapters.embedded_postgres import EmbeddedPostgres
from services.kernel.main.brokers import start_broker
from services.kernel.main.stack import state as states
from services.kernel.main.stack.state import ProcessState, StackState, StateFile
from services.kernel.settings import KernelSettings

_LOOK_S = 0.5


class Foundations:
    """PostgreSQL and the broker of one stack.

    Args:
        settings: Name the data folder, or a server.
        file: Where the broker's data and log go, and what is held.
        state: Gets a row for each.
        changed: Called when one of these rows did.
        exits: Stops them again, in reverse.
    """

    def __init__(
        self,
        settings: KernelSettings,
        file: StateFile,
        state: StackState,
        changed: Callable[[], None],
        exits: contextlib.AsyncExitStack,
    ) -> None:
        self._settings = settings
        self._file = file
        self._state = state
        self._changed = changed
        self._exits = exits

    async def open_postgres(self) -> str:
        """Start the server, unless one is given; return the owner's DSN."""
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

        self._exits.push_async_callback(close)
        self._found_postgres(row, folder)
        self._watch(self._mind_postgres(server, row, folder))
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

    async def open_broker(self) -> Broker:
        """Start the best broker there is.

        Raises:
            NoBroker: There is none.
        """
        row = self._note(ProcessState("broker", "broker"))
        self._set(row, states.STARTING)
        broker = await asyncio.to_thread(
            start_broker, self._file.folder / "broker", self._state.caveats.append
        )

        async def close() -> None:
            self._set(row, states.STOPPING)
            await asyncio.to_thread(broker.stop)
            row.pid = None
            self._set(row, states.DOWN)

        self._exits.push_async_callback(close)
        row.detail = broker.kind
        self._found_broker(row, broker)
        if broker.pid is not None:
            self._watch(self._mind_broker(broker, row))
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
                    self._state.problem = str(error)
                    self._set(row, states.DOWN)
                    continue
                row.restarts += 1
                self._found_broker(row, broker)

    def _found_broker(self, row: ProcessState, broker: Broker) -> None:
        self._state.broker = broker.bootstrap
        row.pid = broker.pid
        row.born = states.born(broker.pid) if broker.pid else 0.0
        self._set(row, states.READY)

    def _watch(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)

        async def end() -> None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        self._exits.push_async_callback(end)

    def _note(self, row: ProcessState) -> ProcessState:
        self._state.processes[row.name] = row
        return row

    def _set(self, row: ProcessState, state: str) -> None:
        if row.state != state:
            row.state = state
            self._changed()


async def stop_left_postgres(state: StackState | None, file: StateFile) -> list[str]:
    """Stop the embedded server that a killed keeper left; return its name if there was one."""
    row = state.processes.get("postgres") if state is not None else None
    if row is None or not row.is_alive():
        return []
    server = EmbeddedPostgres(file.folder.resolve().parent / "postgres")
    await server.start()
    await asyncio.to_thread(server.stop)
    return [row.name]
