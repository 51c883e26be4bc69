"""What was true at a time, and what was known of it at another: balances of the past.

Answers    as_of and known_at on every stock query; what an image is compared with
Fed by     the entries: one mark per ``BLOCK`` entries of a stream
Staleness  none: what has no mark yet is read from the log itself

A balance as of T, known at K, is the sum of the entries recorded by K that occurred by T. Entries
are recorded in order, but may occur in any. So the balance of the last mark before which nothing
occurred later than T is taken whole; of each block after it, what occurred by T, found by
bisection; and of the entries that have no mark yet, those that occurred by T.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate
from operator import add
from typing import Any

import msgspec

from services.kernel.application.work import Sql
from services.kernel.domain.messages import Recorded, stream_id
from services.kernel.read_models.read_model import ReadModel
from services.stock_ledger.domain.entry import Buckets, EntryPosted
from services.stock_ledger.domain.stock_item import site_and_sku, stock_key

BLOCK = 128
_BUCKETS = tuple(Buckets.__dataclass_fields__)
_WIDTH = len(_BUCKETS)
_PLACE = {bucket: n for n, bucket in enumerate(_BUCKETS)}
_NOTHING = (0,) * _WIDTH


class _Posting(msgspec.Struct):
    account: str
    quantity: int


class _Stored(msgspec.Struct):
    """The part of a stored entry that balances are made of; the stored form is JSON for ever."""

    occurred_at: datetime
    postings: list[_Posting]


_decode = msgspec.json.Decoder(_Stored).decode


async def project(batch: Sequence[Recorded[Any]], sql: Sql) -> None:
    """Mark every block that is full; its entries are read from the log, once."""
    ends = [
        (recorded.stream, recorded.version)
        for recorded in batch
        if recorded.version % BLOCK == 0 and isinstance(recorded.event, EntryPosted)
    ]
    if not ends:
        return
    rows = await sql.fetch(
        "SELECT e.originator_id, e.originator_version, e.recorded_at, e.state"
        " FROM unnest($1::text[], $2::int[]) AS b (stream, until) JOIN events e"
        " ON e.originator_id = b.stream AND e.originator_version > b.until - $3::int"
        " AND e.originator_version <= b.until ORDER BY 1, 2",
        [stream for stream, _ in ends],
        [until for _, until in ends],
        BLOCK,
    )
    blocks: dict[tuple[str, int], list[Any]] = defaultdict(list)
    for row in rows:
        blocks[row[0], (row[1] - 1) // BLOCK * BLOCK + BLOCK].append(row)
    after = {(r.stream, r.version): r.event.after for r in batch if r.version % BLOCK == 0}
    marks = [
        _mark(stream, until, entries, after[stream, until])
        for (stream, until), entries in sorted(blocks.items())
    ]
    # In order: what is settled by a block rests on the block before it.
    await sql.executemany(
        "INSERT INTO balance_mark (tenant, site_id, sku, version, balance, settled_at,"
        " recorded_until, occurred, changes) SELECT $1, $2, $3, $4, $5,"
        " greatest($6::timestamptz, (SELECT max(settled_at) FROM balance_mark"
        " WHERE tenant = $1 AND site_id = $2 AND sku = $3)), $7, $8, $9"
        " ON CONFLICT DO NOTHING",
        marks,
    )


def _mark(stream: str, until: int, rows: Sequence[Any], after: Buckets) -> tuple[Any, ...]:
    tenant, _, key = stream.partition("/stock-")
    changes = sorted((_change(row[3]) for row in rows), key=lambda change: change[0])
    occurred = [at for at, _ in changes]
    sums = accumulate((moved for _, moved in changes), _plus)
    return (
        *(tenant, *site_and_sku(key), until, list(_row(after)), occurred[-1]),
        *(rows[-1][2], occurred, [part for each in sums for part in each]),
    )


MARKS = ReadModel("balance_marks", ("balance_mark",), project)


async def balances(
    sql: Sql, tenant: str, asked: Sequence[tuple[str, int, datetime]]
) -> list[Buckets]:
    """Return balances of the past, in the order asked.

    Args:
        sql: Where to read.
        tenant: Whose.
        asked: Stock key; version up to which entries count; time up to which they occurred.
    """
    keys = [site_and_sku(key) for key, _, _ in asked]
    columns = (
        [site_id for site_id, _ in keys],
        [sku for _, sku in keys],
        [version for _, version, _ in asked],
        [at for _, _, at in asked],
    )
    marks = await sql.fetch(
        "SELECT a.n, coalesce(base.version, 0), base.balance, m.version, m.part"
        " FROM unnest($2::text[], $3::text[], $4::int[], $5::timestamptz[]) WITH ORDINALITY"
        " AS a (site_id, sku, version, at, n)"
        " LEFT JOIN LATERAL (SELECT version, balance FROM balance_mark b WHERE b.tenant = $1"
        " AND b.site_id = a.site_id AND b.sku = a.sku AND b.version <= a.version"
        " AND b.settled_at <= a.at ORDER BY b.version DESC LIMIT 1) base ON true"
        " LEFT JOIN LATERAL (SELECT version, CASE WHEN place > 0 THEN"
        " changes[(place - 1) * $6::int + 1 : place * $6::int] END AS part"
        " FROM (SELECT b.version, b.changes, width_bucket(a.at, b.occurred) AS place"
        " FROM balance_mark b WHERE b.tenant = $1 AND b.site_id = a.site_id AND b.sku = a.sku"
        " AND b.version > coalesce(base.version, 0) AND b.version <= a.version) AS placed) m"
        " ON true WHERE base.version IS NOT NULL OR m.version IS NOT NULL",
        *(tenant, *columns, _WIDTH),
    )
    sums: list[Sequence[int]] = [_NOTHING] * len(asked)
    marked = [0] * len(asked)
    for n, base_version, base, version, part in marks:
        if not marked[n - 1]:
            sums[n - 1] = base or _NOTHING
        marked[n - 1] = max(marked[n - 1], base_version, version or 0)
        if part is not None:
            sums[n - 1] = _plus(sums[n - 1], part)
    rows = await sql.fetch(
        "SELECT a.n, e.state FROM unnest($1::text[], $2::int[], $3::int[]) WITH ORDINALITY"
        " AS a (stream, after, until, n) JOIN events e ON e.originator_id = a.stream"
        " AND e.originator_version > a.after AND e.originator_version <= a.until",
        [stream_id(tenant, "stock", key) for key, _, _ in asked],
        marked,
        [version for _, version, _ in asked],
    )
    for n, state in rows:
        at, moved = _change(state)
        if at <= asked[n - 1][2]:
            sums[n - 1] = _plus(sums[n - 1], moved)
    return [Buckets(*each) for each in sums]


async def versions(
    sql: Sql, tenant: str, pairs: Sequence[tuple[str, str]], known_at: datetime | None
) -> list[int]:
    """Return how many entries of each (site, product) were recorded by a time; no time: all."""
    streams = [stream_id(tenant, "stock", stock_key(*pair)) for pair in pairs]
    if known_at is None:
        rows = await sql.fetch(
            "SELECT coalesce((SELECT originator_version FROM events WHERE originator_id = stream"
            " ORDER BY originator_version DESC LIMIT 1), 0)"
            " FROM unnest($1::text[]) WITH ORDINALITY AS a (stream, n) ORDER BY n",
            streams,
        )
    else:
        rows = await sql.fetch(
            "SELECT coalesce((SELECT e.originator_version FROM events e"
            " WHERE e.originator_id = a.stream AND e.originator_version > m.version"
            " AND e.originator_version <= m.next AND e.recorded_at <= $5"
            " ORDER BY e.originator_version DESC LIMIT 1), m.version)"
            " FROM unnest($2::text[], $3::text[], $4::text[]) WITH ORDINALITY"
            " AS a (stream, site_id, sku, n) CROSS JOIN LATERAL (SELECT"
            " coalesce(max(version) FILTER (WHERE recorded_until <= $5), 0) AS version,"
            " coalesce(min(version) FILTER (WHERE recorded_until > $5), 2147483647) AS next"
            " FROM balance_mark b WHERE b.tenant = $1 AND b.site_id = a.site_id"
            " AND b.sku = a.sku) m ORDER BY a.n",
            tenant,
            streams,
            [site_id for site_id, _ in pairs],
            [sku for _, sku in pairs],
            known_at,
        )
    return [row[0] for row in rows]


def _change(state: bytes) -> tuple[datetime, Sequence[int]]:
    """Return when a stored entry occurred, and what each bucket gained."""
    entry = _decode(state)
    moved = [0] * _WIDTH
    for posting in entry.postings:
        place = _PLACE.get(posting.account)
        if place is not None:
            moved[place] += posting.quantity
    return entry.occurred_at, moved


def _row(buckets: Buckets) -> Sequence[int]:
    return [getattr(buckets, bucket) for bucket in _BUCKETS]


def _plus(one: Sequence[int], other: Sequence[int]) -> Sequence[int]:
    return tuple(map(add, one, other))
