"""Products with their sites, for people who look at stock, and how it went for thirty days.

Answers    GetStockBoard
Fed by     the entries: the balance that each day ended with; the rest is read with the promises
Staleness  milliseconds
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from services.kernel.application.work import Sql
from services.kernel.domain.messages import Recorded
from services.kernel.read_models.read_model import ReadModel
from services.stock_ledger.domain.entry import EntryPosted
from services.stock_ledger.domain.stock_item import site_and_sku
from services.stock_ledger.read_models import promises
from services.stock_ledger.read_models.promises import Promise

DAYS = 30
MOST_SITES = 50


@dataclass(frozen=True, slots=True)
class BoardRow:
    """A product at a site; on hand at the end of each day, oldest first, the last one today."""

    promise: Promise
    on_hand_by_day: Sequence[int]


@dataclass(frozen=True, slots=True)
class BoardProduct:
    sku: str
    name: str
    rows: Sequence[BoardRow]


async def project(batch: Sequence[Recorded[Any]], sql: Sql) -> None:
    """Keep the last balance of each day; a day is that of the recording, in UTC."""
    newest = {
        (e.stream, e.recorded_at.date()): e for e in batch if isinstance(e.event, EntryPosted)
    }
    if not newest:
        return
    rows = [
        (e.tenant, *site_and_sku(e.key), day, e.event.after.on_hand, e.version)
        for (_, day), e in newest.items()
    ]
    await sql.execute(
        "INSERT INTO daily_level AS t (tenant, site_id, sku, day, on_hand, version) SELECT * FROM"
        " unnest($1::text[], $2::text[], $3::text[], $4::date[], $5::bigint[], $6::int[])"
        " ON CONFLICT (tenant, site_id, sku, day) DO UPDATE SET on_hand = excluded.on_hand,"
        " version = excluded.version WHERE excluded.version > t.version",
        *(list(column) for column in zip(*sorted(rows), strict=True)),
    )


DAILY_LEVELS = ReadModel("daily_levels", ("daily_level",), project)


async def page(
    sql: Sql, tenant: str, text: str, site_id: str, after_sku: str, now: datetime, limit: int
) -> list[BoardProduct]:
    """Return a page of products, by sku.

    Args:
        sql: Where to read.
        tenant: Whose.
        text: Sku begins with it, or a name, in any language, holds it; empty means all.
        site_id: Only this site; empty means all.
        after_sku: Last product of the page before.
        now: Which day is today.
        limit: Most products.
    """
    found = await sql.fetch(
        "SELECT DISTINCT a.sku, coalesce(p.name, '') FROM availability a"
        " LEFT JOIN known_product p ON (p.tenant, p.sku) = (a.tenant, a.sku)"
        " WHERE a.tenant = $1 AND a.sku > $2 AND ($3 = '' OR a.site_id = $3)"
        " AND ($4 = '' OR starts_with(a.sku, $4) OR EXISTS (SELECT FROM"
        " unnest(p.name || p.translations) AS name WHERE strpos(lower(name), lower($4)) > 0))"
        " ORDER BY a.sku LIMIT $5",
        *(tenant, after_sku, site_id, text, limit),
    )
    names: dict[str, str] = {row[0]: row[1] for row in found}
    places = await sql.fetch(
        "SELECT site_id, sku FROM (SELECT site_id, sku, row_number() OVER"
        " (PARTITION BY sku ORDER BY on_hand DESC, site_id) AS place FROM availability"
        " WHERE tenant = $1 AND sku = ANY($2) AND ($3 = '' OR site_id = $3)) AS s"
        " WHERE place <= $4 ORDER BY sku, place",
        *(tenant, list(names), site_id, MOST_SITES),
    )
    pairs = [(row[0], row[1]) for row in places]
    promised = await promises.of_pairs(sql, tenant, pairs, "", now, now + timedelta(days=DAYS))
    by_day = await _by_day(sql, tenant, pairs, now.date())
    rows: dict[str, list[BoardRow]] = {sku: [] for sku in names}
    for one in promised:
        rows[one.sku].append(BoardRow(one, by_day[one.site_id, one.sku]))
    return [BoardProduct(sku, name, rows[sku]) for sku, name in names.items()]


async def _by_day(
    sql: Sql, tenant: str, pairs: Sequence[tuple[str, str]], today: date
) -> dict[tuple[str, str], list[int]]:
    """Return the balance that each day ended with; a day without movement ended as it began."""
    first = today - timedelta(days=DAYS - 1)
    rows = await sql.fetch(
        "SELECT a.site_id, a.sku, d.day, d.on_hand"
        " FROM unnest($2::text[], $3::text[]) AS a (site_id, sku) CROSS JOIN LATERAL ("
        " (SELECT day, on_hand FROM daily_level WHERE tenant = $1 AND site_id = a.site_id"
        " AND sku = a.sku AND day < $4 ORDER BY day DESC LIMIT 1)"
        " UNION ALL SELECT day, on_hand FROM daily_level WHERE tenant = $1"
        " AND site_id = a.site_id AND sku = a.sku AND day BETWEEN $4 AND $5) AS d"
        " ORDER BY a.site_id, a.sku, d.day",
        *(tenant, [site for site, _ in pairs], [sku for _, sku in pairs], first, today),
    )
    levels = {pair: [0] * DAYS for pair in pairs}
    for site_id, sku, day, on_hand in rows:
        since = max((day - first).days, 0)
        levels[site_id, sku][since:] = [on_hand] * (DAYS - since)
    return levels
