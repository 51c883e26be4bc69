"""Filling a read model anew beside the live one: to switch to it, or to compare the two."""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import asyncpg

from services.kernel.adapters.database import APPLICATION_ROLE
from services.kernel.adapters.event_codec import EventCodec
from services.kernel.adapters.event_log import decode_rows, read_log
from services.kernel.read_models.read_model import ReadModel

_PAGE_EVENTS = 5_000
_SHOWN_DIFFERENCES = 5
_SWITCH_TRIES = 5
# Key of the locks; the second number tells the read model.
_LOCKS = 7235005

# Called with the position reached and the position to reach.
type Progress = Callable[[int, int], None]


async def rebuild(owner_dsn: str, codec: EventCodec, model: ReadModel, progress: Progress) -> int:
    """Project the whole log into new tables, then put them in the place of the live ones.

    The service may go on: the last stretch is projected while the live model's checkpoint is
    locked, and the new tables take over at exactly that position.

    Args:
        owner_dsn: The service's database, as its owner.
        codec: The service's stored names.
        model: Which.
        progress: Told of each page.

    Returns:
        The position at which the tables were switched.
    """
    async with _beside(owner_dsn, model) as (connection, schema):
        position = await _project_to(
            connection, schema, codec, model, 0, await _head(connection), progress
        )
        for _ in range(_SWITCH_TRIES):
            with contextlib.suppress(asyncpg.DeadlockDetectedError):
                return await _switch(connection, schema, codec, model, position, progress)
        return await _switch(connection, schema, codec, model, position, progress)


async def _switch(
    connection: asyncpg.Connection,
    schema: str,
    codec: EventCodec,
    model: ReadModel,
    position: int,
    progress: Progress,
) -> int:
    """Project the last stretch and put the new tables in the place of the live ones."""
    async with connection.transaction():
        # Writers are kept out before the checkpoint is locked, because a projector writes in
        # this order too; readers go on until the switch.
        live = ", ".join(f'public."{table}"' for table in model.tables)
        await connection.execute(f"LOCK TABLE {live} IN EXCLUSIVE MODE")
        until = await connection.fetchval(
            "SELECT position FROM checkpoints WHERE name = $1 FOR UPDATE", model.name
        )
        # The live model may be behind what is projected here already: then it is overtaken, and
        # whoever fills it finds its checkpoint moved.
        until = max(position, await _head(connection) if until is None else until)
        await _project_to(connection, schema, codec, model, position, until, progress)
        for table in model.tables:
            await connection.execute(f'DROP TABLE public."{table}"')
            await connection.execute(f'ALTER TABLE {schema}."{table}" SET SCHEMA public')
        await connection.execute(
            "INSERT INTO checkpoints (name, position) VALUES ($1, $2)"
            " ON CONFLICT (name) DO UPDATE SET position = excluded.position",
            *(model.name, until),
        )
        return int(until)


async def compare(
    owner_dsn: str, codec: EventCodec, model: ReadModel, progress: Progress
) -> list[str]:
    """Project the log anew up to where the live model stands, and compare row by row (I7).

    The live rows are read in one snapshot together with their checkpoint, so the service may go
    on meanwhile.

    Returns:
        One sentence per difference, at most a few per table; empty when there is none.
    """
    async with _beside(owner_dsn, model) as (connection, schema):
        live = await asyncpg.connect(owner_dsn, timeout=10)
        try:
            async with live.transaction(isolation="repeatable_read", readonly=True):
                until = await live.fetchval(
                    "SELECT position FROM checkpoints WHERE name = $1", model.name
                )
                await _project_to(connection, schema, codec, model, 0, until or 0, progress)
                differences: list[str] = []
                for table in model.tables:
                    differences += await _differences(live, connection, schema, table)
                return differences
        finally:
            await live.close()


async def _differences(live: Any, beside: Any, schema: str, table: str) -> list[str]:
    """Compare the live rows, in the snapshot of ``live``, with those beside them."""
    digest = "SELECT count(*), coalesce(bit_xor(hashtextextended(t::text, 0)), 0) FROM {} AS t"
    of_live = await live.fetchrow(digest.format(f'public."{table}"'))
    of_replay = await beside.fetchrow(digest.format(f'{schema}."{table}"'))
    if tuple(of_live) == tuple(of_replay):
        return []
    rows = "SELECT t::text FROM {} AS t ORDER BY 1 LIMIT 100000"
    live_rows = {row[0] for row in await live.fetch(rows.format(f'public."{table}"'))}
    replay_rows = {row[0] for row in await beside.fetch(rows.format(f'{schema}."{table}"'))}
    only_live = sorted(live_rows - replay_rows)[:_SHOWN_DIFFERENCES]
    only_replay = sorted(replay_rows - live_rows)[:_SHOWN_DIFFERENCES]
    return [
        f"{table}: {of_live[0]} rows live, {of_replay[0]} replayed",
        *(f"{table}: live only: {row}" for row in only_live),
        *(f"{table}: replay only: {row}" for row in only_replay),
    ]


@contextlib.asynccontextmanager
async def _beside(
    owner_dsn: str, model: ReadModel
) -> AsyncIterator[tuple[asyncpg.Connection, str]]:
    """Give a connection, and a schema with empty copies of the model's tables.

    One at a time for each model: another waits, and finds no table of the one before.
    """
    schema = f"rebuild_{model.name}"
    connection = await asyncpg.connect(owner_dsn, timeout=10)
    try:
        await connection.execute("SELECT pg_advisory_lock($1, hashtext($2))", _LOCKS, model.name)
        await connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        await connection.execute(f"CREATE SCHEMA {schema}")
        for table in model.tables:
            await connection.execute(
                f'CREATE TABLE {schema}."{table}" (LIKE public."{table}" INCLUDING ALL)'
            )
            await connection.execute(
                f'GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}."{table}" TO {APPLICATION_ROLE}'
            )
        yield connection, schema
    finally:
        await connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        await connection.close()


async def _head(connection: Any) -> int:
    return int(await connection.fetchval("SELECT coalesce(max(notification_id), 0) FROM events"))


async def _project_to(
    connection: Any,
    schema: str,
    codec: EventCodec,
    model: ReadModel,
    position: int,
    until: int,
    progress: Progress,
) -> int:
    while position < until:
        rows: Sequence[Any] = await read_log(
            connection, position, min(_PAGE_EVENTS, until - position)
        )
        if not rows:
            break
        batch = decode_rows(codec, rows)
        async with connection.transaction():
            # Unqualified names lead to the copies and nowhere else: were these gone, the
            # projection would fail, and not fill the live tables a second time.
            await connection.execute(f"SET LOCAL search_path = {schema}")
            await model.project(batch, connection)
            await connection.execute("SET LOCAL search_path = public")
        position = batch[-1].position
        progress(position, until)
    return position
