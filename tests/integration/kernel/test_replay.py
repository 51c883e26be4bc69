"""A replay reads everything from the beginning, and leaves everything else as it was."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from services.kernel.adapters.database import with_database
from services.kernel.adapters.event_log import read_log
from services.kernel.adapters.feed_contracts import PublicEvent
from services.kernel.adapters.store_reader import StoreReader, read_only
from services.kernel.application.reading import Period
from services.kernel.application.work import Work
from services.kernel.domain.messages import Recorded
from services.kernel.main import SERVICES
from services.kernel.main.feed_directory import declared
from services.kernel.main.replay import (
    WrongConsumer,
    WrongSchema,
    consumer_named,
    replay_feed,
    replay_read_model,
    replay_store,
)
from services.kernel.main.tail import Wanted
from tests.support import toy
from tests.support.stack import Stack, a_cause, running

pytestmark = pytest.mark.stack

PREFIX = "replay_"
FEED = "oms.order.v1.events"


def no_progress(_done: int, _total: int) -> None:
    return None


def told(sentence: str) -> None:
    raise AssertionError(sentence)


@asynccontextmanager
async def counted(dsn: str, prefix: str) -> AsyncIterator[Stack]:
    """A source that has counted, and a sink that has heard of it."""
    builds = {"order": toy.source, "sourcing": toy.Sink().build}
    async with running(dsn, builds, prefix=prefix) as stack:
        for name in builds:
            connection = await asyncpg.connect(with_database(dsn, f"{prefix}{name}"))
            await connection.execute(toy.TABLES)
            await connection.close()

        async def use_case(work: Work) -> None:
            for key in ("a", "b"):
                await work.handle(toy.COUNTER, key, toy.Add(2))

        for n in range(12):
            await stack["order"].runner.execute(a_cause(f"c{n}"), use_case)
        await stack.settle()
        await asyncio.sleep(1.2)  # the relay and the sink note their places once a second
        await stack.settle()
        yield stack


async def everything(dsn: str, prefix: str) -> dict[str, Any]:
    """Return the content of every table of every service, read models and places included."""
    found: dict[str, Any] = {}
    for service in ("order", "sourcing"):
        connection = await asyncpg.connect(with_database(dsn, f"{prefix}{service}"))
        for (table,) in await connection.fetch(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ):
            rows = await connection.fetch(f'SELECT t::text FROM public."{table}" t ORDER BY 1')
            found[f"{service}.{table}"] = [row[0] for row in rows]
        await connection.close()
    return found


@asynccontextmanager
async def log(dsn: str, prefix: str) -> AsyncIterator[StoreReader]:
    connection = await read_only(with_database(dsn, f"{prefix}order"))
    try:
        yield StoreReader(connection, FEED, toy.CODEC, toy.publish, Period())
    finally:
        await connection.close()


async def test_nothing_is_sent_appended_or_moved(postgres_dsn: str) -> None:
    prefix = "nothing_"
    heard: list[Any] = []

    def sync_consumer(events: Iterator[PublicEvent]) -> int:
        return sum(event.message.amount.amount_minor for event in events)

    async def async_consumer(events: AsyncIterator[Recorded[Any]]) -> int:
        return sum([recorded.event.amount async for recorded in events])

    async with counted(postgres_dsn, prefix) as stack:
        before = await everything(postgres_dsn, prefix)
        assert len(before["order.events"]) == 24
        assert before["order.checkpoints"]
        assert before["sourcing.watermarks"]
        publish = stack.runtime.bus.publish

        async def overheard(topic: str, envelopes: Any) -> None:
            heard.append((topic, envelopes))
            await publish(topic, envelopes)

        stack.runtime.bus.publish = overheard  # type: ignore[method-assign]
        async with log(postgres_dsn, prefix) as reader:
            wanted = Wanted()
            assert await replay_feed(reader, sync_consumer, wanted, no_progress, told) == 48
            assert await replay_store(reader, async_consumer, wanted, no_progress) == 48
            rows = await replay_read_model(
                reader,
                with_database(postgres_dsn, f"{prefix}order"),
                toy.TOTALS,
                "scratch",
                no_progress,
            )
        assert rows == {"counter_totals": 2}
        await stack.settle()
        await asyncio.sleep(0.3)
        assert await everything(postgres_dsn, prefix) == before
        assert heard == []
        connection = await asyncpg.connect(with_database(postgres_dsn, f"{prefix}order"))
        try:
            scratch = await connection.fetch("SELECT * FROM scratch.counter_totals ORDER BY key")
            live = await connection.fetch("SELECT * FROM public.counter_totals ORDER BY key")
            assert scratch == live
        finally:
            await connection.close()

        # And what runs goes on as if nobody had read.
        async def one_more(work: Work) -> None:
            await work.handle(toy.COUNTER, "a", toy.Add(1))

        await stack["order"].runner.execute(a_cause("after"), one_more)
        await stack.settle()
        log_rows = await read_log(stack["sourcing"].database.sql, 0, 100)
        assert len(log_rows) == 25


async def test_the_live_tables_are_out_of_a_projection_s_sight(postgres_dsn: str) -> None:
    """A projection that wrote beside its tables would fail here, not in what others rely on."""
    prefix = "sight_"

    async def astray(_: Any, sql: Any) -> None:
        await sql.execute("DELETE FROM checkpoints")

    model = type(toy.TOTALS)("astray", ("counter_totals",), astray)
    async with counted(postgres_dsn, prefix), log(postgres_dsn, prefix) as reader:
        dsn = with_database(postgres_dsn, f"{prefix}order")
        before = await everything(postgres_dsn, prefix)
        with pytest.raises(asyncpg.UndefinedTableError):
            await replay_read_model(reader, dsn, model, "astray", no_progress)
        assert await everything(postgres_dsn, prefix) == before
        for schema in ("public", "pg_temp", "Public", "a-b", ""):
            with pytest.raises(WrongSchema, match="is no name"):
                await replay_read_model(reader, dsn, toy.TOTALS, schema, no_progress)
        with pytest.raises(WrongSchema, match="is there already"):
            await replay_read_model(reader, dsn, toy.TOTALS, "astray", no_progress)


async def test_the_database_itself_refuses_a_reader_s_writes(postgres_dsn: str) -> None:
    prefix = "refuses_"
    async with counted(postgres_dsn, prefix):
        connection = await read_only(with_database(postgres_dsn, f"{prefix}order"))
        try:
            for statement in (
                "DELETE FROM events",
                "UPDATE checkpoints SET position = 0",
                "INSERT INTO counter_totals VALUES ('t', 'k', 1, 1)",
                "CREATE TABLE mine (a int)",
            ):
                with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
                    await connection.execute(statement)
        finally:
            await connection.close()


async def test_a_consumer_that_has_seen_enough_ends_the_replay(postgres_dsn: str) -> None:
    prefix = "enough_"

    def first(events: Iterator[PublicEvent]) -> int:
        return next(events).envelope.position

    async with counted(postgres_dsn, prefix), log(postgres_dsn, prefix) as reader:
        assert await replay_feed(reader, first, Wanted(), no_progress, told) == 1


async def test_every_read_model_can_be_replayed_beside_the_live_one(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On empty logs: their tables can be made and asked for; the toy above shows the filling."""
    prefix = "every_"
    monkeypatch.setenv("OMS_DELIVERY_PICKUP_CODE_SECRET", "only-for-tests-0123456789abcdef-01")
    async with running(postgres_dsn, SERVICES, prefix=prefix) as stack:
        await stack.settle()
        replayed = 0
        for service in SERVICES:
            dsn = with_database(postgres_dsn, f"{prefix}{service}")
            known = declared(service)
            connection = await read_only(dsn)
            try:
                reader = StoreReader(connection, known.topic, known.codec, known.publish, Period())
                for model in known.read_models:
                    schema = f"{PREFIX}{model.name}"
                    rows = await replay_read_model(reader, dsn, model, schema, no_progress)
                    assert set(rows.values()) == {0}
                    replayed += 1
            finally:
                await connection.close()
    assert replayed >= len(SERVICES)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no colon", "is not called like module:function"),
        ("nowhere.at_all:function", "cannot be imported"),
        ("json:nothing", "cannot be imported"),
        ("json:__name__", "cannot be called"),
    ],
)
def test_a_consumer_that_is_none_is_named(name: str, says: str) -> None:
    with pytest.raises(WrongConsumer, match=says):
        consumer_named(name)


def test_a_consumer_is_found_by_its_name() -> None:
    import json  # noqa: PLC0415 - found again by its name

    assert consumer_named("json:dumps") is json.dumps
