"""Everything that happened to an order, one row per event, each with the event itself.

Answers    OrderService.GetTimeline, WatchTimeline and, folded, GetOrder
Fed by     this service's own events, in the order of its log
Staleness  milliseconds; a caller that just wrote passes ``min_version`` and waits

An order has a few dozen events, so its detail is folded when it is asked for; keeping it in tables
would cost every event on the hot path more than the fold costs the reader.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from services.kernel.application.columns import packed, unnested
from services.kernel.application.work import Sql
from services.kernel.domain.messages import Recorded, category_of
from services.kernel.read_models.read_model import ReadModel
from services.order.domain import order
from services.order.domain.consumer_view import Fact

MOST_ENTRIES = 5_000

_KINDS: dict[str, type[Any]] = {
    "placed": order.OrderPlaced,
    "accepted": order.OrderAccepted,
    "refused": order.OrderRefused,
    "step_started": order.StepStarted,
    "step_completed": order.StepCompleted,
    "line_shorted": order.LineShorted,
    "line_weighed": order.LineWeighed,
    "payment_captured": order.PaymentCaptured,
    "group_completed": order.GroupCompleted,
    "cancelled": order.OrderCancelled,
    "completed": order.OrderCompleted,
    "refunded": order.OrderRefunded,
    "groups_replaced": order.GroupsReplaced,
    "groups_kept": order.GroupsKept,
}
_NAMES = {event_type: kind for kind, event_type in _KINDS.items()}
_DECODERS = {kind: msgspec.json.Decoder(event_type) for kind, event_type in _KINDS.items()}
_ENCODER = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Entry:
    """A fact of the timeline, with who caused it."""

    fact: Fact
    actor: str
    causation_id: str


async def project(batch: Sequence[Recorded[Any]], sql: Sql) -> None:
    """Add the rows of a batch; a row that is there already stays as it is."""
    rows = [
        (
            recorded.tenant,
            recorded.key,
            recorded.version,
            _NAMES[type(recorded.event)],
            recorded.recorded_at,
            recorded.cause.actor,
            recorded.cause.causation_id or recorded.cause.command_id,
            _ENCODER.encode(recorded.event).decode(),
        )
        for recorded in batch
        if category_of(recorded.stream) == "order"
    ]
    if rows:
        await sql.execute(
            "INSERT INTO order_timeline (tenant, order_id, version, kind, recorded_at, actor,"
            " causation_id, body) SELECT * FROM "
            f"{unnested('text text bigint text timestamptz text text text')}"
            " ON CONFLICT DO NOTHING",
            *packed(rows),
        )


async def entries_after(
    sql: Sql, *, tenant: str, order_id: str, version: int = 0, limit: int = MOST_ENTRIES
) -> list[Entry]:
    """Return what happened to an order after ``version``, oldest first; empty when unknown."""
    rows = await sql.fetch(
        "SELECT version, kind, recorded_at, actor, causation_id, body FROM order_timeline"
        " WHERE tenant = $1 AND order_id = $2 AND version > $3 ORDER BY version LIMIT $4",
        *(tenant, order_id, version, limit),
    )
    return [
        Entry(
            Fact(row["version"], row["recorded_at"], decode(row["kind"], row["body"])),
            row["actor"],
            row["causation_id"],
        )
        for row in rows
    ]


async def entries_of(
    sql: Sql, *, tenant: str, order_id: str, at_once: int = MOST_ENTRIES
) -> list[Entry]:
    """Return all that happened to an order: a part of it would show another order."""
    entries: list[Entry] = []
    while True:
        version = entries[-1].fact.version if entries else 0
        page = await entries_after(
            sql, tenant=tenant, order_id=order_id, version=version, limit=at_once
        )
        entries += page
        if len(page) < at_once:
            return entries


def decode(kind: str, body: str) -> order.Event:
    """Return the event of a row."""
    event: order.Event = _DECODERS[kind].decode(body)
    return event


ORDER_TIMELINE = ReadModel("order_timeline", ("order_timeline",), project)
