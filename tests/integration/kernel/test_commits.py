"""What a commit promises: order, durability, an answer that is true, and a replay that agrees."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from typing import Any

import pytest

from services.kernel.adapters import event_log
from services.kernel.adapters.appender import Appender, AppenderLimits
from services.kernel.adapters.database import Database, Limits, with_database
from services.kernel.adapters.event_log import NewEvent, encode_cause, read_log
from services.kernel.adapters.rebuild import compare, rebuild
from services.kernel.application.runner import Overloaded
from services.kernel.application.work import Work
from services.kernel.domain.ids import derive
from services.kernel.domain.messages import Cause
from tests.support import toy
from tests.support.stack import a_cause, a_database, eventually, execute, running

pytestmark = pytest.mark.stack

LIMITS = Limits(pool_size=4)


def an_event(key: str, version: int = 1) -> NewEvent:
    return NewEvent(
        stream=f"demo/counter-{key}",
        version=version,
        topic="counter.added.v1",
        state=b'{"amount":1}',
        event_id=derive(key, version),
        cause=encode_cause(Cause("demo", key)),
    )


class Cut(Enum):
    """Where the connection breaks."""

    BEFORE_THE_STATEMENT = 1
    BEFORE_THE_ANSWER = 2


class Wire:
    """A connection that breaks once, at the place given."""

    def __init__(self, connection: Any, cut: Cut) -> None:
        self._connection = connection
        self._cut = cut

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def fetchrow(self, query: str, *args: Any) -> Any:
        if self._cut is Cut.BEFORE_THE_ANSWER:
            await self._connection.fetchrow(query, *args)
        raise ConnectionResetError("cut by the test")


class BreakingDatabase(Database):
    """Cuts the next connection that it lends."""

    cut: Cut | None = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        cut, self.cut = self.cut, None
        async with super().connection() as connection:
            yield connection if cut is None else Wire(connection, cut)


@asynccontextmanager
async def breaking(admin_dsn: str) -> AsyncIterator[tuple[BreakingDatabase, Appender]]:
    database = await BreakingDatabase.open(await a_database(admin_dsn), LIMITS)
    assert isinstance(database, BreakingDatabase)
    appender = Appender(database, AppenderLimits(), lambda *_: None)
    appender.start()
    try:
        yield database, appender
    finally:
        await appender.stop()
        await database.close()


async def test_a_commit_whose_answer_was_lost_is_found(postgres_dsn: str) -> None:
    async with breaking(postgres_dsn) as (database, appender):
        database.cut = Cut.BEFORE_THE_ANSWER
        await appender.append([an_event("a")])
        assert await database.sql.fetchval("SELECT count(*) FROM events") == 1


async def test_what_was_not_committed_is_said_to_be_not_recorded(postgres_dsn: str) -> None:
    async with breaking(postgres_dsn) as (database, appender):
        database.cut = Cut.BEFORE_THE_STATEMENT
        with pytest.raises(Overloaded, match="not recorded"):
            await appender.append([an_event("a")])
        assert await database.sql.fetchval("SELECT count(*) FROM events") == 0
        await appender.append([an_event("a")])  # the repeat, with the same ids


async def test_a_stop_passes_over_who_waits_no_more(postgres_dsn: str) -> None:
    """A call whose deadline has passed is still in the queue; the rest of the stop follows."""
    database = await Database.open(await a_database(postgres_dsn), Limits(statement_s=0.3))
    appender = Appender(database, AppenderLimits(), lambda *_: None)
    try:
        gone = asyncio.create_task(appender.append([an_event("a")]))
        waits = asyncio.create_task(appender.append([an_event("b")]))
        await asyncio.sleep(0.05)
        gone.cancel()
        await asyncio.wait([gone])
        await appender.stop()  # before it was started: nothing is on its way
        with pytest.raises(Overloaded, match="shutting down"):
            await waits
    finally:
        await database.close()


async def test_a_reader_by_position_misses_nothing(postgres_dsn: str) -> None:
    """Several processes append at once; one reads on by `position > last` all the while."""
    writers, commands = 4, 60
    dsn = await a_database(postgres_dsn)
    databases = [await Database.open(dsn, LIMITS) for _ in range(writers + 1)]
    reader = databases.pop()

    async def write(number: int) -> None:
        sql = databases[number].sql
        for n in range(commands):
            await event_log.append(sql, [[an_event(f"{number}-{n}")]])

    written = asyncio.Event()

    async def read() -> list[int]:
        positions: list[int] = []
        while True:
            is_last = written.is_set()
            rows = await read_log(reader.sql, positions[-1] if positions else 0, 50)
            positions += [row["notification_id"] for row in rows]
            if is_last and not rows:
                return positions

    async with asyncio.timeout(60):
        reading = asyncio.create_task(read())
        await asyncio.gather(*(write(n) for n in range(writers)))
        written.set()
        positions = await reading
    assert positions == list(range(1, writers * commands + 1))
    for database in [*databases, reader]:
        await database.close()


async def test_a_read_model_is_rebuilt_beside_the_live_one(postgres_dsn: str) -> None:
    async with running(postgres_dsn, {"order": toy.source}) as stack:
        sql = stack["order"].database.sql
        owner = with_database(postgres_dsn, await sql.fetchval("SELECT current_database()"))
        for statement in toy.TABLES.split(";"):
            await execute(owner, statement)

        async def add(n: int) -> None:
            async def use_case(work: Work) -> None:
                await work.handle(toy.COUNTER, "a", toy.Add(1))

            await stack["order"].runner.execute(a_cause(f"c{n}"), use_case)

        async def total() -> int:
            found = await sql.fetchval("SELECT total FROM counter_totals WHERE key = 'a'")
            return int(found or 0)

        for n in range(10):
            await add(n)
        await eventually(lambda: _is(total, 10))
        await sql.execute("UPDATE counter_totals SET total = 7")  # what a bug would leave
        assert await compare(owner, toy.CODEC, toy.TOTALS, lambda *_: None)

        adding = asyncio.gather(*(add(n) for n in range(10, 20)))
        await rebuild(owner, toy.CODEC, toy.TOTALS, lambda *_: None)
        await adding
        await eventually(lambda: _is(total, 20))
        assert await compare(owner, toy.CODEC, toy.TOTALS, lambda *_: None) == []


async def _is(read: Any, wanted: int) -> bool:
    return bool(await read() == wanted)
