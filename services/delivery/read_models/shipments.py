"""One row per group that a carrier takes.

Answers    DeliveryService.ListShipments
Fed by     this service's own events, in the order of its log
Staleness  milliseconds
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, assert_never

from services.delivery.domain.lines import Line
from services.delivery.domain.shipment import (
    SHIPMENT,
    Delivered,
    Event,
    HandedToCarrier,
    ShipmentCancelled,
    ShipmentExpected,
    ShipmentLinesChanged,
)
from services.delivery.read_models import lines_json
from services.kernel.application.work import Sql
from services.kernel.domain.messages import Recorded, category_of
from services.kernel.read_models.read_model import ReadModel

EXPECTED, HANDED_TO_CARRIER = "expected", "handed_to_carrier"
DELIVERED, CANCELLED = "delivered", "cancelled"


@dataclass(frozen=True, slots=True)
class ShipmentRow:
    """A shipment as the carrier's desk sees it."""

    tenant: str
    group_id: str
    order_id: str
    source_site_id: str
    status: str
    carrier_id: str
    tracking_reference: str
    promised_at: datetime | None
    lines: tuple[Line, ...]
    expected_position: int
    version: int


async def project(batch: Sequence[Recorded[Any]], sql: Sql) -> None:
    """Bring the table up to date with a batch; a repeat changes nothing, versions guard it."""
    own: list[Recorded[Event]] = [
        recorded for recorded in batch if category_of(recorded.stream) == SHIPMENT.category
    ]
    if not own:
        return
    rows = await _rows_of({(recorded.tenant, recorded.key) for recorded in own}, sql)
    changed: dict[tuple[str, str], ShipmentRow] = {}
    for recorded in own:
        key = recorded.tenant, recorded.key
        row = rows.get(key)
        if row is None and isinstance(recorded.event, ShipmentExpected):
            row = _expected(recorded, recorded.event)
        elif row is None or recorded.version <= row.version:
            continue
        else:
            row = replace(_after(recorded.event, row), version=recorded.version)
        rows[key] = changed[key] = row
    await _write(list(changed.values()), sql)


def _expected(recorded: Recorded[Event], event: ShipmentExpected) -> ShipmentRow:
    return ShipmentRow(
        tenant=recorded.tenant,
        group_id=recorded.key,
        order_id=event.order_id,
        source_site_id=event.source_site_id,
        status=EXPECTED,
        carrier_id="",
        tracking_reference="",
        promised_at=event.promised_at,
        lines=event.lines,
        expected_position=recorded.position,
        version=recorded.version,
    )


def _after(event: Event, row: ShipmentRow) -> ShipmentRow:
    match event:
        case ShipmentExpected():
            return row  # the row is there already
        case ShipmentLinesChanged(lines):
            return replace(row, lines=lines)
        case HandedToCarrier(_, _, carrier_id, tracking_reference, _):
            return replace(
                row,
                status=HANDED_TO_CARRIER,
                carrier_id=carrier_id,
                tracking_reference=tracking_reference,
            )
        case Delivered():
            return replace(row, status=DELIVERED)
        case ShipmentCancelled():
            return replace(row, status=CANCELLED)
        case _:
            assert_never(event)


_COLUMNS = (
    "s.tenant, s.group_id, s.order_id, s.source_site_id, s.status, s.carrier_id,"
    " s.tracking_reference, s.promised_at, s.lines::text, s.expected_position, s.version"
)


def _row(values: Sequence[Any]) -> ShipmentRow:
    *before, lines, position, version = values
    return ShipmentRow(*(*before, lines_json.decode(lines), position, version))


async def _rows_of(keys: set[tuple[str, str]], sql: Sql) -> dict[tuple[str, str], ShipmentRow]:
    rows = await sql.fetch(
        f"SELECT {_COLUMNS} FROM shipment s"
        " JOIN unnest($1::text[], $2::text[]) AS k (tenant, group_id)"
        " ON s.tenant = k.tenant AND s.group_id = k.group_id",
        [tenant for tenant, _ in keys],
        [group_id for _, group_id in keys],
    )
    return {(row[0], row[1]): _row(row) for row in rows}


async def _write(rows: Sequence[ShipmentRow], sql: Sql) -> None:
    if not rows:
        return
    await sql.execute(
        "INSERT INTO shipment AS s (tenant, group_id, order_id, source_site_id, status,"
        " carrier_id, tracking_reference, promised_at, lines, expected_position, version)"
        " SELECT tenant, group_id, order_id, source_site_id, status, carrier_id,"
        " tracking_reference, promised_at, lines::jsonb, expected_position, version"
        " FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],"
        " $7::text[], $8::timestamptz[], $9::text[], $10::bigint[], $11::bigint[])"
        " AS r (tenant, group_id, order_id, source_site_id, status, carrier_id,"
        " tracking_reference, promised_at, lines, expected_position, version)"
        " ON CONFLICT (tenant, group_id) DO UPDATE SET status = excluded.status,"
        " carrier_id = excluded.carrier_id, tracking_reference = excluded.tracking_reference,"
        " lines = excluded.lines, version = excluded.version"
        " WHERE excluded.version > s.version",
        [row.tenant for row in rows],
        [row.group_id for row in rows],
        [row.order_id for row in rows],
        [row.source_site_id for row in rows],
        [row.status for row in rows],
        [row.carrier_id for row in rows],
        [row.tracking_reference for row in rows],
        [row.promised_at for row in rows],
        [lines_json.encode(row.lines) for row in rows],
        [row.expected_position for row in rows],
        [row.version for row in rows],
    )


SHIPMENTS = ReadModel("shipments", ("shipment",), project)


async def of_site(
    sql: Sql, *, tenant: str, site_id: str, status: str, after_position: int, limit: int
) -> list[ShipmentRow]:
    """Return shipments of a site, oldest first, after ``after_position``; '' is any status."""
    rows = await sql.fetch(
        f"SELECT {_COLUMNS} FROM shipment s"
        " WHERE s.tenant = $1 AND s.source_site_id = $2 AND s.expected_position > $3"
        f"{' AND s.status = $5' if status else ''} ORDER BY s.expected_position LIMIT $4",
        *(tenant, site_id, after_position, limit),
        *((status,) if status else ()),
    )
    return [_row(row) for row in rows]
