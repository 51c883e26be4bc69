"""The queue of deliveries: filled in the unit that hears, worked by senders under a lease.

One row per message, channel and endpoint, never inserted twice, and kept for weeks after it is
settled, much longer than any feed repeats itself; so nothing is sent because of a repeat.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.kernel.application.columns import packed, unnested
from services.kernel.application.work import Sql
from services.notification.application.ports import Delivery
from services.notification.domain.message import Channel, Occasion, QueueMessage, Text

LEASE = timedelta(seconds=60)
_DELIVERY_COLUMNS = (
    "d.tenant, d.message_id, d.channel, d.endpoint_id, d.order_id, d.group_id, d.step_id,"
    " d.occasion, d.fr, d.en, d.occurred_at, d.sequence, d.attempts, d.first_attempt_at, d.fence"
)
_SAME_ROW = (
    "d.tenant = c.tenant AND d.message_id = c.message_id AND d.channel = c.channel"
    " AND d.endpoint_id = c.endpoint_id"
)


@dataclass(frozen=True, slots=True)
class Queued:
    tenant: str
    message_id: str
    sequence: int
    message: QueueMessage


async def enqueue(messages: Sequence[Queued], now: datetime, sql: Sql) -> None:
    """Queue each message for the mailbox and every enabled endpoint of its tenant."""
    if not messages:
        return
    rows = [
        (
            queued.tenant,
            queued.message_id,
            queued.message.order_id,
            queued.message.group_id,
            queued.message.step_id,
            queued.message.occasion.value,
            queued.message.text.fr,
            queued.message.text.en,
            queued.message.occurred_at,
            queued.sequence,
        )
        for queued in messages
    ]
    columns = (
        "tenant, message_id, order_id, group_id, step_id, occasion, fr, en, occurred_at, sequence"
    )
    await sql.execute(
        "WITH n AS (SELECT * FROM "
        f"{unnested('text text text text text text text text timestamptz bigint', first=2)}"
        f" AS n ({columns}))"
        f" INSERT INTO delivery ({columns}, channel, endpoint_id, queued_at, next_attempt_at)"
        " SELECT n.*, t.channel, t.endpoint_id, $1, $1 FROM n JOIN ("
        "SELECT NULL AS tenant, 'mailbox' AS channel, '' AS endpoint_id"
        " UNION ALL SELECT tenant, 'webhook', endpoint_id FROM webhook WHERE state = 'enabled'"
        ") t ON t.tenant IS NULL OR t.tenant = n.tenant"
        " ON CONFLICT (tenant, message_id, channel, endpoint_id) DO NOTHING",
        now,
        *packed(rows),
    )


async def text_queued(tenant: str, message_id: str, sql: Sql) -> Text | None:
    """Return what a message says on its way to the mailbox, if it is still known."""
    row = await sql.fetchrow(
        "SELECT fr, en FROM delivery WHERE tenant = $1 AND message_id = $2"
        " AND channel = 'mailbox' AND endpoint_id = ''",
        tenant,
        message_id,
    )
    return None if row is None else Text(row["fr"], row["en"])


async def tenant_with_mail(now: datetime, sql: Sql) -> str | None:
    """Return the tenant whose message waits longest for its mailbox, if any does."""
    tenant: str | None = await sql.fetchval(
        "SELECT tenant FROM delivery WHERE channel = 'mailbox' AND state = 'pending'"
        " AND next_attempt_at <= $1 ORDER BY next_attempt_at LIMIT 1",
        now,
    )
    return tenant


async def take_for_mailbox(tenant: str, now: datetime, limit: int, sql: Sql) -> list[Delivery]:
    """Take messages of a tenant off the queue; the same unit puts them into the mailbox."""
    rows = await sql.fetch(
        "WITH claimed AS (SELECT tenant, message_id, channel, endpoint_id FROM delivery"
        " WHERE channel = 'mailbox' AND state = 'pending' AND next_attempt_at <= $1"
        " AND tenant = $2 ORDER BY next_attempt_at LIMIT $3 FOR UPDATE SKIP LOCKED)"
        " UPDATE delivery d SET state = 'sent', last_outcome = 'delivered', fence = d.fence + 1,"
        " attempts = d.attempts + 1, first_attempt_at = $1 FROM claimed c"
        f" WHERE {_SAME_ROW} RETURNING {_DELIVERY_COLUMNS}",
        now,
        tenant,
        limit,
    )
    return [_delivery(row) for row in rows]


async def claim_webhooks(
    now: datetime,
    busy: Sequence[tuple[str, str]],
    limit: int,
    per_endpoint: int,
    sql: Sql,
) -> list[Delivery]:
    """Claim deliveries that are due, few of each endpoint, none of those that are busy.

    Places go to the tenants in turn, to whom has the fewest busy endpoints first: nobody's slow
    endpoints take them all.
    """
    held = Counter(tenant for tenant, _ in busy)
    rows = await sql.fetch(
        "WITH due AS (SELECT w.url, w.secret, w.old_secret, w.old_secret_until, one.*"
        " FROM webhook w CROSS JOIN LATERAL ("
        "SELECT tenant, message_id, channel, endpoint_id, next_attempt_at FROM delivery"
        " WHERE channel = 'webhook' AND state = 'pending' AND tenant = w.tenant"
        " AND endpoint_id = w.endpoint_id AND next_attempt_at <= $1 AND lease_until <= $1"
        " ORDER BY next_attempt_at LIMIT $3 FOR UPDATE SKIP LOCKED) one"
        " WHERE w.state = 'enabled' AND NOT EXISTS (SELECT FROM unnest($4::text[], $5::text[])"
        " AS b (tenant, endpoint_id) WHERE b.tenant = w.tenant AND b.endpoint_id = w.endpoint_id)),"
        " claimed AS (SELECT due.* FROM due"
        " LEFT JOIN unnest($7::text[], $8::int[]) AS held (tenant, n) USING (tenant)"
        " ORDER BY $3 * coalesce(held.n, 0)"
        " + row_number() OVER (PARTITION BY tenant ORDER BY due.next_attempt_at) LIMIT $6)"
        " UPDATE delivery d SET lease_until = $2, attempts = d.attempts + 1, fence = d.fence + 1,"
        " first_attempt_at = coalesce(d.first_attempt_at, $1) FROM claimed c"
        f" WHERE {_SAME_ROW} RETURNING {_DELIVERY_COLUMNS},"
        " c.url, c.secret, c.old_secret, c.old_secret_until",
        now,
        now + LEASE,
        per_endpoint,
        [tenant for tenant, _ in busy],
        [endpoint_id for _, endpoint_id in busy],
        limit,
        list(held),
        list(held.values()),
    )
    return [_delivery(row, now) for row in rows]


async def settle(delivery: Delivery, state: str, detail: str, sql: Sql) -> None:
    """Close a delivery as ``sent`` or ``dead``, unless it was claimed anew meanwhile."""
    await sql.execute(
        "UPDATE delivery SET state = $6, last_outcome = $7, lease_until = '-infinity'"
        " WHERE tenant = $1 AND message_id = $2 AND channel = $3 AND endpoint_id = $4"
        " AND fence = $5 AND state = 'pending'",
        delivery.tenant,
        delivery.message_id,
        delivery.channel.value,
        delivery.endpoint_id,
        delivery.fence,
        state,
        detail,
    )


async def postpone(delivery: Delivery, until: datetime, detail: str, sql: Sql) -> None:
    """Set when a delivery is tried again, unless it was claimed anew meanwhile."""
    await sql.execute(
        "UPDATE delivery SET next_attempt_at = $6, last_outcome = $7, lease_until = '-infinity'"
        " WHERE tenant = $1 AND message_id = $2 AND channel = $3 AND endpoint_id = $4"
        " AND fence = $5 AND state = 'pending'",
        delivery.tenant,
        delivery.message_id,
        delivery.channel.value,
        delivery.endpoint_id,
        delivery.fence,
        until,
        detail,
    )


async def forget(before: datetime, limit: int, sql: Sql) -> int:
    """Delete up to ``limit`` settled deliveries queued before then; return how many."""
    done = await sql.execute(
        "DELETE FROM delivery d USING (SELECT tenant, message_id, channel, endpoint_id"
        " FROM delivery WHERE state <> 'pending' AND queued_at < $1 LIMIT $2"
        f" FOR UPDATE SKIP LOCKED) c WHERE {_SAME_ROW}",
        before,
        limit,
    )
    return int(done.rpartition(" ")[2])


def _delivery(row: Any, now: datetime | None = None) -> Delivery:
    fields = dict(row)
    secrets: tuple[str, ...] = ()
    if now is not None:
        old, until = fields.pop("old_secret"), fields.pop("old_secret_until")
        secret = fields.pop("secret")
        secrets = (secret, old) if old and until > now else (secret,)
    fields["channel"] = Channel(fields["channel"])
    fields["occasion"] = Occasion(fields["occasion"])
    text = Text(fields.pop("fr"), fields.pop("en"))
    return Delivery(**fields, text=text, secrets=secrets)
