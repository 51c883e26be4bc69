"""One row per order, as lists show it.

Answers    OrderService.ListOrders
Fed by     this service's own events, in the order of its log
Staleness  milliseconds
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.kernel.application.columns import packed, unnested
from services.kernel.application.work import Sql
from services.kernel.domain.messages import Recorded, category_of
from services.kernel.read_models.read_model import ReadModel
from services.order.domain import order_events

PLACED, ACCEPTED, REFUSED = "placed", "accepted", "refused"
CANCELLED, COMPLETED = "cancelled", "completed"
STATUSES = (PLACED, ACCEPTED, REFUSED, CANCELLED, COMPLETED)

_ROW = "text text text text text text bigint bigint bigint integer timestamptz timestamptz bigint"


@dataclass(frozen=True, slots=True)
class OrderSummary:
    order_id: str
    customer_id: str
    status: str
    reason: str
    currency: str
    total_minor: int
    captured_minor: int
    refunded_minor: int
    line_count: int
    placed_at: datetime
    updated_at: datetime
    version: int


@dataclass(slots=True)
class _Change:
    """What a batch does to one row; None leaves a column as it is."""

    tenant: str
    order_id: str
    updated_at: datetime
    version: int
    placed: order_events.OrderPlaced | None = None
    status: str | None = None
    reason: str | None = None
    captured_minor: int | None = None
    refunded_minor: int | None = None


async def project(batch: Sequence[Recorded[Any]], sql: Sql) -> None:
    """Bring the rows up to date: one insert for new orders, one update for the others."""
    changes: dict[str, _Change] = {}
    for recorded in batch:
        if category_of(recorded.stream) != "order":
            continue
        change = changes.get(recorded.stream)
        if change is None:
            change = changes[recorded.stream] = _Change(
                recorded.tenant, recorded.key, recorded.recorded_at, recorded.version
            )
        change.updated_at, change.version = recorded.recorded_at, recorded.version
        _note(change, recorded.event)
    await _insert([c for c in changes.values() if c.placed is not None], sql)
    await _update([c for c in changes.values() if c.placed is None], sql)


def _note(change: _Change, event: order_events.Event) -> None:
    match event:
        case order_events.OrderPlaced():
            change.placed, change.status = event, PLACED
        case order_events.OrderAccepted():
            change.status = ACCEPTED
        case order_events.OrderRefused(reason):
            change.status, change.reason = REFUSED, reason
        case order_events.OrderCancelled(reason):
            change.status, change.reason = CANCELLED, reason
        case order_events.OrderCompleted():
            change.status = COMPLETED
        case order_events.PaymentCaptured():
            change.captured_minor = event.captured_total_minor
        case order_events.OrderRefunded():
            change.refunded_minor = event.refunded_total_minor
        case _:
            pass  # steps and shorts change only version and time


async def _insert(changes: Sequence[_Change], sql: Sql) -> None:
    rows = [
        (
            *(change.tenant, change.order_id, placed.customer_id, change.status or PLACED),
            *(change.reason or "", placed.currency, placed.total_minor),
            *(change.captured_minor or 0, change.refunded_minor or 0, len(placed.lines)),
            *(placed.placed_at, change.updated_at, change.version),
        )
        for change in changes
        if (placed := change.placed) is not None
    ]
    if rows:
        await sql.execute(
            "INSERT INTO order_summary (tenant, order_id, customer_id, status, reason, currency,"
            " total_minor, captured_minor, refunded_minor, line_count, placed_at, updated_at,"
            f" version) SELECT * FROM {unnested(_ROW)}"
            " ON CONFLICT DO NOTHING",
            *packed(rows),
        )


async def _update(changes: Sequence[_Change], sql: Sql) -> None:
    rows = [
        (
            *(change.tenant, change.order_id, change.status, change.reason),
            *(change.captured_minor, change.refunded_minor, change.updated_at, change.version),
        )
        for change in changes
    ]
    if rows:
        await sql.execute(
            "UPDATE order_summary AS o SET status = coalesce(n.status, o.status),"
            " reason = coalesce(n.reason, o.reason),"
            " captured_minor = coalesce(n.captured_minor, o.captured_minor),"
            " refunded_minor = coalesce(n.refunded_minor, o.refunded_minor),"
            " updated_at = n.updated_at, version = n.version"
            f" FROM {unnested('text text text text bigint bigint timestamptz bigint')}"
            " AS n (tenant, order_id, status,"
            " reason, captured_minor, refunded_minor, updated_at, version)"
            " WHERE o.tenant = n.tenant AND o.order_id = n.order_id AND n.version > o.version",
            *packed(rows),
        )


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last order of a page: the next one begins below it."""

    placed_at: datetime
    order_id: str


async def latest(
    sql: Sql,
    *,
    tenant: str,
    customer_id: str = "",
    status: str = "",
    after: Cursor | None = None,
    limit: int = 50,
) -> list[OrderSummary]:
    """Return orders, the latest first, of one customer and in one status if given."""
    conditions = ["tenant = $1"]
    values: list[object] = [tenant]
    if customer_id:
        values.append(customer_id)
        conditions.append(f"customer_id = ${len(values)}")
    if status:
        values.append(status)
        conditions.append(f"status = ${len(values)}")
    if after is not None:
        values += [after.placed_at, after.order_id]
        conditions.append(f"(placed_at, order_id) < (${len(values) - 1}, ${len(values)})")
    values.append(limit)
    rows = await sql.fetch(
        "SELECT order_id, customer_id, status, reason, currency, total_minor, captured_minor,"
        " refunded_minor, line_count, placed_at, updated_at, version FROM order_summary"
        f" WHERE {' AND '.join(conditions)}"
        f" ORDER BY placed_at DESC, order_id DESC LIMIT ${len(values)}",
        *values,
    )
    return [OrderSummary(*row) for row in rows]


ORDER_SUMMARY = ReadModel("order_summary", ("order_summary",), project)
