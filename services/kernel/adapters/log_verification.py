"""What must hold of every service's log, whatever the service: page by page, read only."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from services.kernel.adapters.event_codec import EventCodec
from services.kernel.adapters.event_log import decode_rows, read_log
from services.kernel.application.work import Sql

_PAGE_EVENTS = 5_000
_SHOWN = 10


async def verify_log(
    sql: Sql, codec: EventCodec, progress: Callable[[int, int], None]
) -> list[str]:
    """Check that nothing is missing, doubled or unreadable in a log.

    I1: positions run from 1 without a gap, and so do the versions of every stream: an
    acknowledged event cannot have vanished. I6: no command has two sets of events: every unit of
    work stands in one stretch of positions. Every event decodes (I12).

    Memory grows with the number of streams, not of events.

    Returns:
        One sentence per violation, at most a few.
    """
    head = int(await sql.fetchval("SELECT coalesce(max(notification_id), 0) FROM events"))
    versions: Counter[str] = Counter()
    found: list[str] = []
    position = 0
    last_command = ""
    commands: set[int] = set()
    while position < head and len(found) < _SHOWN:
        rows: list[Any] = await read_log(sql, position, _PAGE_EVENTS)
        if not rows:
            break
        for recorded in decode_rows(codec, rows):
            if recorded.position != position + 1:
                found.append(f"positions {position + 1} to {recorded.position - 1} are missing")
            position = recorded.position
            versions[recorded.stream] += 1
            if recorded.version != versions[recorded.stream]:
                found.append(
                    f"{recorded.stream} has version {recorded.version}"
                    f" where {versions[recorded.stream]} belongs"
                )
                versions[recorded.stream] = recorded.version
            command = f"{recorded.tenant}\x1f{recorded.cause.command_id}"
            if command != last_command:
                if hash(command) in commands:
                    found.append(f"command {recorded.cause.command_id} took effect twice")
                commands.add(hash(command))
                last_command = command
        progress(position, head)
    return found[:_SHOWN]


async def unfinished(sql: Sql) -> list[str]:
    """Return what waits for a person: parked streams and timers that were given up."""
    parked = await sql.fetch(
        "SELECT group_name, topic, count(DISTINCT stream), min(reason) FROM parked"
        " GROUP BY 1, 2 ORDER BY 1, 2"
    )
    failed = await sql.fetchval("SELECT count(*) FROM timers WHERE failed IS NOT NULL")
    return [
        *(f"{row[0]}: {row[2]} streams of {row[1]} are parked, first: {row[3]}" for row in parked),
        *([f"{failed} timers failed for good"] if failed else []),
    ]
