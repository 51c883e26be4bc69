"""Reservations as they were: what they had where, as of a time, as it was known at another.

Answers    as_of and known_at of GetReservation and ListOpenReservations
Reads      the reservation's own log, and the entries of the products that it had
Staleness  none for its life; that of the entries' table for what it had
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from services.kernel.application.work import Sql
from services.kernel.domain.messages import stream_id
from services.stock_ledger.domain.reservation import Line, Status
from services.stock_ledger.read_models.past import ALWAYS
from services.stock_ledger.read_models.reservations import ReservationRow, ReservedLine

_MOST_EVENTS = 1_000
_SUMS = ", ".join(
    f"coalesce(sum(p.quantity) FILTER (WHERE p.account = '{account}'), 0)::bigint"
    for account in ("held", "allocated", "picked", "transit")
)
_MOVED = "CROSS JOIN LATERAL unnest(e.accounts, e.quantities) AS p (account, quantity)"


async def one(
    sql: Sql, tenant: str, reservation_id: str, as_of: datetime | None, known_at: datetime | None
) -> ReservationRow | None:
    """Return a reservation with its lines as they were; nothing if there was none yet."""
    until, known = as_of or ALWAYS, known_at or ALWAYS
    events = await sql.fetch(
        "SELECT originator_version, topic, convert_from(state, 'UTF8') FROM events"
        " WHERE originator_id = $1 AND recorded_at <= $2 ORDER BY originator_version LIMIT $3",
        *(stream_id(tenant, "reservation", reservation_id), min(until, known), _MOST_EVENTS),
    )
    if not events:
        return None
    row = ReservationRow(reservation_id, "", Status.NEW.value, 0, None, 0, "", (), ())
    for version, topic, state in events:
        row = _after(replace(row, version=version), topic.split(".")[1], json.loads(state))
    lines = await sql.fetch(
        f"SELECT e.site_id, e.sku, {_SUMS} FROM stock_entry e JOIN reserved_stock r"
        " USING (tenant, reservation_id, site_id, sku) " + _MOVED + " WHERE e.tenant = $1"
        " AND e.reservation_id = $2 AND e.occurred_at <= $3 AND e.recorded_at <= $4"
        " GROUP BY e.site_id, e.sku ORDER BY e.site_id, e.sku",
        *(tenant, reservation_id, until, known),
    )
    return replace(row, lines=[ReservedLine(reservation_id, *line) for line in lines])


def _after(row: ReservationRow, what: str, event: dict[str, Any]) -> ReservationRow:
    """Return the row with one more event, read as an auditor would: by its stored name."""
    match what:
        case "held":
            return replace(
                row,
                status=Status.HELD.value,
                order_id=event["order_id"],
                plan_revision=event["plan_revision"],
                expires_at=datetime.fromisoformat(event["expires_at"]),
                holder_id=event.get("holder_id", ""),
                lacking=[Line(**line) for line in event.get("lacking", ())],
            )
        case "refused":
            return replace(
                row,
                status=Status.REFUSED.value,
                order_id=event["order_id"],
                plan_revision=event["plan_revision"],
            )
        case "moved" | "move_refused":
            return replace(row, plan_revision=max(row.plan_revision, event["plan_revision"]))
        case "extended":
            return replace(row, expires_at=datetime.fromisoformat(event["expires_at"]))
        case "confirmed" | "released" | "expired" | "closed":
            return replace(row, status=Status(what).value)
        case _:
            return row  # that it is endangered changes nothing that is shown


async def open_at(
    sql: Sql,
    tenant: str,
    pair: tuple[str, str],
    after: str,
    limit: int,
    as_of: datetime | None,
    known_at: datetime | None,
) -> Sequence[ReservedLine]:
    """Return a page of what was promised of a product at a site, by reservation.

    Args:
        sql: Where to read.
        tenant: Whose.
        pair: Site and product.
        after: Reservation of the last line of the page before.
        limit: Most lines.
        as_of: What was true then; nothing: now.
        known_at: What was known then; nothing: now.
    """
    rows = await sql.fetch(
        f"SELECT reservation_id, held, allocated, picked, transit FROM (SELECT e.reservation_id,"
        f" {_SUMS} FROM stock_entry e {_MOVED} WHERE e.tenant = $1 AND e.site_id = $2"
        " AND e.sku = $3 AND e.reservation_id > $4 AND e.occurred_at <= $5"
        " AND e.recorded_at <= $6 GROUP BY e.reservation_id)"
        " AS had (reservation_id, held, allocated, picked, transit)"
        " WHERE held + allocated + picked + transit > 0 ORDER BY reservation_id LIMIT $7",
        *(tenant, *pair, after, as_of or ALWAYS, known_at or ALWAYS, limit),
    )
    return [ReservedLine(row[0], *pair, *row[1:]) for row in rows]
