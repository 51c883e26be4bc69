"""One row per group that a customer collects.

Answers    DeliveryService.ListHandovers, GetHandover
Fed by     this service's own events, in the order of its log
Staleness  milliseconds; GetHandover can wait for the version that a command returned
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, assert_never

from services.delivery.domain.handover import HANDOVER
from services.delivery.domain.handover_events import (
    CameEarly,
    CustomerArrived,
    Event,
    HandedOver,
    HandoverCancelled,
    HandoverExpected,
    HandoverLinesChanged,
    MadeReady,
    WrongCodeGiven,
)
from services.delivery.domain.lines import Line
from services.delivery.read_models import lines_json
from services.kernel.application.work import Sql
from services.kernel.domain.messages import Recorded, category_of
from services.kernel.read_models.read_model import ReadModel

EXPECTED, READY, HANDED_OVER, CANCELLED = "expected", "ready", "handed_over", "cancelled"


@dataclass(frozen=True, slots=True)
class HandoverRow:
    """A handover as the counter sees it."""

    tenant: str
    group_id: str
    order_id: str
    source_site_id: str
    handover_site_id: str
    status: str
    arrived_at: datetime | None
    locked_until: datetime | None
    promised_at: datetime | None
    lines: tuple[Line, ...]
    expected_position: int
    version: int


async def project(batch: Sequence[Recorded[Any]], sql: Sql) -> None:
    """Bring the table up to date with a batch; a repeat changes nothing, versions guard it."""
    own: list[Recorded[Event]] = [
        recorded for recorded in batch if category_of(recorded.stream) == HANDOVER.category
    ]
    if not own:
        return
    rows = await _rows_of({(recorded.tenant, recorded.key) for recorded in own}, sql)
    changed: dict[tuple[str, str], HandoverRow] = {}
    for recorded in own:
        key = recorded.tenant, recorded.key
        row = rows.get(key)
        if row is None and isinstance(recorded.event, HandoverExpected):
            row = _expected(recorded, recorded.event)
        elif row is None or recorded.version <= row.version:
            continue
        else:
            row = replace(_after(recorded.event, row), version=recorded.version)
        rows[key] = changed[key] = row
    await _write(list(changed.values()), sql)


def _expected(recorded: Recorded[Event], event: HandoverExpected) -> HandoverRow:
    return HandoverRow(
        tenant=recorded.tenant,
        group_id=recorded.key,
        order_id=event.order_id,
        source_site_id=event.source_site_id,
        handover_site_id=event.handover_site_id,
        status=READY if event.is_ready else EXPECTED,
        arrived_at=None,
        locked_until=None,
        promised_at=event.promised_at,
        lines=event.lines,
        expected_position=recorded.position,
        version=recorded.version,
    )


def _after(event: Event, row: HandoverRow) -> HandoverRow:  # noqa: PLR0911 - one per event
    match event:
        case HandoverExpected():
            return row  # the row is there already
        case HandoverLinesChanged(lines):
            return replace(row, lines=lines)
        case MadeReady():
            return replace(row, status=READY)
        case CameEarly(at) | CustomerArrived(_, _, at):
            return replace(row, arrived_at=row.arrived_at or at)
        case WrongCodeGiven(_, _, locked_until, _):
            return replace(row, locked_until=locked_until or row.locked_until)
        case HandedOver():
            return replace(row, status=HANDED_OVER)
        case HandoverCancelled():
            return replace(row, status=CANCELLED)
        case _:
            assert_never(event)


_COLUMNS = (
    "h.tenant, h.group_id, h.order_id, h.source_site_id, h.handover_site_id, h.status,"
    " h.arrived_at, h.locked_until, h.promised_at, h.lines::text, h.expected_position, h.version"
)


def _row(values: Sequence[Any]) -> HandoverRow:
    *before, lines, position, version = values
    return HandoverRow(*(*before, lines_json.decode(lines), position, version))


async def _rows_of(keys: set[tuple[str, str]], sql: Sql) -> dict[tuple[str, str], HandoverRow]:
    rows = await sql.fetch(
        f"SELECT {_COLUMNS} FROM handover h"
        " JOIN unnest($1::text[], $2::text[]) AS k (tenant, group_id)"
        " ON h.tenant = k.tenant AND h.group_id = k.group_id",
        [tenant for tenant, _ in keys],
        [group_id for _, group_id in keys],
    )
    return {(row[0], row[1]): _row(row) for row in rows}


async def _write(rows: Sequence[HandoverRow], sql: Sql) -> None:
    if not rows:
        return
    await sql.execute(
        "INSERT INTO handover AS h (tenant, group_id, order_id, source_site_id, handover_site_id,"
        " status, arrived_at, locked_until, promised_at, lines, expected_position, version)"
        " SELECT tenant, group_id, order_id, source_site_id, handover_site_id, status, arrived_at,"
        " locked_until, promised_at, lines::jsonb, expected_position, version"
        " FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],"
        " $7::timestamptz[], $8::timestamptz[], $9::timestamptz[], $10::text[], $11::bigint[],"
        " $12::bigint[]) AS r (tenant, group_id, order_id, source_site_id, handover_site_id,"
        " status, arrived_at, locked_until, promised_at, lines, expected_position, version)"
        " ON CONFLICT (tenant, group_id) DO UPDATE SET status = excluded.status,"
        " arrived_at = excluded.arrived_at, locked_until = excluded.locked_until,"
        " lines = excluded.lines, version = excluded.version"
        " WHERE excluded.version > h.version",
        [row.tenant for row in rows],
        [row.group_id for row in rows],
        [row.order_id for row in rows],
        [row.source_site_id for row in rows],
        [row.handover_site_id for row in rows],
        [row.status for row in rows],
        [row.arrived_at for row in rows],
        [row.locked_until for row in rows],
        [row.promised_at for row in rows],
        [lines_json.encode(row.lines) for row in rows],
        [row.expected_position for row in rows],
        [row.version for row in rows],
    )


HANDOVERS = ReadModel("handovers", ("handover",), project)


async def of_site(
    sql: Sql, *, tenant: str, site_id: str, status: str, after_position: int, limit: int
) -> list[HandoverRow]:
    """Return handovers of a site, oldest first, after ``after_position``; '' is any status.

    What was made ready for a carrier and waits for him now is none of the counter's.
    """
    rows = await sql.fetch(
        f"SELECT {_COLUMNS} FROM handover h"
        " WHERE h.tenant = $1 AND h.handover_site_id = $2 AND h.expected_position > $3"
        " AND NOT EXISTS (SELECT FROM shipment s"
        " WHERE s.tenant = h.tenant AND s.group_id = h.group_id)"
        f"{' AND h.status = $5' if status else ''} ORDER BY h.expected_position LIMIT $4",
        *(tenant, site_id, after_position, limit),
        *((status,) if status else ()),
    )
    return [_row(row) for row in rows]


async def of_id(sql: Sql, *, tenant: str, group_id: str) -> HandoverRow | None:
    """Return one handover, or ``None``."""
    row = await sql.fetchrow(
        f"SELECT {_COLUMNS} FROM handover h WHERE h.tenant = $1 AND h.group_id = $2",
        *(tenant, group_id),
    )
    return None if row is None else _row(row)
