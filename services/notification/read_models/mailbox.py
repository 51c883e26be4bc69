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


_OLDEST, _NEWEST = (0, ""), (2**63 - 1, "")


async def of_order(
    sql: Sql,
    tenant: str,
    order_id: str,
    *,
    after: tuple[int, str] | None,
    limit: int,
    is_newest_first: bool = False,
) -> list[ShownMessage]:
    """Return up to ``limit`` messages that follow ``(sequence, message_id)``, in either order."""
    sign, way = ("<", "DESC") if is_newest_first else (">", "ASC")
    rows = await sql.fetch(
        "SELECT message_id, group_id, step_id, occasion, fr, en, occurred_at, sequence"
        f" FROM mailbox WHERE tenant = $1 AND order_id = $2 AND (sequence, message_id) {sign}"
        f" ($3, $4) ORDER BY sequence {way}, message_id {way} LIMIT $5",
        tenant,
        order_id,
        *(after or (_NEWEST if is_newest_first else _OLDEST)),
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
