"""Reading what happened from the beginning, into something new, without any effect elsewhere.

What is read is read as ``oms tail`` reads it: nothing is acknowledged, moved or published. What is
written is a consumer's own, or tables in a schema that nothing else knows.
"""

import asyncio
import contextlib
import importlib
import inspect
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg

from services.kernel.adapters.feed_contracts import contract_of
from services.kernel.adapters.store_reader import StoreReader
from services.kernel.application.reading import FeedReader, Place, is_at, steps
from services.kernel.domain.messages import Recorded
from services.kernel.main.export import Progress
from services.kernel.main.reading import Unreadable, decoded_or_told
from services.kernel.main.tail import Wanted
from services.kernel.read_models.read_model import ReadModel

_NAMED = re.compile(r"([\w.]+):(\w+)")
SCHEMA = re.compile(r"[a-z][a-z0-9_]{0,50}")
_KEPT_SCHEMAS = ("public", "information_schema")
_STATEMENT_S = 60.0

# A function over events: it is handed an iterator, or, if it is a coroutine function, an
# asynchronous one. What it returns is what became of the replay.
type Consumer = Callable[[Any], Any]


class WrongConsumer(Exception):
    """What was named is no function over events."""


class WrongSchema(Exception):
    """Tables cannot be put there."""


def consumer_named(name: str) -> Consumer:
    """Return a function that is named ``module:function``; modules are looked for here, too.

    Raises:
        WrongConsumer: There is none.
    """
    found = _NAMED.fullmatch(name)
    if found is None:
        raise WrongConsumer(f"{name!r} is not called like module:function")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        function = getattr(importlib.import_module(found[1]), found[2])
    except (ImportError, AttributeError) as error:
        raise WrongConsumer(f"{name} cannot be imported: {error}") from None
    if not callable(function):
        raise WrongConsumer(f"{name} cannot be called")
    consumer: Consumer = function
    return consumer


async def replay_feed(
    reader: FeedReader,
    consumer: Consumer,
    wanted: Wanted,
    progress: Progress,
    unreadable: Unreadable,
) -> Any:
    """Hand the public events of a feed to a consumer, each a ``PublicEvent``; return its answer."""
    contract = contract_of(reader.topic)

    async def pages() -> AsyncIterator[Sequence[Any]]:
        begins, end = await reader.beginning(), await reader.end()
        place: Place = begins
        while not is_at(place, end):
            page = await reader.read(place, end)
            place = page.place
            for sentence in page.unreadable:
                unreadable(f"{reader.topic}, {sentence}")
            found = (
                decoded_or_told(contract, one, unreadable)
                for one in page.envelopes
                if wanted.envelope(one)
            )
            yield [one for one in found if one is not None]
            progress(steps(place, begins), steps(end, begins))

    return await _consumed(consumer, pages())


async def replay_store(
    reader: StoreReader, consumer: Consumer, wanted: Wanted, progress: Progress
) -> Any:
    """Hand the private events of a service to a consumer, each ``Recorded``; return its answer."""

    async def pages() -> AsyncIterator[Sequence[Any]]:
        async for batch in _recorded(reader, progress):
            yield [one for one in batch if not wanted.tenant or one.tenant == wanted.tenant]

    return await _consumed(consumer, pages())


async def replay_read_model(
    reader: StoreReader, owner_dsn: str, model: ReadModel, schema: str, progress: Progress
) -> dict[str, int]:
    """Project a service's log into tables of a schema of their own; return their rows' numbers.

    Args:
        reader: The log, on a connection that may not write.
        owner_dsn: The service's database, as somebody who may create a schema.
        model: Which.
        schema: Made here, and left; must not be there.
        progress: Told of each page.

    Raises:
        WrongSchema: It is there already, or no name of one.
    """
    if SCHEMA.fullmatch(schema) is None or schema in _KEPT_SCHEMAS or schema.startswith("pg_"):
        raise WrongSchema(f"{schema!r} is no name for it: a to z, digits and _, such as replay_1")
    connection = await asyncpg.connect(owner_dsn, timeout=10, command_timeout=_STATEMENT_S)
    try:
        try:
            await connection.execute(f'CREATE SCHEMA "{schema}"')
        except asyncpg.DuplicateSchemaError:
            raise WrongSchema(
                f"schema {schema} is there already: remove it (DROP SCHEMA {schema} CASCADE), or"
                " name another with --schema"
            ) from None
        for table in model.tables:
            await connection.execute(
                f'CREATE TABLE "{schema}"."{table}" (LIKE public."{table}" INCLUDING ALL)'
            )
        # Unqualified names lead here and nowhere else: the live tables are out of sight.
        await connection.execute(f'SET search_path = "{schema}"')
        async for batch in _recorded(reader, progress):
            async with connection.transaction():
                await model.project(batch, connection)
        return {
            table: await connection.fetchval(f'SELECT count(*) FROM "{table}"')
            for table in model.tables
        }
    finally:
        await connection.close()


async def _recorded(
    reader: StoreReader, progress: Progress
) -> AsyncIterator[Sequence[Recorded[Any]]]:
    begins, end = await reader.beginning(), await reader.end()
    place: Place = begins
    while not is_at(place, end):
        batch, place = await reader.recorded(place, end)
        if batch:
            yield batch
        progress(steps(place, begins), steps(end, begins))


async def _consumed(consumer: Consumer, pages: AsyncIterator[Sequence[Any]]) -> Any:
    """Run a consumer over all pages; it asks for the next one, so memory holds one page."""
    if inspect.iscoroutinefunction(consumer):
        async with contextlib.aclosing(_flat(pages)) as events:
            return await consumer(events)
    loop = asyncio.get_running_loop()

    async def following() -> Sequence[Any] | None:
        return await anext(pages, None)

    def pulled() -> Iterator[Any]:
        while (page := asyncio.run_coroutine_threadsafe(following(), loop).result()) is not None:
            yield from page

    return await asyncio.to_thread(consumer, pulled())


async def _flat(pages: AsyncIterator[Sequence[Any]]) -> Any:
    async for page in pages:
        for event in page:
            yield event
