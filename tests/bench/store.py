"""The store: appending, projecting and replaying events."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

from services.kernel.adapters.appender import Appender, AppenderLimits
from services.kernel.adapters.database import Database, Limits, ensure_database
from services.kernel.adapters.durability import Barrier
from services.kernel.adapters.event_log import NewEvent, decode_rows, read_log
from services.kernel.adapters.migrations import migrate
from services.kernel.application.work import Work
from services.kernel.domain.ids import derive
from services.kernel.main import Build, Kernel, Service, ServiceHost
from tests.bench.result import Result, tell
from tests.support import toy
from tests.support.stack import APP_PASSWORD, a_cause, a_database, execute, running

WRITERS = (1, 8, 64, 256)
_APPEND_TARGET = 0.30
_APPEND_TARGET_WRITERS = 64
_PROJECT_TARGET = 20_000
_REPLAY_TARGET = 250_000
_STATE = b'{"line_id":"L1","sku":"0034567890123","quantity":3,"gross_minor":897,"discount_minor":0}'
_CAUSE = (
    b'{"tenant":"demo","command_id":"6e1d7c0a-3d4c-8f6e-9a41-0c9c7b1d2e3f","correlation_id":"x"}'
)
_ROUNDS = 3


async def append(postgres_dsn: str) -> AsyncIterator[Result]:
    """One-event commands, each durable before its writer goes on, in commit order.

    References: COPY of the same rows into the same table (what the disk and the indexes can take,
    with one commit for all), and the recorder of the ``eventsourcing`` package with the same
    number of writers in threads.
    """
    for writers in WRITERS:
        count = {1: 3_000, 8: 12_000}.get(writers, 60_000)
        copies, appends = [], []
        for turn in range(_ROUNDS):
            dsn = await a_database(postgres_dsn)
            copies.append(await _copy(dsn, count))
            appends.append(await _append(await a_database(postgres_dsn), writers, count))
            tell(f"append: {writers} writers, round {turn + 1} of {_ROUNDS}")
        recorder = await _recorder(postgres_dsn, writers, min(count, 300 * writers, 4_000))
        ours = sorted(appends)[_ROUNDS // 2]
        is_judged = writers == _APPEND_TARGET_WRITERS
        yield Result(
            "append",
            ours,
            "events/s",
            reference="COPY",
            reference_value=sorted(copies)[_ROUNDS // 2],
            target=_APPEND_TARGET if is_judged else None,
            is_target_on_ratio=True,
            params={"writers": writers, "events": count},
        )
        yield Result(
            "append",
            ours,
            "events/s",
            reference="eventsourcing recorder",
            reference_value=recorder,
            params={"writers": writers, "events": count},
        )


async def _append(dsn: str, writers: int, count: int) -> float:
    lazy = await Database.open(dsn, Limits(), is_lazy=True)
    appender = Appender(lazy, AppenderLimits(), lambda *_: None, Barrier(dsn, Limits()))
    appender.start()

    # Made beforehand, as the rows of COPY are: what is measured is the way to the disk.
    commands = [
        [[_new_event(f"demo/order-{writer}.{n}")] for n in range(count // writers)]
        for writer in range(writers)
    ]

    async def write(events: Sequence[Sequence[NewEvent]]) -> None:
        for command in events:
            await appender.append(command)

    started = time.perf_counter()
    await asyncio.gather(*map(write, commands))
    elapsed = time.perf_counter() - started
    await appender.stop()
    await lazy.close()
    return count / elapsed


def _new_event(stream: str) -> NewEvent:
    return NewEvent(stream, 1, "order.placed.v1", _STATE, derive(stream, 0), _CAUSE)


async def _copy(dsn: str, count: int) -> float:
    now = datetime.now(UTC)  # noqa: TID251 - a benchmark is an edge
    rows = [
        (
            *(f"demo/order-{n}", 1, "order.placed.v1", _STATE, n + 1),
            *(derive("copy", n), "demo", now, _CAUSE),
        )
        for n in range(count)
    ]
    connection = await asyncpg.connect(dsn)
    try:
        started = time.perf_counter()
        await connection.copy_records_to_table("events", records=rows)
        return count / (time.perf_counter() - started)
    finally:
        await connection.close()


async def _recorder(owner_dsn: str, writers: int, count: int) -> float:
    """Measure the package's recorder; every writer is a thread with a connection of its own."""
    parts = urlsplit(owner_dsn)
    host = parse_qs(parts.query).get("host", [parts.hostname or "localhost"])[0]
    datastore = PostgresDatastore(
        dbname=parts.path[1:] or "postgres",
        host=host,
        port=str(parts.port or 5432),
        user=parts.username or "postgres",
        password=parts.password or "",
        pool_size=min(writers, 64),
        max_overflow=writers,
        connect_timeout=60,
        originator_id_type="text",
    )
    recorder = PostgresApplicationRecorder(
        datastore, events_table_name=f"bench_{secrets.token_hex(4)}"
    )
    recorder.create_table()

    def write(writer: int) -> None:
        for n in range(count // writers):
            recorder.insert_events(
                [StoredEvent(f"demo/order-{writer}.{n}", 1, "order.placed.v1", _STATE)]
            )

    def all_writers() -> float:
        with ThreadPoolExecutor(writers) as threads:
            started = time.perf_counter()
            list(threads.map(write, range(writers)))
            return (count // writers * writers) / (time.perf_counter() - started)

    try:
        return await asyncio.to_thread(all_writers)
    finally:
        datastore.close()


async def _filled(host: ServiceHost, count: int) -> None:
    """Put events into a service's log, a thousand streams."""

    async def write(streams: Sequence[int]) -> None:
        for n in streams:
            key = f"k{n % 1_000}"

            async def add(work: Work, key: str = key) -> None:
                await work.handle(toy.COUNTER, key, toy.Add(1))

            await host.runner.execute(a_cause(f"c{n}"), add)

    await asyncio.gather(*(write(range(first, count, 1_000)) for first in range(1_000)))


async def project(postgres_dsn: str) -> AsyncIterator[Result]:
    """A full log into a read model, and through the feed into another service.

    There once into a table that the feed fills, in the batch's transaction, and once through a
    decision per message, own events and a read model of these, which the target does not mean.
    Reference: the same projection, one transaction per event.
    """
    count = 60_000
    prefix = f"b{secrets.token_hex(4)}_"
    for name in ("order", "sourcing"):
        owner = await _owner_database(postgres_dsn, f"{prefix}{name}")
        for statement in toy.TABLES.split(";"):
            await execute(owner, statement)
    async with running(postgres_dsn, {"order": toy.source}, prefix=prefix) as stack:
        await _filled(stack["order"], count)
        await stack.settle()
        single = await _one_by_one(stack["order"], 1_500)
    ways: dict[str, Mapping[str, Build]] = {
        "own log": {"order": toy.source},
        "feed": {"order": toy.source, "sourcing": toy.Table().build},
        "feed, decision, own events": {"order": toy.source, "sourcing": toy.Sink().build},
    }
    for name, services in ways.items():
        table = "order" if name == "own log" else "sourcing"
        owner = await _owner_database(postgres_dsn, f"{prefix}{table}")
        await execute(owner, "TRUNCATE counter_totals")
        await execute(owner, "UPDATE checkpoints SET position = 0")
        await execute(owner, "UPDATE watermarks SET position = 0")
        tell(f"project: {name}")
        started = time.perf_counter()
        async with running(postgres_dsn, services, prefix=prefix) as stack:
            while (
                await stack[table].database.sql.fetchval("SELECT sum(total) FROM counter_totals")
                or 0
            ) < count:
                await asyncio.sleep(0.01)
            elapsed = time.perf_counter() - started
        yield Result(
            "project",
            count / elapsed,
            "events/s",
            reference="one transaction per event",
            reference_value=single,
            target=None if name.endswith("own events") else _PROJECT_TARGET,
            params={"source": name, "events": count},
        )


async def _owner_database(postgres_dsn: str, name: str) -> str:
    owner = await ensure_database(postgres_dsn, name, APP_PASSWORD)
    await migrate(owner, [])
    return owner


async def _one_by_one(host: ServiceHost, count: int) -> float:
    rows = await read_log(host.database.sql, 0, count)
    events = decode_rows(toy.CODEC, rows)
    started = time.perf_counter()
    for event in events:
        async with host.database.connection() as connection, connection.transaction():
            await toy.TOTALS.project([event], connection)
            await connection.execute("UPDATE checkpoints SET position = position WHERE name = 'x'")
    return count / (time.perf_counter() - started)


async def replay(postgres_dsn: str) -> AsyncIterator[Result]:
    """Stored bytes to domain events: in memory, and with reading them from PostgreSQL.

    Reference: ``json.loads`` of the same states, which knows no classes.
    """
    count = 100_000
    async with running(postgres_dsn, {"order": _bare}) as stack:
        await _filled(stack["order"], count)
        sql = stack["order"].database.sql
        tell("replay: reading and decoding")
        rows = await read_log(sql, 0, count)
        started = time.perf_counter()
        decoded = decode_rows(toy.CODEC, rows)
        in_memory = count / (time.perf_counter() - started)
        states = [row[4] for row in rows]
        started = time.perf_counter()
        for state in states:
            json.loads(state)
        plain = count / (time.perf_counter() - started)
        started = time.perf_counter()
        position = 0
        while position < count:
            page: list[Any] = decode_rows(toy.CODEC, await read_log(sql, position, 5_000))
            position = page[-1].position
        stored = count / (time.perf_counter() - started)
    assert len(decoded) == count
    for name, value, target in (
        ("memory", in_memory, _REPLAY_TARGET),
        ("PostgreSQL", stored, None),
    ):
        yield Result(
            "replay",
            value,
            "events/s",
            reference="json.loads of the state",
            reference_value=plain,
            target=target,
            params={"source": name, "events": count},
        )


def _bare(_: Kernel) -> Service:
    return Service(name="order", codec=toy.CODEC, publish=lambda _: None)
