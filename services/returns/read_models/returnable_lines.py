"""What of an order may still come back.

Answers    ReturnsService.GetReturnable
Fed by     this service's own events, which hold the totals, so that no row is a running sum
Staleness  seconds; opening a case does not read it, it asks the stream
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never

from services.kernel.application.work import Sql
from services.kernel.domain.messages import Recorded, category_of
from services.kernel.read_models.read_model import ReadModel
from services.returns.domain.returnable import RETURNABLE
from services.returns.domain.returnable_events import (
    Captured,
    ClaimedPart,
    GroupDelivered,
    Refunded,
    ReleasedPart,
    UnitsClaimed,
    UnitsReleased,
)


@dataclass(slots=True)
class _OrderRow:
    """The newest known of each column in a batch; None where the batch says nothing."""

    currency: str | None = None
    captured_minor: int | None = None
    refunded_minor: int | None = None
    delivered_at: datetime | None = None
    version: int = 0


@dataclass(frozen=True, slots=True)
class ShownLine:
    line_id: str
    sku: str
    delivered: int
    returnable: int
    net_minor: int


@dataclass(frozen=True, slots=True)
class ShownOrder:
    currency: str
    captured_minor: int
    refunded_minor: int
    delivered_at: datetime | None
    lines: tuple[ShownLine, ...]


async def project(batch: Sequence[Recorded[Any]], sql: Sql) -> None:
    """Gather the rows of a batch and write each table with one statement."""
    orders: dict[tuple[str, str], _OrderRow] = {}
    delivered: dict[tuple[str, str, str, str], tuple[str, int, int, int]] = {}
    claimed: dict[tuple[str, str, str, str], tuple[int, int]] = {}
    for recorded in batch:
        if category_of(recorded.stream) != RETURNABLE.category:
            continue
        tenant, order_id, event = recorded.tenant, recorded.key, recorded.event
        row = orders.setdefault((tenant, order_id), _OrderRow())
        row.version = recorded.version
        match event:
            case GroupDelivered():
                row.currency, row.delivered_at = event.currency, event.delivered_at
                for part in event.parts:
                    delivered[tenant, order_id, part.line_id, event.group_id] = (
                        part.sku,
                        part.quantity,
                        part.net_minor,
                        recorded.version,
                    )
            case Captured():
                row.captured_minor = event.captured_minor
            case UnitsClaimed() | UnitsReleased():
                for changed in event.parts:
                    key = (tenant, order_id, changed.line_id, changed.group_id)
                    claimed[key] = (_claimed_after(changed), recorded.version)
            case Refunded():
                row.refunded_minor = event.refunded_minor
            case _:
                assert_never(event)
    await _write_orders(orders, sql)
    await _write_lines(delivered, claimed, sql)


def _claimed_after(part: ClaimedPart | ReleasedPart) -> int:
    match part:
        case ClaimedPart():
            return part.claimed or part.start + part.quantity
        case ReleasedPart():
            return part.claimed


async def _write_orders(orders: dict[tuple[str, str], _OrderRow], sql: Sql) -> None:
    if not orders:
        return
    rows = orders.values()
    await sql.execute(
        "INSERT INTO returnable_order AS t (tenant, order_id, currency, captured_minor,"
        " refunded_minor, delivered_at, version)"
        " SELECT n.tenant, n.order_id, coalesce(n.currency, ''), coalesce(n.captured, 0),"
        " coalesce(n.refunded, 0), n.delivered_at, n.version"
        " FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[],"
        " $6::timestamptz[], $7::bigint[])"
        " AS n (tenant, order_id, currency, captured, refunded, delivered_at, version)"
        " ON CONFLICT (tenant, order_id) DO UPDATE SET"
        " currency = coalesce(nullif(excluded.currency, ''), t.currency),"
        # Totals only ever grow, so the larger is the newer one.
        " captured_minor = greatest(excluded.captured_minor, t.captured_minor),"
        " refunded_minor = greatest(excluded.refunded_minor, t.refunded_minor),"
        " delivered_at = greatest(excluded.delivered_at, t.delivered_at),"
        " version = excluded.version WHERE excluded.version > t.version",
        [tenant for tenant, _ in orders],
        [order_id for _, order_id in orders],
        [row.currency for row in rows],
        [row.captured_minor for row in rows],
        [row.refunded_minor for row in rows],
        [row.delivered_at for row in rows],
        [row.version for row in rows],
    )


async def _write_lines(
    delivered: dict[tuple[str, str, str, str], tuple[str, int, int, int]],
    claimed: dict[tuple[str, str, str, str], tuple[int, int]],
    sql: Sql,
) -> None:
    if delivered:
        await sql.execute(
            "INSERT INTO returnable_line (tenant, order_id, line_id, group_id, sku, delivered,"
            " net_minor, version, claimed)"
            " SELECT n.*, 0 FROM unnest($1::text[], $2::text[], $3::text[], $4::text[],"
            " $5::text[], $6::bigint[], $7::bigint[], $8::bigint[]) AS n"
            " ON CONFLICT (tenant, order_id, line_id, group_id) DO NOTHING",
            *_columns([(*key, *row) for key, row in delivered.items()]),
        )
    if claimed:
        await sql.execute(
            "UPDATE returnable_line t SET claimed = n.claimed, version = n.version"
            " FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[],"
            " $6::bigint[]) AS n (tenant, order_id, line_id, group_id, claimed, version)"
            " WHERE t.tenant = n.tenant AND t.order_id = n.order_id AND t.line_id = n.line_id"
            " AND t.group_id = n.group_id AND n.version > t.version",
            *_columns([(*key, *row) for key, row in claimed.items()]),
        )


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


async def of_order(tenant: str, order_id: str, sql: Sql) -> ShownOrder | None:
    """Return what of an order may come back; nothing when nothing of it was delivered."""
    order = await sql.fetchrow(
        "SELECT currency, captured_minor, refunded_minor, delivered_at FROM returnable_order"
        " WHERE tenant = $1 AND order_id = $2 AND delivered_at IS NOT NULL",
        tenant,
        order_id,
    )
    if order is None:
        return None
    lines = await sql.fetch(
        "SELECT line_id, min(sku) AS sku, sum(delivered)::bigint AS delivered,"
        " sum(delivered - claimed)::bigint AS returnable, sum(net_minor)::bigint AS net_minor"
        " FROM returnable_line WHERE tenant = $1 AND order_id = $2"
        " GROUP BY line_id ORDER BY line_id",
        tenant,
        order_id,
    )
    return ShownOrder(**dict(order), lines=tuple(ShownLine(**dict(line)) for line in lines))


RETURNABLE_LINES = ReadModel("returnable_lines", ("returnable_order", "returnable_line"), project)
