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
from services.stock_ledger.domain.reservation_events import Line
from services.stock_ledger.domain.reservation_state import Status
from services.stock_ledger.read_models.past import ALWAYS
from services.stock_ledger.read_models.reservations import ReservationRow, ReservedLine

_MOST_EVENTS = 1_000
_SUMS = ", ".join(
    f"coalesce(sum(quantity) FILTER (WHERE account = '{account}'), 0)::bigint"
    for account in ("held", "allocated", "picked", "transit")
)
# What reservations gained and lost, one row each: by entries of their own, and by entries that
# hold for many, or let many run out, whose shares only the log has.
_OWN = (
    "SELECT e.reservation_id, e.site_id, e.sku, p.account, p.quantity FROM stock_entry e"
    " CROSS JOIN LATERAL unnest(e.accounts, e.quantities) AS p (account, quantity)"
)
_SHARED = (
    "SELECT share->>'reservation_id', e.site_id, e.sku, 'held', (share->>'quantity')::bigint"
    " * CASE e.cause WHEN 'hold' THEN 1 ELSE -1 END FROM stock_entry e JOIN events l"
    " ON l.originator_id = e.tenant || '/stock-' || e.site_id || '|' || e.sku"
    " AND l.originator_version = e.version CROSS JOIN LATERAL"
    " jsonb_array_elements(convert_from(l.state, 'UTF8')::jsonb->'shares') AS share"
)
_MANY = "e.reservation_id = '' AND e.cause IN ('hold', 'hold_expired')"


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
    if row.status == Status.NEW:
        return None  # nothing but a plan that was declined: it is known to another feed only
    then = "e.tenant = $1 AND e.occurred_at <= $3 AND e.recorded_at <= $4"
    places = (
        " JOIN reserved_stock r ON r.tenant = e.tenant AND r.reservation_id = $2"
        " AND r.site_id = e.site_id AND r.sku = e.sku"
    )
    lines = await sql.fetch(
        f"SELECT site_id, sku, {_SUMS} FROM ("
        f"{_OWN}{places} WHERE {then} AND e.reservation_id = $2 UNION ALL"
        f" {_SHARED}{places} WHERE {then} AND {_MANY} AND share->>'reservation_id' = $2"
        " AND position($2 IN convert_from(l.state, 'UTF8')) > 0)"
        " AS moved (reservation_id, site_id, sku, account, quantity)"
        " GROUP BY site_id, sku ORDER BY site_id, sku",
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
            return row  # that it is endangered, or declined a plan, changes nothing shown


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
    then = (
        "e.tenant = $1 AND e.site_id = $2 AND e.sku = $3 AND e.occurred_at <= $4"
        " AND e.recorded_at <= $5"
    )
    rows = await sql.fetch(
        f"SELECT reservation_id, held, allocated, picked, transit FROM (SELECT reservation_id,"
        f" {_SUMS} FROM ({_OWN} WHERE {then} AND e.reservation_id > $6 UNION ALL"
        f" {_SHARED} WHERE {then} AND {_MANY})"
        " AS moved (reservation_id, site_id, sku, account, quantity)"
        " WHERE reservation_id > $6 GROUP BY reservation_id)"
        " AS had (reservation_id, held, allocated, picked, transit)"
        " WHERE held + allocated + picked + transit > 0 ORDER BY reservation_id LIMIT $7",
        *(tenant, *pair, as_of or ALWAYS, known_at or ALWAYS, after, limit),
    )
    return [ReservedLine(row[0], *pair, *row[1:]) for row in rows]
