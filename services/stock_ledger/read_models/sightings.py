"""When somebody last saw the goods themselves: a count, an image, a receipt.

Answers    the confidence of every promise
Fed by     the entries
Staleness  milliseconds
"""

from collections.abc import Sequence
from typing import Any

from services.kernel.application.work import Sql
from services.kernel.domain.messages import Recorded
from services.kernel.read_models.read_model import ReadModel
from services.stock_ledger.domain.entry import Cause, EntryPosted
from services.stock_ledger.domain.stock_item import site_and_sku

_SEEN = frozenset(
    {
        *(Cause.COUNT.value, Cause.STOCKTAKE.value, Cause.IMAGE.value),
        *(Cause.GOODS_RECEIPT.value, Cause.TRANSFER_RECEIVED.value),
    }
)


async def project(batch: Sequence[Recorded[Any]], sql: Sql) -> None:
    """Keep the last sighting of every pair, by when it happened."""
    seen: dict[str, tuple[Any, ...]] = {}
    for recorded in batch:
        event = recorded.event
        if isinstance(event, EntryPosted) and event.cause in _SEEN:
            before = seen.get(recorded.stream)
            at = max(event.occurred_at, before[3]) if before else event.occurred_at
            place = (recorded.tenant, *site_and_sku(recorded.key))
            seen[recorded.stream] = (*place, at, recorded.version)
    if not seen:
        return
    await sql.execute(
        "INSERT INTO sighting AS t (tenant, site_id, sku, seen_at, version) SELECT * FROM"
        " unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::int[])"
        " ON CONFLICT (tenant, site_id, sku) DO UPDATE SET"
        " seen_at = greatest(t.seen_at, excluded.seen_at), version = excluded.version"
        " WHERE excluded.version > t.version",
        *(list(column) for column in zip(*sorted(seen.values()), strict=True)),
    )


SIGHTINGS = ReadModel("sightings", ("sighting",), project)
