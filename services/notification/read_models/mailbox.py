"""The mailbox of an order.

Answers    NotificationService.ListMessages
Fed by     the sender, once per message; no rebuild touches it
"""

from dataclasses import dataclass
from datetime import datetime

from services.kernel.application.work import Sql
from services.notification.domain.message import Occasion, Text


@dataclass(frozen=True, slots=True)
class ShownMessage:
    message_id: str
    order_id: str
    group_id: str
    step_id: str
    occasion: Occasion
    text: Text
    occurred_at: datetime
    sequence: int


async def of_order(
    sql: Sql, tenant: str, order_id: str, *, after: tuple[int, str], limit: int
) -> list[ShownMessage]:
    """Return up to ``limit`` messages, oldest first, after ``(sequence, message_id)``."""
    rows = await sql.fetch(
        "SELECT message_id, group_id, step_id, occasion, fr, en, occurred_at, sequence"
        " FROM mailbox WHERE tenant = $1 AND order_id = $2 AND (sequence, message_id) > ($3, $4)"
        " ORDER BY sequence, message_id LIMIT $5",
        tenant,
        order_id,
        *after,
        limit,
    )
    return [
        ShownMessage(
            row["message_id"],
            order_id,
            row["group_id"],
            row["step_id"],
            Occasion(row["occasion"]),
            Text(row["fr"], row["en"]),
            row["occurred_at"],
            row["sequence"],
        )
        for row in rows
    ]
