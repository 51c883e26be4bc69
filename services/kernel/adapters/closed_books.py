"""Closing the books: what a long stream comes to so far, so that a cold load reads what follows.

The state is folded from the log itself, on one connection: whatever that connection has read was
committed before what it writes, so no crash keeps a closed book and loses what it rests on.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from services.kernel.adapters.database import Database, is_outage
from services.kernel.adapters.event_codec import EventCodec
from services.kernel.application.tasks import end
from services.kernel.application.work import Sql, Versioned
from services.kernel.domain.decider import Kind
from services.kernel.domain.messages import category_of

EVERY_EVENTS = 256
_PAGE_EVENTS = 32
_MOST_DUE = 10_000
_BOOKS_PER_LOOK = 100

_log = logging.getLogger(__name__)

type AnyKind = Kind[Any, Any, Any]


async def closed_states(
    sql: Sql, codec: EventCodec, streams: Iterable[str]
) -> dict[str, Versioned[Any]]:
    """Return the closed books of these streams, of those that have any in this format."""
    by_stream = {
        stream: state_format
        for stream in streams
        if (state_format := codec.state_format(category_of(stream))) is not None
    }
    if not by_stream:
        return {}
    rows = await sql.fetch(
        "SELECT originator_id, originator_version, format, state FROM closed_books"
        " WHERE originator_id = ANY($1)",
        list(by_stream),
    )
    known: dict[str, Versioned[Any]] = {}
    for stream, version, state_format, state in rows:
        if state_format == by_stream[stream]:
            try:
                known[stream] = Versioned(codec.decode_state(category_of(stream), state), version)
            except msgspec.ValidationError:
                _log.warning("a closed book cannot be read and is passed over: %s", stream)
    return known


class BookCloser:
    """Closes the books of streams that have grown long; works only while there is something to do.

    Args:
        database: The service's.
        codec: Names and formats.
        kinds: Which streams have books, by category.
    """

    def __init__(
        self, database: Database, codec: Callable[[], EventCodec], kinds: Mapping[str, AnyKind]
    ) -> None:
        self._database = database
        self._codec = codec
        self._kinds = kinds
        self._due: dict[str, None] = {}
        self._task: asyncio.Task[None] | None = None

    def grown(self, stream: str) -> None:
        """Say that a stream has reached a multiple of ``EVERY_EVENTS``."""
        if category_of(stream) in self._kinds and len(self._due) < _MOST_DUE:
            self._due[stream] = None
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._work(), name="close books")

    async def stop(self) -> None:
        if self._task is not None:
            await end([self._task])

    async def _work(self) -> None:
        while self._due:
            stream = next(iter(self._due))
            del self._due[stream]
            try:
                await self.close(stream)
            except Exception as error:
                if not is_outage(error):
                    _log.exception("the books of %s could not be closed", stream)

    async def close(self, stream: str) -> None:
        """Write what the stream comes to now."""
        kind, codec = self._kinds[category_of(stream)], self._codec()
        async with self._database.connection() as connection:
            closed = (await closed_states(connection, codec, [stream])).get(stream)
            book = await _folded(connection, codec, kind, stream, closed)
            await connection.execute(
                "INSERT INTO closed_books AS t (originator_id, originator_version, format, state)"
                " VALUES ($1, $2, $3, $4) ON CONFLICT (originator_id) DO UPDATE SET"
                " originator_version = excluded.originator_version, format = excluded.format,"
                " state = excluded.state, closed_at = clock_timestamp()"
                " WHERE excluded.format <> t.format"
                " OR excluded.originator_version > t.originator_version",
                *(stream, book.version, codec.state_format(kind.category)),
                codec.encode_state(book.state),
            )


async def _folded(
    sql: Sql,
    codec: EventCodec,
    kind: AnyKind,
    stream: str,
    start: Versioned[Any] | None,
    until: int = 2**31 - 1,
) -> Versioned[Any]:
    """Fold a stream in pages, so that nobody waits for the whole of it."""
    state, version = (kind.decider.initial, 0) if start is None else (start.state, start.version)
    while True:
        rows: Sequence[Any] = await sql.fetch(
            "SELECT originator_version, topic, state FROM events WHERE originator_id = $1"
            " AND originator_version > $2 AND originator_version <= $3"
            " ORDER BY originator_version LIMIT $4",
            *(stream, version, until, _PAGE_EVENTS),
        )
        for version, topic, data in rows:  # noqa: B007 - the last one counts
            state = kind.decider.evolve(state, codec.decode(topic, data))
        if len(rows) < _PAGE_EVENTS:
            return Versioned(state, version)
        await asyncio.sleep(0)


async def broken_books(
    sql: Sql, codec: EventCodec, kinds: Mapping[str, AnyKind]
) -> AsyncIterator[str]:
    """Yield the closed books that are not what the log comes to, one sentence each."""
    after = ""
    while True:
        names = await sql.fetch(
            "SELECT originator_id FROM closed_books WHERE originator_id > $1"
            " ORDER BY originator_id LIMIT $2",
            *(after, _BOOKS_PER_LOOK),
        )
        for (stream,) in names:
            after = stream
            kind = kinds.get(category_of(stream))
            closed = (await closed_states(sql, codec, [stream])).get(stream)
            if kind is None or closed is None:
                continue
            right = await _folded(sql, codec, kind, stream, None, closed.version)
            if right != closed:
                yield (
                    f"the closed book of {stream} at version {closed.version} is not what its"
                    f" {right.version} events come to: delete it from closed_books"
                )
        if len(names) < _BOOKS_PER_LOOK:
            return
