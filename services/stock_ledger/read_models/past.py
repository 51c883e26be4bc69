"""What was true at a time, and what was known of it at another: balances of the past.

Answers    as_of and known_at on every stock query; what an image is compared with
Reads      the marks of long streams, and the log itself for what has no mark yet
Staleness  none

A balance as of T, known at K, is the sum of the entries recorded by K that occurred by T. Entries
are recorded in order, but may occur in any. So the balance of the last mark before which nothing
occurred later than T is taken whole; of each block after it, what occurred by T, found by
bisection; and of the entries that have no mark yet, those that occurred by T.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from services.kernel.application.work import Sql
from services.kernel.domain.messages import stream_id
from services.stock_ledger.domain.entry import Buckets
from services.stock_ledger.domain.stock_item import site_and_sku, stock_key
from services.stock_ledger.read_models.availability import Level
from services.stock_ledger.read_models.balance_marks import NOTHING, WIDTH, moved, plus

ALWAYS = datetime.max.replace(tzinfo=UTC)


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
        "SELECT a.n, coalesce(newest.version, 0), base.balance, m.part"
        " FROM unnest($2::text[], $3::text[], $4::int[], $5::timestamptz[]) WITH ORDINALITY"
        " AS a (site_id, sku, version, at, n)"
        " JOIN LATERAL (SELECT max(b.version) AS version FROM balance_mark b WHERE b.tenant = $1"
        " AND b.site_id = a.site_id AND b.sku = a.sku AND b.version <= a.version) newest"
        " ON newest.version IS NOT NULL"
        " LEFT JOIN LATERAL (SELECT b.version, b.balance FROM balance_mark b WHERE b.tenant = $1"
        " AND b.site_id = a.site_id AND b.sku = a.sku AND b.version <= a.version"
        " AND b.settled_at <= a.at ORDER BY b.version DESC LIMIT 1) base ON true"
        " LEFT JOIN LATERAL (SELECT changes[(place - 1) * $6::int + 1 : place * $6::int] AS part"
        " FROM (SELECT b.changes, width_bucket(a.at, b.occurred) AS place"
        " FROM balance_mark b WHERE b.tenant = $1 AND b.site_id = a.site_id AND b.sku = a.sku"
        " AND b.version > coalesce(base.version, 0) AND b.version <= a.version"
        " AND b.begins_at <= a.at) AS placed) m ON true",
        *(tenant, *columns, WIDTH),
    )
    sums: list[Sequence[int]] = [NOTHING] * len(asked)
    marked = [0] * len(asked)
    for n, newest, base, part in marks:
        if not marked[n - 1]:
            marked[n - 1], sums[n - 1] = newest, base or NOTHING
        if part is not None:
            sums[n - 1] = plus(sums[n - 1], part)
    rows = await sql.fetch(
        "SELECT a.n, e.state FROM unnest($1::text[], $2::int[], $3::int[]) WITH ORDINALITY"
        " AS a (stream, after, until, n) JOIN events e ON e.originator_id = a.stream"
        " AND e.originator_version > a.after AND e.originator_version <= a.until",
        [stream_id(tenant, "stock", key) for key, _, _ in asked],
        marked,
        [version for _, version, _ in asked],
    )
    for n, state in rows:
        for occurred_at, _, gained in moved(state):
            if occurred_at <= asked[n - 1][2]:
                sums[n - 1] = plus(sums[n - 1], gained)
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


async def levels(
    sql: Sql,
    tenant: str,
    pairs: Sequence[tuple[str, str]],
    as_of: datetime | None,
    known_at: datetime | None,
) -> list[Level]:
    """Return the balance of each (site, product) as of a time, as it was known at another.

    Args:
        sql: Where to read.
        tenant: Whose.
        pairs: Asked for, in this order.
        as_of: What was true then; nothing: now.
        known_at: What was known then; nothing: now.
    """
    return await levels_at(sql, tenant, pairs, await versions(sql, tenant, pairs, known_at), as_of)


async def levels_at(
    sql: Sql,
    tenant: str,
    pairs: Sequence[tuple[str, str]],
    known: Sequence[int],
    as_of: datetime | None,
) -> list[Level]:
    """Return the balance of each (site, product) as of a time, by the entries up to a version."""
    found = await balances(
        *(sql, tenant),
        [
            (stock_key(*pair), version, as_of or ALWAYS)
            for pair, version in zip(pairs, known, strict=True)
        ],
    )
    return [
        Level(*pair, now.free, now.held, now.allocated, now.picked, now.on_hand, version)
        for pair, version, now in zip(pairs, known, found, strict=True)
    ]
