"""What is free where: one row per product and site.

Answers    GetAvailability, GetSkuAvailability, GetBasketAvailability, ListSiteStock
Fed by     the entries; each carries the balance it led to, so the newest one wins
Staleness  milliseconds; a caller that just wrote waits for its version
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any

from services.kernel.application.columns import packed, unnested
from services.kernel.application.work import Sql
from services.kernel.domain.errors import Alternative
from services.kernel.domain.messages import Recorded
from services.kernel.read_models.read_model import ReadModel
from services.stock_ledger.domain.entry import EntryPosted
from services.stock_ledger.domain.reservation_events import Line
from services.stock_ledger.domain.stock_item import site_and_sku

MOST_SITES = 1_000
_MOST_ALTERNATIVES = 20

_COLUMNS = "site_id, sku, free, held, allocated, picked, on_hand, version, updated_at"


@dataclass(frozen=True, slots=True)
class Level:
    """The balance of a product at a site; version 0 and no time when nothing was ever recorded."""

    site_id: str
    sku: str
    free: int = 0
    held: int = 0
    allocated: int = 0
    picked: int = 0
    on_hand: int = 0
    version: int = 0
    updated_at: datetime | None = None


_columns = attrgetter(*_COLUMNS.split(", "))


@dataclass(frozen=True, slots=True)
class Coverage:
    """How far one site covers a basket; missing: what lacks, by product, in base units."""

    site_id: str
    covered_skus: int
    missing: Mapping[str, int]


async def project(batch: Sequence[Recorded[Any]], sql: Sql) -> None:
    """Bring the balances up to date; of several entries of one item only the last is written."""
    newest = {e.stream: e for e in batch if isinstance(e.event, EntryPosted)}
    if not newest:
        return
    rows = [(recorded.tenant, *_columns(level_after(recorded))) for recorded in newest.values()]
    rows.sort(key=lambda row: row[:3])  # one order of locks for every writer
    await sql.execute(
        "INSERT INTO availability AS t (tenant, site_id, sku, free, held, allocated, picked,"
        " on_hand, version, updated_at) SELECT * FROM "
        f"{unnested('text text text bigint bigint bigint bigint bigint int timestamptz')}"
        " ON CONFLICT (tenant, site_id, sku) DO UPDATE SET free = excluded.free,"
        " held = excluded.held, allocated = excluded.allocated, picked = excluded.picked,"
        " on_hand = excluded.on_hand, version = excluded.version,"
        " updated_at = excluded.updated_at WHERE excluded.version > t.version",
        *packed(rows),
    )


AVAILABILITY = ReadModel("availability", ("availability",), project)


def level_after(recorded: Recorded[EntryPosted]) -> Level:
    """Return what the row of an entry's balance says once the entry is projected."""
    after = recorded.event.after
    return Level(
        *site_and_sku(recorded.key),
        *(after.free, after.held, after.allocated, after.picked, after.on_hand),
        *(recorded.version, recorded.recorded_at),
    )


async def of_pair(sql: Sql, tenant: str, site_id: str, sku: str) -> Level:
    """Return one balance: one lookup in one index."""
    row = await sql.fetchrow(
        f"SELECT {_COLUMNS} FROM availability WHERE tenant = $1 AND site_id = $2 AND sku = $3",
        *(tenant, site_id, sku),
    )
    return Level(*row) if row is not None else Level(site_id, sku)


async def of_places(sql: Sql, places: Sequence[tuple[str, str, str]]) -> list[Level]:
    """Return the balance of each (tenant, site, product), in the order asked, in one query."""
    tenants, sites, skus = zip(*places, strict=True)
    rows = await sql.fetch(
        "SELECT tenant, site_id, sku, free, held, allocated, picked, on_hand, version, updated_at"
        " FROM availability JOIN"
        " (SELECT DISTINCT * FROM unnest($1::text[], $2::text[], $3::text[])"
        " AS u (tenant, site_id, sku)) AS asked USING (tenant, site_id, sku)",
        *(list(tenants), list(sites), list(skus)),
    )
    known = {tuple(row[:3]): Level(*row[1:]) for row in rows}
    return [known.get(place) or Level(*place[1:]) for place in places]


