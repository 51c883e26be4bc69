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
from services.kernel.adapters.doorbell import LOG, READ_MODELS, UNKNOWN, Doorbell
from services.kernel.application.work import Work
from tests.support import toy
from tests.support.stack import Stack, a_cause, a_database, eventually, execute, running

pytestmark = pytest.mark.stack

# Longer than a test may take: nobody finds anything by looking.
NEVER_S = 60.0


@asynccontextmanager
async def a_bell(dsn: str, **heard: Callable[[int], None]) -> AsyncIterator[Doorbell]:
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
    heard: list[tuple[str, int]] = []
    async with (
        a_bell(dsn, log=lambda at: heard.append(("other: log", at))),
        a_bell(dsn, read_models=lambda at: heard.append(("third: read models", at))),
        a_bell(dsn, log=lambda at: heard.append(("own", at))) as bell,
    ):
        bell.ring(LOG, 7)
        await eventually(lambda: heard == [("other: log", 7)])
        bell.ring(READ_MODELS, 6)
        await eventually(lambda: heard[1:] == [("third: read models", 6)])
        for position in range(8, 1_008):
            bell.ring(LOG, position)
        bell.ring(READ_MODELS, 1_007)
        await eventually(lambda: len(heard) == 4)
        assert set(heard[2:]) == {("other: log", 1_007), ("third: read models", 1_007)}


async def test_when_its_connection_breaks_all_are_told_to_look_and_it_is_heard_again(
    postgres_dsn: str,
) -> None:
    dsn = await a_database(postgres_dsn)
    told: list[int] = []
    async with a_bell(dsn, log=told.append) as listener, a_bell(dsn) as ringer:
        owner = await asyncpg.connect(postgres_dsn)
        try:
            await owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
                " AND datname = $1",
                urlsplit(dsn).path.removeprefix("/"),
            )
        finally:
            await owner.close()
        listener.ring(LOG, 8)  # the broken connection is noticed when it is used
        await eventually(lambda: told == [UNKNOWN])
        await eventually(lambda: listener.is_connected)
        ringer.ring(LOG, 9)
        await eventually(lambda: told == [UNKNOWN, 9])


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


async def test_up_to_where_a_ring_said_nobody_asks_the_database(postgres_dsn: str) -> None:
    prefix = f"t{secrets.token_hex(4)}_"
    async with (
        running(postgres_dsn, {"order": toy.source}, prefix=prefix, is_sole_writer=False) as first,
        running(postgres_dsn, {"order": toy.source}, prefix=prefix, is_sole_writer=False) as second,
    ):
        for statement in toy.TABLES.split(";"):
            await execute(with_database(postgres_dsn, f"{prefix}order"), statement)
        reader = second["order"].reader
        reader.projector = None  # as in a process that only serves
        bell = first["order"]._doorbell
        assert bell is not None
        await _add(second, "a")
        await eventually(lambda: reader._told_shown == 1)

        async def asked() -> int:
            raise AssertionError("the ring had told it")

        reader._stored_position = asked  # type: ignore[method-assign]
        await reader.at_least("demo/counter-a", 1)
        # What a ring does not say is asked for.
        bell.ring(READ_MODELS, UNKNOWN)
        await eventually(lambda: reader._told_shown == UNKNOWN)
        with pytest.raises(AssertionError, match="the ring had told it"):
            await reader.at_least("demo/counter-a", 1)
