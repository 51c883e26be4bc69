"""The mailbox: what the consumer reads on the page of his order.

The message's id is its key, so a second arrival is nothing.
"""

from collections.abc import Sequence

from services.kernel.application.columns import packed, unnested
from services.kernel.application.work import Work
from services.notification.application.ports import Delivery


class MailboxTable:
    """A ``Mailbox``."""

    async def put(self, deliveries: Sequence[Delivery], work: Work) -> None:
        rows = [
            (
                delivery.tenant,
                delivery.order_id,
                delivery.message_id,
                delivery.group_id,
                delivery.step_id,
                delivery.occasion.value,
                delivery.text.fr,
                delivery.text.en,
                delivery.occurred_at,
                delivery.sequence,
            )
            for delivery in deliveries
        ]
        await work.sql.execute(
            "INSERT INTO mailbox (tenant, order_id, message_id, group_id, step_id, occasion,"
            " fr, en, occurred_at, sequence)"
            " SELECT * FROM "
            f"{unnested('text text text text text text text text timestamptz bigint')}"
            " ON CONFLICT (tenant, message_id) DO NOTHING",
            *packed(rows),
        )