async def of_sku(sql: Sql, tenant: str, sku: str, after_site: str, limit: int) -> list[Level]:
    """Return a page of the sites that have a balance of a product, by site."""
    rows = await sql.fetch(
        f"SELECT {_COLUMNS} FROM availability WHERE tenant = $1 AND sku = $2 AND site_id > $3"
        " ORDER BY site_id LIMIT $4",
        *(tenant, sku, after_site, limit),
    )
    return [Level(*row) for row in rows]


async def of_site(sql: Sql, tenant: str, site_id: str, after_sku: str, limit: int) -> list[Level]:
    """Return a page of what a site has a balance of, by product."""
    rows = await sql.fetch(
        f"SELECT {_COLUMNS} FROM availability WHERE tenant = $1 AND site_id = $2 AND sku > $3"
        " ORDER BY sku LIMIT $4",
        *(tenant, site_id, after_sku, limit),
    )
    return [Level(*row) for row in rows]


async def coverage(
    sql: Sql, tenant: str, basket: Mapping[str, int], site_ids: Sequence[str]
) -> list[Coverage]:
    """Return how far each site covers a basket alone.

    Args:
        sql: Where to read.
        tenant: Whose.
        basket: Base units wanted, by product.
        site_ids: Which sites, answered in this order; none means every site that has any of the
            products, best covered first, at most ``MOST_SITES``.
    """
    rows = await sql.fetch(
        "SELECT site_id, array_agg(sku), array_agg(free),"
        " count(*) FILTER (WHERE free >= wanted) AS covered"
        " FROM availability JOIN unnest($2::text[], $3::bigint[]) AS basket (sku, wanted)"
        " USING (sku) WHERE tenant = $1 AND (cardinality($4::text[]) = 0 OR site_id = ANY ($4))"
        " GROUP BY site_id ORDER BY covered DESC, site_id LIMIT $5",
        *(tenant, list(basket), list(basket.values()), list(site_ids), MOST_SITES),
    )
    found = {row[0]: dict(zip(row[1], row[2], strict=True)) for row in rows}
    return [_covers(site_id, basket, found.get(site_id, {})) for site_id in site_ids or found]


async def sites_with(sql: Sql, tenant: str, skus: Sequence[str]) -> list[str]:
    """Return the sites that ever had a balance of any of the products, at most ``MOST_SITES``."""
    rows = await sql.fetch(
        "SELECT DISTINCT site_id FROM availability WHERE tenant = $1 AND sku = ANY ($2)"
        " ORDER BY site_id LIMIT $3",
        *(tenant, list(skus), MOST_SITES),
    )
    return [row[0] for row in rows]


def covered(levels: Sequence[Level], basket: Mapping[str, int]) -> list[Coverage]:
    """Return how far these levels, site by site, cover a basket."""
    free: dict[str, dict[str, int]] = {}
    for level in levels:
        free.setdefault(level.site_id, {})[level.sku] = level.free
    return [_covers(site_id, basket, there) for site_id, there in free.items()]


def _covers(site_id: str, basket: Mapping[str, int], free: Mapping[str, int]) -> Coverage:
    missing = {
        sku: wanted - max(free.get(sku, 0), 0)
        for sku, wanted in basket.items()
        if free.get(sku, 0) < wanted
    }
    return Coverage(site_id, len(basket) - len(missing), missing)


async def alternatives(sql: Sql, tenant: str, wanted: Sequence[Line]) -> list[Alternative]:
    """Return other sites that have what these lines want, most free first."""
    rows = await sql.fetch(
        "SELECT a.site_id, a.sku, a.free FROM availability a"
        " JOIN unnest($2::text[], $3::text[], $4::bigint[]) AS w (site_id, sku, quantity)"
        " ON a.sku = w.sku AND a.site_id <> w.site_id AND a.free >= w.quantity"
        " WHERE a.tenant = $1 ORDER BY a.free DESC, a.site_id, a.sku LIMIT $5",
        *(tenant, [line.site_id for line in wanted], [line.sku for line in wanted]),
        *([line.quantity for line in wanted], _MOST_ALTERNATIVES),
    )
    return [{"site_id": row[0], "sku": row[1], "available": row[2]} for row in rows]
