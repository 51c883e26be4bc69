"""Sealing the log, and checking the seals: its Merkle roots by day, and a digest per stream.

Sealing reads the log behind everybody else, in pages, and writes each page's progress in one unit.
A day is sealed once it is over for certain. What is sealed proves nothing to somebody who does not
trust this database; ``oms stock proof`` writes what he can take away.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from services.kernel.application.clock import Clock
from services.kernel.application.runner import Runner
from services.kernel.application.work import Sql
from services.kernel.domain.messages import Cause
from services.stock_ledger.domain.merkle import NO_DIGEST, Frontier, Row, chained, leaf

_PAGE_ROWS = 2_000
_LOOK_EVERY_S = 600.0
_NAME = "log"
# A row recorded before midnight is committed by then.
_CERTAIN_AFTER = timedelta(minutes=10)
_COLUMNS = (
    "notification_id, originator_id, originator_version, topic, event_id::text, recorded_at,"
    " tenant, cause, state"
)


@dataclass(frozen=True, slots=True)
class Seal:
    """The root of the log's first rows; the last of them was recorded on that day."""

    size: int
    day: date
    root: bytes


async def rows_after(sql: Sql, position: int, limit: int) -> list[Row]:
    """Return a page of the log."""
    rows = await sql.fetch(
        f"SELECT {_COLUMNS} FROM events WHERE notification_id > $1"
        " ORDER BY notification_id LIMIT $2",
        *(position, limit),
    )
    return [Row(*row) for row in rows]


async def seals(sql: Sql) -> list[Seal]:
    """Return every seal, oldest first."""
    rows = await sql.fetch("SELECT size, day, root FROM log_seal ORDER BY size")
    return [Seal(*row) for row in rows]


class Sealer:
    """Seals days that are over; several may run beside each other, one at a time gets on."""

    def __init__(self, runner: Runner, clock: Clock) -> None:
        self._runner = runner
        self._clock = clock

    async def work(self) -> None:
        """Seal until cancelled."""
        while True:
            await self.seal()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def seal(self) -> None:
        """Seal every day that is over."""
        until = days_over(self._clock.now())
        cause = Cause("-", f"seal-{until.isoformat()}")
        while await self._runner.execute(cause, lambda work: seal_page(work.sql, until)):
            await asyncio.sleep(0)  # whoever has something to do goes first


def days_over(now: datetime) -> datetime:
    """Return up to when everything that was recorded is there for certain, in whole days."""
    return _midnight(now - _CERTAIN_AFTER)


def _midnight(at: datetime) -> datetime:
    return datetime.combine(at.astimezone(UTC).date(), datetime.min.time(), UTC)


async def seal_page(sql: Sql, until: datetime) -> bool:
    """Seal a page of what was recorded before a time; return whether there may be more.

    Args:
        sql: A transaction of its own.
        until: The end of a day, or any time: then that day is sealed as far as it has come.
    """
    await sql.execute(
        "INSERT INTO seal_progress (name, position, peaks) VALUES ($1, 0, '{}')"
        " ON CONFLICT DO NOTHING",
        _NAME,
    )
    position, day, peaks = await sql.fetchrow(
        "SELECT position, day, peaks FROM seal_progress WHERE name = $1 FOR UPDATE", _NAME
    )
    page = await rows_after(sql, position, _PAGE_ROWS)
    # A clock that was set back may have recorded an early time late: the order is the log's.
    rows = page[: next((n for n, row in enumerate(page) if row.recorded_at >= until), len(page))]
    tree, found = Frontier(position, tuple(peaks)), []
    leaves = [leaf(row) for row in rows]
    for row, digest in zip(rows, leaves, strict=True):
        recorded_on = row.recorded_at.astimezone(UTC).date()
        if day is not None and recorded_on > day:
            found.append(Seal(tree.size, day, tree.root))
        day = recorded_on if day is None else max(day, recorded_on)
        tree = tree.including([digest])
    is_all = len(rows) < _PAGE_ROWS
    if is_all and day is not None and tree.size and day < _day_of(until):
        found.append(Seal(tree.size, day, tree.root))
    await _chain(sql, rows, leaves)
    await sql.executemany(
        "INSERT INTO log_seal (size, day, root) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        [(seal.size, seal.day, seal.root) for seal in found],
    )
    await sql.execute(
        "UPDATE seal_progress SET position = $2, day = $3, peaks = $4 WHERE name = $1",
        *(_NAME, tree.size, day, list(tree.peaks)),
    )
    return not is_all


def _day_of(until: datetime) -> date:
    """Return the first day that is not to be sealed yet."""
    at_midnight = until == _midnight(until)
    return until.date() if at_midnight else until.date() + timedelta(days=1)


async def _chain(sql: Sql, rows: Sequence[Row], leaves: Sequence[bytes]) -> None:
    streams = sorted({row.stream for row in rows})
    known = await sql.fetch(
        "SELECT stream, version, digest FROM stream_seal WHERE stream = ANY($1)", streams
    )
    digests: dict[str, tuple[int, bytes]] = {row[0]: (row[1], row[2]) for row in known}
    for row, digest in zip(rows, leaves, strict=True):
        _, before = digests.get(row.stream, (0, NO_DIGEST))
        digests[row.stream] = row.version, chained(before, digest)
    await sql.execute(
        "INSERT INTO stream_seal AS t (stream, version, digest)"
        " SELECT * FROM unnest($1::text[], $2::int[], $3::bytea[]) ON CONFLICT (stream)"
        " DO UPDATE SET version = excluded.version, digest = excluded.digest",
        *(streams, [digests[s][0] for s in streams], [digests[s][1] for s in streams]),
    )


async def broken_seals(sql: Sql) -> AsyncIterator[str]:
    """Yield what was altered, removed or inserted since it was sealed, one sentence each.

    Memory grows with the number of streams, not of rows.
    """
    wanted = {seal.size: seal for seal in await seals(sql)}
    known = await sql.fetch("SELECT stream, version, digest FROM stream_seal")
    sealed: Mapping[str, tuple[int, bytes]] = {row[0]: (row[1], row[2]) for row in known}
    until = await sql.fetchval("SELECT position FROM seal_progress WHERE name = $1", _NAME) or 0
    digests: dict[str, tuple[int, bytes]] = {}
    tree = Frontier()
    while tree.size < until:
        page = await rows_after(sql, tree.size, min(_PAGE_ROWS, until - tree.size))
        if not page or page[-1].position != tree.size + len(page):
            yield f"rows are missing after position {tree.size}"
            return
        for row in page:
            digest = leaf(row)
            tree = tree.including([digest])
            _, before = digests.get(row.stream, (0, NO_DIGEST))
            digests[row.stream] = row.version, chained(before, digest)
            seal = wanted.pop(tree.size, None)
            if seal is not None and seal.root != tree.root:
                yield f"the first {seal.size} rows are not those sealed on {seal.day}"
    for left in wanted.values():
        yield f"{left.size} rows were sealed on {left.day}, {tree.size} are there"
    for stream in sorted(sealed.keys() | digests.keys()):
        if sealed.get(stream) != digests.get(stream):
            version = digests.get(stream, (0, b""))[0]
            yield f"{stream} is not what was sealed: {version} events are there"
