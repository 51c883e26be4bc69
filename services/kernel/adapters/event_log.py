"""Reading the event table: whole streams to decide, and the log in commit order to follow."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
import msgspec

from services.kernel.adapters.event_codec import EventCodec
from services.kernel.application.columns import SEPARATOR
from services.kernel.application.work import Sql, Versioned
from services.kernel.domain.messages import Cause, Recorded

_SEPARATOR = SEPARATOR.encode()
_encode_cause = msgspec.json.Encoder().encode
_decode_cause = msgspec.json.Decoder(Cause).decode

# Raised by the functions that append a whole unit or nothing of it.
APPEND_REFUSED = "OM002"

# Most streams of one query: far above what one batch needs, far below what a parameter may hold.
_MAX_STREAMS = 10_000

LOG_COLUMNS = (
    "originator_id, originator_version, notification_id, topic, state,"
    " event_id::text, recorded_at, cause"
)


NO_CAUSE = Cause("", "")


@dataclass(slots=True)
class NewEvent:
    """An event that a unit of work wants to append. Never changed once made.

    Attributes:
        stream: Stream id.
        version: The version it takes; the stream must be at ``version - 1``.
        topic: Stored type name.
        state: Stored fields.
        event_id: Derived from the command's id, so that a retry makes the same one.
        cause: Encoded ``Cause``.
        why: The same, not encoded.
        event: What ``state`` holds, not encoded; for those who need not read the log.
    """

    stream: str
    version: int
    topic: str
    state: bytes
    event_id: str
    cause: bytes
    why: Cause = NO_CAUSE
    event: Any = None


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append call of the database answered.

    Attributes:
        last_position: Position of the last event in the log.
        at: When it was recorded.
        refused: Ordinals of the commands that lost their race or were there already.
    """

    last_position: int
    at: datetime
    refused: Sequence[int]


encode_cause = _encode_cause


async def append(sql: Sql, commands: Sequence[Sequence[NewEvent]]) -> Appended:
    """Append a batch of commands in one statement; see ``append_events`` in the migration."""
    sizes = map(len, commands)
    ordinals = SEPARATOR.join([str(n) for n, size in enumerate(sizes) for _ in range(size)])
    row = await sql.fetchrow(
        "SELECT last_position, at, refused FROM append_events($1, $2, $3, $4, $5, $6, $7)",
        ordinals,
        *columns([event for command in commands for event in command]),
    )
    return Appended(row[0], row[1], row[2])


_APPEND_WITH_TIMERS = (
    f"SELECT last_position, at FROM append_with_timers({', '.join(f'${n}' for n in range(1, 17))})"
)


async def append_with_timers(
    sql: Sql, timers: Sequence[str | None], events: Sequence[NewEvent]
) -> Appended | None:
    """Append the events of one command and write its timers in one statement, or nothing of it.

    Args:
        sql: Not in a transaction: the statement is one.
        timers: As ``TimerChanges.columns`` gives them.
        events: Perhaps none.

    Returns:
        What was appended; where that was refused, ``refused`` says so and nothing was written.
    """
    try:
        row = await sql.fetchrow(_APPEND_WITH_TIMERS, *timers, *unit_columns(events))
    except asyncpg.PostgresError as error:
        if error.sqlstate != APPEND_REFUSED:
            raise
        return Appended(0, datetime.min.replace(tzinfo=UTC), [0])
    return Appended(row[0], row[1], ()) if events else None


def columns(events: Sequence[NewEvent]) -> tuple[str, ...]:
    """Return the events, at least one, as the packed columns that the append functions take."""
    return (
        SEPARATOR.join([event.stream for event in events]),
        SEPARATOR.join([str(event.version) for event in events]),
        SEPARATOR.join([event.topic for event in events]),
        _SEPARATOR.join([event.state for event in events]).decode(),
        SEPARATOR.join([event.event_id for event in events]),
        _SEPARATOR.join([event.cause for event in events]).decode(),
    )


def unit_columns(events: Sequence[NewEvent]) -> tuple[str | None, ...]:
    """Return the same for the events of one command, after their ordinals; or nothing, packed."""
    if not events:
        return (None,) * 7
    return (SEPARATOR.join(["0"] * len(events)), *columns(events))


async def load_states(
    sql: Sql,
    codec: EventCodec,
    streams: Mapping[str, tuple[Any, Any]],
    known: Mapping[str, Versioned[Any]] | None = None,
) -> dict[str, Versioned[Any]]:
    """Fold streams from the first event on, or from where they are known.

    Args:
        sql: Where to read.
        codec: Names to classes.
        streams: For each stream id, its initial state and its ``evolve(state, event)``.
        known: Earlier states of some of them: only what follows is read.

    Returns:
        The state of every stream asked for; version 0 for one that has no events.
    """
    states: dict[str, Any] = {stream: initial for stream, (initial, _) in streams.items()}
    versions = dict.fromkeys(streams, 0)
    for stream, earlier in (known or {}).items():
        states[stream], versions[stream] = earlier.state, earlier.version
    names = list(streams)
    decode = codec.decode
    for start in range(0, len(names), _MAX_STREAMS):
        page = names[start : start + _MAX_STREAMS]
        if known:
            rows = await sql.fetch(
                "SELECT e.originator_id, e.originator_version, e.topic, e.state"
                " FROM unnest($1::text[], $2::int[]) AS known (stream, version) JOIN events e"
                " ON e.originator_id = known.stream AND e.originator_version > known.version"
                " ORDER BY 1, 2",
                *(page, [versions[stream] for stream in page]),
            )
        else:
            rows = await sql.fetch(
                "SELECT originator_id, originator_version, topic, state FROM events"
                " WHERE originator_id = ANY($1) ORDER BY originator_id, originator_version",
                page,
            )
        for stream, version, topic, state in rows:
            states[stream] = streams[stream][1](states[stream], decode(topic, state))
            versions[stream] = version
    return {stream: Versioned(states[stream], versions[stream]) for stream in streams}


async def read_log(sql: Sql, after_position: int, limit: int) -> list[Any]:
    """Return the rows that follow a position, in commit order, as ``decode_rows`` takes them."""
    return await sql.fetch(
        f"SELECT {LOG_COLUMNS} FROM events WHERE notification_id > $1"
        " ORDER BY notification_id LIMIT $2",
        after_position,
        limit,
    )


async def read_stream(sql: Sql, stream: str, after_version: int, limit: int) -> list[Any]:
    """Return the rows of one stream that follow a version, as ``decode_rows`` takes them."""
    return await sql.fetch(
        f"SELECT {LOG_COLUMNS} FROM events WHERE originator_id = $1 AND originator_version > $2"
        " ORDER BY originator_version LIMIT $3",
        *(stream, after_version, limit),
    )


# Called with the events of a commit, in order; they took the positions up to the last one.
type Committed = Callable[[Sequence[NewEvent], int, datetime], None]


def recorded(events: Sequence[NewEvent], last_position: int, at: datetime) -> list[Recorded[Any]]:
    """Return what reading the log would return for events that were just committed."""
    first = last_position - len(events) + 1
    return [
        Recorded(e.stream, e.version, first + n, e.event, e.event_id, at, e.why)
        for n, e in enumerate(events)
    ]


def decode_rows(codec: EventCodec, rows: Iterable[Any]) -> list[Recorded[Any]]:
    """Decode rows of the log."""
    decode = codec.decode
    return [
        Recorded(
            stream, version, position, decode(topic, state), event_id, at, _decode_cause(cause)
        )
        for stream, version, position, topic, state, event_id, at, cause in rows
    ]
