"""What is expected to arrive, and what of it has.

Answers    the inbound part of every promise
Fed by     what was told of deliveries; receipts and losses with the same source id take off what
           they bring, whichever is heard first, and so does what arrived of a despatch
Staleness  milliseconds
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from services.kernel.application.work import Sql
from services.kernel.domain.messages import Recorded
from services.kernel.read_models.read_model import ReadModel
from services.stock_ledger.domain.entry import Cause, EntryPosted
from services.stock_ledger.domain.inbound import InboundArrived, InboundExpected
from services.stock_ledger.domain.stock_item import site_and_sku

_RECEIPTS = frozenset(
    {Cause.GOODS_RECEIPT.value, Cause.TRANSFER_RECEIVED.value, Cause.CARRIER_LOSS.value}
)


async def project(batch: Sequence[Recorded[Any]], sql: Sql) -> None:
    """Write what is expected and what came, in the order of the log."""
    for kind, run in groupby(_told(batch), key=lambda one: one[0]):
        rows = [row for _, row in run]
        await _WRITES[kind](rows, sql)


def _told(batch: Sequence[Recorded[Any]]) -> Iterator[tuple[type, tuple[Any, ...]]]:
    for recorded in batch:
        place = (recorded.tenant, *site_and_sku(recorded.key))
        match recorded.event:
            case InboundExpected() as told:
                yield (
                    InboundExpected,
                    (*place, told.source_id, told.quantity, told.due_at, recorded.version),
                )
            case InboundArrived() as came:
                yield (
                    InboundArrived,
                    (*place, came.source_id, came.total, recorded.recorded_at, recorded.version),
                )
            case EntryPosted() as entry if entry.cause in _RECEIPTS:
                if entry.source_id:
                    yield EntryPosted, (*place, entry.source_id, entry.quantity)
                for report in entry.reports:
                    yield EntryPosted, (*place, report.source_id, report.quantity)
            case _:
                pass  # nothing comes by it


async def _expect(rows: Sequence[tuple[Any, ...]], sql: Sql) -> None:
    newest = {row[:4]: row for row in rows}
    await sql.execute(
        "INSERT INTO inbound (tenant, site_id, sku, source_id, quantity, received, due_at, version)"
        " SELECT tenant, site_id, sku, source_id, quantity, coalesce(u.received, 0), due_at,"
        " version FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[],"
        " $6::timestamptz[], $7::int[])"
        " AS e (tenant, site_id, sku, source_id, quantity, due_at, version)"
        " LEFT JOIN unannounced_receipt AS u USING (tenant, site_id, sku, source_id)"
        " ON CONFLICT (tenant, site_id, sku, source_id) DO UPDATE SET"
        " quantity = excluded.quantity, due_at = excluded.due_at, version = excluded.version",
        *(list(column) for column in zip(*newest.values(), strict=True)),
    )


async def _receive(rows: Sequence[tuple[Any, ...]], sql: Sql) -> None:
    """Take off what was announced; remember what was not, for it may be yet."""
    await sql.execute(
        "WITH r AS ("
        " SELECT tenant, site_id, sku, source_id, sum(quantity)::bigint AS quantity"
        " FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])"
        " AS u (tenant, site_id, sku, source_id, quantity) GROUP BY 1, 2, 3, 4),"
        " told AS (UPDATE inbound AS t SET received = t.received + r.quantity FROM r"
        " WHERE (t.tenant, t.site_id, t.sku, t.source_id)"
        " = (r.tenant, r.site_id, r.sku, r.source_id)"
        " RETURNING t.tenant, t.site_id, t.sku, t.source_id)"
        " INSERT INTO unannounced_receipt AS t (tenant, site_id, sku, source_id, received)"
        " SELECT tenant, site_id, sku, source_id, quantity FROM r"
        " WHERE (tenant, site_id, sku, source_id) NOT IN (SELECT * FROM told)"
        " ON CONFLICT (tenant, site_id, sku, source_id)"
        " DO UPDATE SET received = t.received + excluded.received",
        *(list(column) for column in zip(*rows, strict=True)),
    )


async def _arrive(rows: Sequence[tuple[Any, ...]], sql: Sql) -> None:
    """Note what came of despatches, also of those that nobody has announced yet."""
    newest = {row[:4]: row for row in rows}
    await sql.execute(
        "INSERT INTO inbound (tenant, site_id, sku, source_id, quantity, received, arrived,"
        " due_at, version) SELECT tenant, site_id, sku, source_id, 0, coalesce(u.received, 0),"
        " arrived, due_at, version"
        " FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[],"
        " $6::timestamptz[], $7::int[])"
        " AS e (tenant, site_id, sku, source_id, arrived, due_at, version)"
        " LEFT JOIN unannounced_receipt AS u USING (tenant, site_id, sku, source_id)"
        " ON CONFLICT (tenant, site_id, sku, source_id) DO UPDATE SET"
        " arrived = excluded.arrived, version = excluded.version",
        *(list(column) for column in zip(*newest.values(), strict=True)),
    )


_WRITES = {InboundExpected: _expect, InboundArrived: _arrive, EntryPosted: _receive}
INBOUND_EXPECTED = ReadModel("inbound", ("inbound", "unannounced_receipt"), project)
