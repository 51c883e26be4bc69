"""Rows of feeds that could not be posted, so that somebody mends them at their source.

Answers    ListQuarantinedRows
Fed by     the calls that refused them, in the same transaction as what they posted
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.kernel.application.work import Sql


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """A row that was not posted: where it stood, what it said, why not, and how to mend it.

    The part tells it from others of the same line: the call's id where rows have no lines, else
    which of its line it is.
    """

    source: str
    line: int
    kind: str
    site_id: str
    sku: str
    source_id: str
    quantity: int
    reason: str
    detail: str
    remedy: str
    recorded_at: datetime
    part: str = "1"


async def keep(sql: Sql, tenant: str, rows: Sequence[QuarantinedRow]) -> None:
    """Keep rows; the same line again replaces what was known of it."""
    distinct = {(row.source, row.line, row.kind, row.part): row for row in rows}
    kept = [distinct[place] for place in sorted(distinct)]
    await sql.execute(
        "INSERT INTO quarantined_row (tenant, source, line, kind, site_id, sku, source_id,"
        " quantity, reason, detail, remedy, recorded_at, part) SELECT $1, * FROM unnest($2::text[],"
        " $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[],"
        " $9::text[], $10::text[], $11::text[], $12::timestamptz[], $13::text[])"
        " ON CONFLICT (tenant, source, line, kind, part) DO UPDATE SET site_id = excluded.site_id,"
        " sku = excluded.sku, source_id = excluded.source_id, quantity = excluded.quantity,"
        " reason = excluded.reason, detail = excluded.detail, remedy = excluded.remedy,"
        " recorded_at = excluded.recorded_at",
        tenant,
        [row.source for row in kept],
        [row.line for row in kept],
        [row.kind for row in kept],
        [row.site_id for row in kept],
        [row.sku for row in kept],
        [row.source_id for row in kept],
        [row.quantity for row in kept],
        [row.reason for row in kept],
        [row.detail for row in kept],
        [row.remedy for row in kept],
        [row.recorded_at for row in kept],
        [row.part for row in kept],
    )


async def page(
    sql: Sql, tenant: str, source: str, after: tuple[str, int, str, str], limit: int
) -> list[QuarantinedRow]:
    """Return rows after one, by source and line; of one source, or of all when it is empty."""
    rows = await sql.fetch(
        "SELECT source, line, kind, site_id, sku, source_id, quantity, reason, detail, remedy,"
        " recorded_at, part FROM quarantined_row WHERE tenant = $1 AND ($2 = '' OR source = $2)"
        " AND (source, line, kind, part) > ($3, $4, $5, $6)"
        " ORDER BY source, line, kind, part LIMIT $7",
        *(tenant, source, *after, limit),
    )
    return [QuarantinedRow(*row) for row in rows]
