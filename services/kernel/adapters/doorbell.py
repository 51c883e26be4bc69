"""Rings when a database's log or read models have moved, in every process that works on it.

PostgreSQL's LISTEN and NOTIFY, on a connection of its own. A ring says up to which position. Only a
shortcut: it may be lost, so whoever listens also looks for himself, now and then.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

import asyncpg

from services.kernel.adapters.database import Limits, is_outage
from services.kernel.application.tasks import end

LOG, READ_MODELS = "oms_log", "oms_read_models"
UNKNOWN = 0

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 5.0
_LISTEN_FOR_S = 10.0

_log = logging.getLogger(__name__)


class Doorbell:
    """Rings for others, and calls who listens here when others ring.

    However often it is rung while a ring is on its way, one more follows it.

    Args:
        dsn: The database; through a pooler, one that keeps sessions.
        limits: Bounds.
        heard: By channel, what to call with the position when another process rang there; with
            ``UNKNOWN`` when the connection is gone.
    """

    def __init__(
        self, dsn: str, limits: Limits, heard: Mapping[str, Callable[[int], None]]
    ) -> None:
        self._dsn = dsn
        self._limits = limits
        self._heard = heard
        self._rung: dict[str, int] = {}
        self._has_rung = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        # Whether others are heard at this moment.
        self.is_connected = False

    def start(self) -> None:
        """Listen from now on; a second call changes nothing."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="doorbell")

    async def stop(self) -> None:
        if self._task is not None:
            await end([self._task])

    def ring(self, channel: str, position: int) -> None:
        """Let others know; at once, and without waiting for it."""
        self._rung[channel] = position
        self._has_rung.set()

    async def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                async with self._connection() as connection:
                    pause_s = _FIRST_PAUSE_S
                    await self._keep(connection)
            except Exception as error:
                if not is_outage(error):
                    _log.exception("the doorbell failed, trying again")
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    @contextlib.asynccontextmanager
    async def _connection(self) -> Any:
        connection = await asyncpg.connect(
            self._dsn, timeout=self._limits.acquire_s, command_timeout=self._limits.statement_s
        )
        try:
            for channel in self._heard:
                await connection.add_listener(channel, self._hear)
            self.is_connected = True
            yield connection
        finally:
            self.is_connected = False
            connection.terminate()
            # Whoever relied on being told looks for himself from here on.
            for tell in self._heard.values():
                tell(UNKNOWN)

    async def _keep(self, connection: asyncpg.Connection) -> None:
        """Ring what is to be rung; fail once the connection is gone."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LISTEN_FOR_S):
                    await self._has_rung.wait()
            self._has_rung.clear()
            rung, self._rung = self._rung, {}
            # Without a channel it only asks whether the server is there.
            await connection.execute(
                "SELECT pg_notify(channel, position)"
                " FROM unnest($1::text[], $2::text[]) AS rung(channel, position)",
                list(rung),
                [str(position) for position in rung.values()],
            )

    def _hear(self, connection: Any, pid: int, channel: str, payload: object) -> None:
        if pid != connection.get_server_pid():
            # A process of a version before this one says no position.
            self._heard[channel](int(str(payload)) if payload else UNKNOWN)
