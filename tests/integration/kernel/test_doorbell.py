"""Processes on one database wake each other; whoever is not told looks for himself."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg
import pytest

from services.kernel.adapters import lookout
from services.kernel.adapters.database import Limits, with_database
from services.kernel.adapters.doorbell import LOG, READ_MODELS, Doorbell
from services.kernel.application.work import Work
from tests.support import toy
from tests.support.stack import Stack, a_cause, a_database, eventually, execute, running

pytestmark = pytest.mark.stack

# Longer than a test may take: nobody finds anything by looking.
NEVER_S = 60.0


@asynccontextmanager
async def a_bell(dsn: str, **heard: Callable[[], None]) -> AsyncIterator[Doorbell]:
    names = {"log": LOG, "read_models": READ_MODELS}
    bell = Doorbell(dsn, Limits(), {names[name]: tell for name, tell in heard.items()})
    bell.start()
    try:
        await eventually(lambda: bell.is_connected)
        yield bell
    finally:
        await bell.stop()


async def test_others_hear_it_on_its_channel_and_who_rings_does_not(postgres_dsn: str) -> None:
    dsn = await a_database(postgres_dsn)
    heard: list[str] = []
    async with (
        a_bell(dsn, log=lambda: heard.append("other: log")),
        a_bell(dsn, read_models=lambda: heard.append("third: read models")),
        a_bell(dsn, log=lambda: heard.append("own")) as bell,
    ):
        bell.ring(LOG)
        await eventually(lambda: heard == ["other: log"])
        bell.ring(READ_MODELS)
        await eventually(lambda: heard == ["other: log", "third: read models"])
        for _ in range(1_000):
            bell.ring(LOG)
        bell.ring(READ_MODELS)
        await eventually(lambda: heard.count("third: read models") == 2)
        assert heard.count("other: log") == 2
        assert "own" not in heard


async def test_when_its_connection_breaks_all_are_told_to_look_and_it_is_heard_again(
    postgres_dsn: str,
) -> None:
    dsn = await a_database(postgres_dsn)
    told: list[None] = []
    async with a_bell(dsn, log=lambda: told.append(None)) as listener, a_bell(dsn) as ringer:
        owner = await asyncpg.connect(postgres_dsn)
        try:
            await owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
                " AND datname = $1",
                urlsplit(dsn).path.removeprefix("/"),
            )
        finally:
            await owner.close()
        listener.ring(LOG)  # the broken connection is noticed when it is used
        await eventually(lambda: len(told) == 1)
        await eventually(lambda: listener.is_connected)
        ringer.ring(LOG)
        await eventually(lambda: len(told) == 2)


async def _add(stack: Stack, key: str) -> None:
    async def use_case(work: Work) -> None:
        await work.handle(toy.COUNTER, key, toy.Add(1))

    await stack["order"].runner.execute(a_cause(f"add {key}"), use_case)


async def test_a_process_follows_and_shows_what_another_wrote_without_looking(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one whose log is not followed writes; the one that follows publishes and projects it."""
    monkeypatch.setattr(lookout, "_LONGEST_PAUSE_S", NEVER_S)
    prefix = f"t{secrets.token_hex(4)}_"
    async with running(
        postgres_dsn, {"order": toy.source}, prefix=prefix, is_sole_writer=False
    ) as first:
        for statement in toy.TABLES.split(";"):
            await execute(with_database(postgres_dsn, f"{prefix}order"), statement)
        host = first["order"]
        host._tail._poll_s = NEVER_S  # type: ignore[union-attr]
        async with running(
            postgres_dsn, {"order": toy.source}, prefix=prefix, is_sole_writer=False
        ) as second:
            # Only the leader, which is the first, follows the log.
            await asyncio.sleep(0.2)
            waiting = asyncio.create_task(
                second["order"].reader.changed("demo/counter-b", 0, NEVER_S)
            )
            await asyncio.sleep(0.2)
            await _add(second, "a")
            await eventually(lambda: host.relay.position == 1)
            await second["order"].reader.at_least("demo/counter-a", 1)
            await _add(first, "b")
            assert await asyncio.wait_for(waiting, 20) == 1
