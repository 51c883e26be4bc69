"""Books that are wrong: what is to be counted.

Answers    ListDiscrepancies
Fed by     the discrepancies' own events; the entry of a count or an image settles the question
Staleness  milliseconds
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.kernel.application.work import Sql
from services.kernel.domain.messages import Recorded
from services.kernel.read_models.read_model import ReadModel
from services.stock_ledger.domain.discrepancy import DiscrepancyClosed, DiscrepancyOpened
from services.stock_ledger.domain.entry import EntryPosted
from services.stock_ledger.domain.stock_item import site_and_sku

_TOLD = (DiscrepancyOpened, DiscrepancyClosed, EntryPosted)
_SEEN = frozenset({"count", "stocktake", "image"})


@dataclass(frozen=True, slots=True)
class DiscrepancyRow:
    """A question to the shelf.

    Attributes:
        missing: Base units below zero when it opened.
        cause: Of the entry that opened it.
        closed_at: When free was no longer below zero; nothing while it is.
        counted_at: When the ledger heard that somebody counted, or of an image, of since then;
            what opened the question may have been one.
    """

    site_id: str
    sku: str
    missing: int
    cause: str
    opened_at: datetime
    closed_at: datetime | None
    counted_at: datetime | None


async def project(batch: Sequence[Recorded[Any]], sql: Sql) -> None:
    """Keep the newest question of every pair."""
    opened: dict[str, tuple[Any, ...]] = {}
    closed: dict[str, tuple[Any, ...]] = {}
    counted: dict[tuple[str, str, str], list[tuple[datetime, datetime]]] = {}
    for recorded in batch:
        event = recorded.event
        if not isinstance(event, _TOLD):
            continue  # most events; their keys need not be taken apart
        place = (recorded.tenant, *site_and_sku(recorded.key))
        match event:
            case DiscrepancyOpened():
                at = recorded.recorded_at
                opened[recorded.stream] = (
                    *(*place, event.missing, event.cause, at, recorded.version),
                    *(event.occurred_at, at if event.cause in _SEEN else None),
                )
                counted.pop(place, None)  # they answered the question before
            case DiscrepancyClosed():
                closed[recorded.stream] = (*place, recorded.recorded_at, recorded.version)
            case EntryPosted() if event.cause in _SEEN:
                seen = counted.setdefault(place, [])
                seen.append((recorded.recorded_at, event.occurred_at))
            case _:
                pass  # asks and answers nothing
    if opened:
        await sql.execute(
            "INSERT INTO discrepancy AS t (tenant, site_id, sku, missing, cause, opened_at,"
            " version, occurred_at, counted_at) SELECT * FROM unnest($1::text[], $2::text[],"
            " $3::text[], $4::bigint[], $5::text[], $6::timestamptz[], $7::int[],"
            " $8::timestamptz[], $9::timestamptz[])"
            " ON CONFLICT (tenant, site_id, sku)"
            " DO UPDATE SET missing = excluded.missing, cause = excluded.cause,"
            " opened_at = excluded.opened_at, closed_at = NULL,"
            " counted_at = excluded.counted_at,"
            " version = excluded.version, occurred_at = excluded.occurred_at"
            " WHERE excluded.version > t.version",
            *_columns(opened.values()),
        )
    if closed:
        await sql.execute(
            "UPDATE discrepancy t SET closed_at = c.at, version = c.version"
            " FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::int[])"
            " AS c (tenant, site_id, sku, at, version) WHERE t.tenant = c.tenant"
            " AND t.site_id = c.site_id AND t.sku = c.sku AND t.version < c.version",
            *_columns(closed.values()),
        )
    if counted:
        await sql.execute(
            # An image of before it happened says nothing of it, however late it is applied.
            "UPDATE discrepancy t SET counted_at = c.at"
            " FROM (SELECT tenant, site_id, sku, max(c.at) AS at FROM discrepancy d"
            "  JOIN unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[],"
            "   $5::timestamptz[]) AS c (tenant, site_id, sku, at, occurred_at)"
            "  USING (tenant, site_id, sku)"
            "  WHERE d.opened_at <= c.at AND d.occurred_at <= c.occurred_at"
            "  GROUP BY tenant, site_id, sku) AS c"
            " WHERE t.tenant = c.tenant AND t.site_id = c.site_id AND t.sku = c.sku",
            *_columns((*place, *one) for place, seen in counted.items() for one in seen),
        )


def _columns(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    """Return the columns of these rows, in the order of the primary key."""
    return [list(column) for column in zip(*sorted(rows), strict=True)]


DISCREPANCIES = ReadModel("discrepancies", ("discrepancy",), project)


async def to_count(
    sql: Sql, tenant: str, site_id: str, after: str, limit: int
) -> list[DiscrepancyRow]:
    """Return what is still to be counted at a site, by product, after one."""
    rows = await sql.fetch(
        "SELECT site_id, sku, missing, cause, opened_at, closed_at, counted_at FROM discrepancy"
        " WHERE tenant = $1 AND site_id = $2 AND sku > $3 AND counted_at IS NULL"
        " ORDER BY sku LIMIT $4",
        *(tenant, site_id, after, limit),
    )
    return [DiscrepancyRow(*row) for row in rows]


async def unexplained(sql: Sql, limit: int) -> list[str]:
    """Return pairs whose free is below zero without a discrepancy, and the other way round."""
    rows = await sql.fetch(
        "SELECT a.tenant, a.site_id, a.sku, a.free FROM availability a LEFT JOIN discrepancy d"
        " ON d.tenant = a.tenant AND d.site_id = a.site_id AND d.sku = a.sku"
        " AND d.closed_at IS NULL WHERE (a.free < 0) <> (d.sku IS NOT NULL)"
        " ORDER BY a.tenant, a.site_id, a.sku LIMIT $1",
        limit,
    )
    return [
        f"I2 {tenant}/stock-{site_id}|{sku}: free is {free},"
        f" a discrepancy is {'not ' if free < 0 else ''}open"
        for tenant, site_id, sku, free in rows
    ]
