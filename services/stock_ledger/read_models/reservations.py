"""Reservations: their life, and what each still has of what where.

Answers    GetReservation, ListOpenReservations
Fed by     the reservations' own events, and the entries that move reserved units
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never

from services.kernel.application.columns import packed, unnested
from services.kernel.application.work import Sql
from services.kernel.domain.messages import Recorded
from services.kernel.read_models.read_model import ReadModel
from services.stock_ledger.domain.entry import Cause, EntryPosted
from services.stock_ledger.domain.reservation_events import (
    Line,
    ReservationClosed,
    ReservationConfirmed,
    ReservationExpired,
    ReservationExtended,
    ReservationHeld,
    ReservationMoved,
    ReservationMoveRefused,
    ReservationRefused,
    ReservationReleased,
)
from services.stock_ledger.domain.reservation_state import Status
from services.stock_ledger.domain.stock_item import site_and_sku


@dataclass(frozen=True, slots=True)
class ReservedLine:
    reservation_id: str
    site_id: str
    sku: str
    held: int
    allocated: int
    picked: int
    transit: int


@dataclass(frozen=True, slots=True)
class ReservationRow:
    reservation_id: str
    order_id: str
    status: str
    plan_revision: int
    expires_at: datetime | None
    version: int
    holder_id: str
    lines: Sequence[ReservedLine]
    lacking: Sequence[Line]


# All but ReservationEndangered, PlanDeclined and ReservationRestored, which change nothing that is
# shown: what is promised is in the entries.
type _Shown = (
    ReservationHeld
    | ReservationRefused
    | ReservationConfirmed
    | ReservationReleased
    | ReservationExpired
    | ReservationExtended
    | ReservationMoved
    | ReservationMoveRefused
    | ReservationClosed
)
_OF_A_RESERVATION = (
    *(ReservationHeld, ReservationRefused, ReservationConfirmed),
    *(ReservationReleased, ReservationExpired, ReservationExtended, ReservationClosed),
    *(ReservationMoved, ReservationMoveRefused),
)


_HELD = Status.HELD.value


async def project(batch: Sequence[Recorded[Any]], sql: Sql) -> None:
    """Bring the reservations up to date; only the newest of each is written."""
    headers: dict[str, tuple[Any, ...]] = {}
    lines: dict[tuple[str, str], tuple[Any, ...]] = {}
    for recorded in batch:
        event = recorded.event
        if type(event) is ReservationHeld and recorded.version == 1 and not event.lacking:
            headers[recorded.stream] = (  # most are; the same as below, at a third of the price
                *(recorded.tenant, recorded.key, event.order_id, _HELD),
                *(event.plan_revision, event.expires_at, 1, event.holder_id, ""),
            )
        elif isinstance(event, _OF_A_RESERVATION):
            headers[recorded.stream] = _after(recorded, event, headers.get(recorded.stream))
        elif isinstance(event, EntryPosted) and event.reserved is not None:
            now = event.reserved
            lines[recorded.stream, event.reservation_id] = (
                *(recorded.tenant, event.reservation_id, *site_and_sku(recorded.key)),
                *(now.held, now.allocated, now.picked, now.transit, recorded.version),
            )
        elif isinstance(event, EntryPosted) and event.shares:
            place = site_and_sku(recorded.key)
            is_hold = event.cause == Cause.HOLD
            for share in event.shares:
                lines[recorded.stream, share.reservation_id] = (
                    *(recorded.tenant, share.reservation_id, *place),
                    *(share.quantity if is_hold else 0, 0, 0, 0, recorded.version),
                )
    if headers:
        await sql.execute(
            "INSERT INTO reservation AS t (tenant, reservation_id, order_id, status,"
            " plan_revision, expires_at, version, holder_id, lacking) SELECT * FROM "
            f"{unnested('text text text text int timestamptz int text text')}"
            " ON CONFLICT (tenant, reservation_id) DO UPDATE SET"
            " status = coalesce(nullif(excluded.status, ''), t.status),"
            " holder_id = coalesce(nullif(excluded.holder_id, ''), t.holder_id),"
            " lacking = coalesce(nullif(excluded.lacking, ''), t.lacking),"
            " order_id = coalesce(nullif(excluded.order_id, ''), t.order_id),"
            " plan_revision = greatest(excluded.plan_revision, t.plan_revision),"
            " expires_at = coalesce(excluded.expires_at, t.expires_at),"
            " version = excluded.version WHERE excluded.version > t.version",
            *packed(sorted(headers.values())),
        )
    if lines:
        rows = sorted(lines.values())
        await sql.execute(
            "INSERT INTO reserved_stock AS t (tenant, reservation_id, site_id, sku, held,"
            " allocated, picked, transit, version) SELECT * FROM "
            f"{unnested('text text text text bigint bigint bigint bigint int')}"
            " ON CONFLICT (tenant, reservation_id, site_id, sku) DO UPDATE SET"
            " held = excluded.held, allocated = excluded.allocated, picked = excluded.picked,"
            " transit = excluded.transit, version = excluded.version"
            " WHERE excluded.version > t.version",
            *packed(rows),
        )


def _after(
    recorded: Recorded[Any], event: _Shown, before: tuple[Any, ...] | None
) -> tuple[Any, ...]:
    """Return the row with this event; fields it does not know stay empty and change nothing."""
    order_id, plan_revision, expires_at = before[2:3] + before[4:6] if before else ("", 0, None)
    holder_id, lacking = before[7:9] if before else ("", "")
    status: str
    match event:
        case ReservationHeld(order_id, plan_revision, _, expires_at, short, holder_id):
            status = Status.HELD
            if short:
                lacking = json.dumps([[one.site_id, one.sku, one.quantity] for one in short])
        case (
            ReservationMoved(plan_revision=plan_revision)
            | ReservationMoveRefused(plan_revision=plan_revision)
        ):
            status = before[3] if before else ""  # it is as promised as it was
        case ReservationRefused(order_id, plan_revision, _):
            status = Status.REFUSED
        case ReservationExtended(expires_at):
            status = Status.HELD
        case ReservationConfirmed():
            status = Status.CONFIRMED
        case ReservationReleased():
            status = Status.RELEASED
        case ReservationExpired():
            status = Status.EXPIRED
        case ReservationClosed():
            status = Status.CLOSED
        case _:
            assert_never(event)
    return (
        *(recorded.tenant, recorded.key, order_id, str(status)),
        *(plan_revision, expires_at, recorded.version, holder_id, lacking),
    )


RESERVATIONS = ReadModel("reservations", ("reservation", "reserved_stock"), project)


async def one(sql: Sql, tenant: str, reservation_id: str) -> ReservationRow | None:
    """Return a reservation with its lines, or nothing."""
    row = await sql.fetchrow(
        "SELECT reservation_id, order_id, status, plan_revision, expires_at, version, holder_id,"
        " lacking FROM reservation WHERE tenant = $1 AND reservation_id = $2",
        *(tenant, reservation_id),
    )
    if row is None:
        return None
    lines = await sql.fetch(
        "SELECT reservation_id, site_id, sku, held, allocated, picked, transit"
        " FROM reserved_stock WHERE tenant = $1 AND reservation_id = $2 ORDER BY site_id, sku",
        *(tenant, reservation_id),
    )
    *header, lacking = row
    fields: tuple[Any, ...] = (
        *header,
        [ReservedLine(*line) for line in lines],
        [Line(*line) for line in json.loads(lacking or "[]")],
    )
    return ReservationRow(*fields)


async def open_at(
    sql: Sql, tenant: str, site_id: str, sku: str, after: tuple[str, str], limit: int
) -> list[ReservedLine]:
    """Return a page of what a site still has promised, by product and reservation.

    Args:
        sql: Where to read.
        tenant: Whose.
        site_id: Where.
        sku: Only this product; empty means all.
        after: Product and reservation of the last line of the page before.
        limit: Most lines.
    """
    rows = await sql.fetch(
        "SELECT reservation_id, site_id, sku, held, allocated, picked, transit"
        " FROM reserved_stock WHERE tenant = $1 AND site_id = $2 AND ($3 = '' OR sku = $3)"
        " AND (sku, reservation_id) > ($4, $5) AND held + allocated + picked + transit > 0"
        " ORDER BY sku, reservation_id LIMIT $6",
        *(tenant, site_id, sku, *after, limit),
    )
    return [ReservedLine(*row) for row in rows]


async def kept_for(sql: Sql, orders: Sequence[tuple[str, str]]) -> list[Any]:
    """Return what is kept for some orders, by (tenant, order id), of each product at each site.

    What somebody reserved himself under the id of an order is not kept for the order.
    """
    return await sql.fetch(
        "SELECT tenant, reservation_id, site_id, sku, held, allocated, picked FROM reserved_stock"
        " JOIN unnest($1::text[], $2::text[]) AS u (tenant, reservation_id)"
        " USING (tenant, reservation_id) JOIN reservation AS r USING (tenant, reservation_id)"
        " WHERE r.order_id <> ''",
        [tenant for tenant, _ in orders],
        [order_id for _, order_id in orders],
    )
