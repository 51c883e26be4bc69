"""The ledger, page by page: every entry of one product at one site.

Answers    ListEntries; where something was picked for an order
Fed by     the entries; written once, never changed
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.kernel.application.columns import packed, unnested
from services.kernel.application.work import Sql
from services.kernel.domain.messages import Recorded
from services.kernel.read_models.read_model import ReadModel
from services.stock_ledger.domain.entry import Cause, EntryPosted
from services.stock_ledger.domain.stock_item import site_and_sku

_ENTRY = "text text text int text text text text text timestamptz timestamptz bigint bigint"

_PICKED = [Cause.PICK.value, Cause.HANDOVER.value, Cause.SHIPMENT.value]


@dataclass(frozen=True, slots=True)
class EntryRow:
    """An entry as the ledger page shows it; accounts and quantities belong together by place."""

    version: int
    cause: str
    accounts: Sequence[str]
    quantities: Sequence[int]
    source_id: str
    reservation_id: str
    occurred_at: datetime
    recorded_at: datetime
    free_after: int
    on_hand_after: int


async def project(batch: Sequence[Recorded[Any]], sql: Sql) -> None:
    """Write the entries of a batch.

    Arrays of arrays do not survive ``unnest``, so the two sides of an entry travel as one text
    each and are split by the database; account names hold no comma.
    """
    rows = []
    for recorded in batch:
        entry = recorded.event
        if not isinstance(entry, EntryPosted):
            continue
        rows.append(
            (
                *(recorded.tenant, *site_and_sku(recorded.key), recorded.version, entry.cause),
                ",".join([posting.account for posting in entry.postings]),
                ",".join([str(posting.quantity) for posting in entry.postings]),
                *(entry.source_id, entry.reservation_id, entry.occurred_at, recorded.recorded_at),
                *(entry.after.free, entry.after.on_hand),
            )
        )
    if not rows:
        return
    await sql.execute(
        "INSERT INTO stock_entry (tenant, site_id, sku, version, cause, accounts, quantities,"
        " source_id, reservation_id, occurred_at, recorded_at, free_after, on_hand_after)"
        " SELECT tenant, site_id, sku, version, cause, string_to_array(accounts, ','),"
        " string_to_array(quantities, ',')::bigint[], source_id, reservation_id, occurred_at,"
        " recorded_at, free_after, on_hand_after"
        f" FROM {unnested(_ENTRY)} AS e (tenant, site_id, sku, version, cause, accounts,"
        " quantities, source_id, reservation_id, occurred_at, recorded_at, free_after,"
        " on_hand_after) ON CONFLICT DO NOTHING",
        *packed(rows),
    )


ENTRIES = ReadModel("stock_entries", ("stock_entry",), project)


async def page(
    sql: Sql,
    tenant: str,
    site_id: str,
    sku: str,
    before_version: int,
    limit: int,
    known_at: datetime | None = None,
) -> list[EntryRow]:
    """Return the entries below a version that were recorded by then, newest first."""
    rows = await sql.fetch(
        "SELECT version, cause, accounts, quantities, source_id, reservation_id, occurred_at,"
        " recorded_at, free_after, on_hand_after FROM stock_entry"
        " WHERE tenant = $1 AND site_id = $2 AND sku = $3 AND version < $4"
        " AND ($6::timestamptz IS NULL OR recorded_at <= $6)"
        " ORDER BY version DESC LIMIT $5",
        *(tenant, site_id, sku, before_version, limit, known_at),
    )
    return [EntryRow(*row) for row in rows]


async def picked_for(
    sql: Sql, tenant: str, order_id: str, places: Sequence[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Return at which of these sites which product was picked or handed over for an order."""
    rows = await sql.fetch(
        "SELECT DISTINCT site_id, sku FROM stock_entry JOIN unnest($3::text[], $4::text[])"
        " AS u (site_id, sku) USING (site_id, sku) WHERE tenant = $1 AND reservation_id = $2"
        " AND cause = ANY($5)",
        *(tenant, order_id, [site_id for site_id, _ in places], [sku for _, sku in places]),
        _PICKED,
    )
    return {(row[0], row[1]) for row in rows}
