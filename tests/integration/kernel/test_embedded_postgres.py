"""Our own server comes up again, whatever the last one left behind, and never loses what it had."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from services.kernel.adapters.embedded_postgres import CannotStart, EmbeddedPostgres
from tests.support.stack import execute

pytestmark = pytest.mark.stack

# As a server leaves it that was killed before it was ready: the line with its state lacks.
_UNFINISHED = "{pid}\n{folder}\n1795456536\n5432\n\n\n 11354165   3014675\n"
_READY = _UNFINISHED + "ready\n"
_STARTS_ONE = """
import asyncio, pathlib, sys
from services.kernel.adapters.embedded_postgres import EmbeddedPostgres
server = EmbeddedPostgres(pathlib.Path(sys.argv[1]))
asyncio.run(server.start())
print("ready", flush=True)
sys.stdin.read()
server.stop()
"""


def a_dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


async def _with_a_row(folder: Path) -> EmbeddedPostgres:
    server = EmbeddedPostgres(folder)
    dsn = await server.start()
    await execute(dsn, "CREATE TABLE kept AS SELECT 7 AS number")
    return server


async def _rows(folder: Path) -> list[tuple[int]]:
    server = EmbeddedPostgres(folder)
    dsn = await server.start()
    try:
        return [tuple(row) for row in await execute(dsn, "SELECT number FROM kept")]
    finally:
        server.stop()


async def test_it_is_durable(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "data")
    dsn = await server.start()
    try:
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            assert await execute(dsn, f"SHOW {name}") == [("on",)], name
    finally:
        server.stop()


@pytest.mark.parametrize("note", [_UNFINISHED, _READY, ""], ids=["unfinished", "ready", "empty"])
@pytest.mark.parametrize("whose", ["nobody's", "another's"])
async def test_the_note_of_a_server_that_is_gone_stops_no_other(
    tmp_path: Path, note: str, whose: str
) -> None:
    """After a power cut its process id may belong to anybody."""
    folder = tmp_path / "data"
    (await _with_a_row(folder)).stop()
    pid = os.getpid() if whose == "another's" else a_dead_pid()
    (folder / "postmaster.pid").write_text(note.format(pid=pid, folder=folder))
    assert await _rows(folder) == [(7,)]


async def test_a_server_that_runs_is_joined(tmp_path: Path) -> None:
    server = await _with_a_row(tmp_path / "data")
    before = (tmp_path / "data" / "postmaster.pid").read_text()
    try:
        joined = EmbeddedPostgres(tmp_path / "data")
        assert await execute(await joined.start(), "SELECT number FROM kept") == [(7,)]
        assert (tmp_path / "data" / "postmaster.pid").read_text() == before
    finally:
        server.stop()


async def test_a_list_of_users_that_was_cut_off_stops_no_start(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (await _with_a_row(folder)).stop()
    (folder / ".handle_pids.json").write_text("[12")
    assert await _rows(folder) == [(7,)]


async def test_a_server_that_another_process_is_just_starting_is_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (await _with_a_row(folder)).stop()
    other = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _STARTS_ONE, str(folder)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert other.stdin is not None
    assert other.stdout is not None
    try:
        await other.stdout.readline()
        note = folder / "postmaster.pid"
        lines = note.read_text().splitlines(keepends=True)
        note.write_text("".join(lines[:-1]))
        asyncio.get_running_loop().call_later(1.5, note.write_text, "".join(lines))
        assert await _rows(folder) == [(7,)]
    finally:
        other.stdin.close()
        await other.wait()


async def test_a_folder_whose_making_was_cut_off_is_made_anew(tmp_path: Path) -> None:
    made, folder = tmp_path / "made", tmp_path / "data"
    (await _with_a_row(made)).stop()
    (folder / "base").mkdir(parents=True)
    for name in ("PG_VERSION", "pg_wal", "base/1"):
        (shutil.copytree if (made / name).is_dir() else shutil.copy)(made / name, folder / name)
    note = _UNFINISHED.format(pid=-a_dead_pid(), folder=folder)
    (folder / "postmaster.pid").write_text(note)
    server = EmbeddedPostgres(folder)
    try:
        assert await execute(await server.start(), "SELECT 1") == [(1,)]
    finally:
        server.stop()


async def test_a_copy_that_never_ran_is_not_taken_for_unfinished(tmp_path: Path) -> None:
    """A physical backup comes without the notes of the server that it was taken from."""
    server = EmbeddedPostgres(tmp_path / "data")
    dsn = await server.start()
    await execute(dsn, "CREATE DATABASE shop")
    server.stop()
    (tmp_path / "data" / "postmaster.opts").unlink()
    server = EmbeddedPostgres(tmp_path / "data")
    try:
        dsn = await server.start()
        assert await execute(dsn, "SELECT 1 FROM pg_database WHERE datname = 'shop'") == [(1,)]
    finally:
        server.stop()


async def test_data_of_another_version_is_left_alone_with_a_reason(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (await _with_a_row(folder)).stop()
    (folder / "PG_VERSION").write_text("9\n")
    with pytest.raises(CannotStart, match=r"PostgreSQL 9, ours is .*pg_dumpall"):
        await EmbeddedPostgres(folder).start()
    assert (folder / "base").is_dir()
