"""Endpoints and what became of their deliveries. No query here ever reads a secret.

Answers    NotificationService.ListWebhooks, NotificationService.ListWebhookDeliveries
Fed by     the handlers and the sender
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.kernel.application.work import Sql

_MOST = 100


@dataclass(frozen=True, slots=True)
class ShownWebhook:
    endpoint_id: str
    url: str
    state: str
    disabled_reason: str
    registered_at: datetime


@dataclass(frozen=True, slots=True)
class ShownDelivery:
    message_id: str
    order_id: str
    state: str
    attempts: int
    last_outcome: str
    next_attempt_at: datetime
    queued_at: datetime


async def webhooks_of(sql: Sql, tenant: str) -> list[ShownWebhook]:
    """Return every endpoint of a tenant, oldest first."""
    rows = await sql.fetch(
        "SELECT endpoint_id, url, state, disabled_reason, registered_at FROM webhook"
        " WHERE tenant = $1 AND state <> 'deleted' ORDER BY registered_at, endpoint_id LIMIT $2",
        tenant,
        _MOST,
    )
    return [ShownWebhook(**dict(row)) for row in rows]


async def webhook(sql: Sql, tenant: str, endpoint_id: str) -> ShownWebhook | None:
    """Return one endpoint, or nothing."""
    row = await sql.fetchrow(
        "SELECT endpoint_id, url, state, disabled_reason, registered_at FROM webhook"
        " WHERE tenant = $1 AND endpoint_id = $2 AND state <> 'deleted'",
        tenant,
        endpoint_id,
    )
    return None if row is None else ShownWebhook(**dict(row))


async def deliveries(
    sql: Sql,
    tenant: str,
    endpoint_id: str,
    *,
    state: str,
    before: tuple[datetime, str] | None,
    limit: int,
) -> list[ShownDelivery]:
    """Return up to ``limit`` deliveries, newest first; ``state`` empty: all."""
    args: list[Any] = [tenant, endpoint_id, limit, state]
    older = ""
    if before is not None:
        args += before
        older = " AND (queued_at, message_id) < ($5, $6)"
    rows = await sql.fetch(
        "SELECT message_id, order_id, state, attempts, last_outcome, next_attempt_at, queued_at"
        " FROM delivery WHERE tenant = $1 AND endpoint_id = $2 AND channel = 'webhook'"
        f" AND ($4 = '' OR state = $4){older}"
        " ORDER BY queued_at DESC, message_id DESC LIMIT $3",
        *args,
    )
    return [ShownDelivery(**dict(row)) for row in rows]
