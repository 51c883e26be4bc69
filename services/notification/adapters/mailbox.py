"""The mailbox: what the consumer reads on the page of his order.

The message's id is its key, so a second arrival is nothing.
"""

from collections.abc import Callable, Sequence

from services.kernel.application.runner import Runner
from services.kernel.application.work import Work
from services.kernel.domain.messages import Cause
from services.notification.application.ports import Delivery, Outcome, Result

_TAKEN = Outcome(Result.TAKEN, "delivered")


class MailboxTable:
    """An ``Outlet``. Args: ``new_id`` makes a command id that nobody has used."""

    def __init__(self, runner: Runner, new_id: Callable[[], str]) -> None:
        self._runner = runner
        self._new_id = new_id

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
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

        async def use_case(work: Work) -> None:
            await work.sql.execute(
                "INSERT INTO mailbox (tenant, order_id, message_id, group_id, step_id, occasion,"
                " fr, en, occurred_at, sequence)"
                " SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[],"
                " $6::text[], $7::text[], $8::text[], $9::timestamptz[], $10::bigint[])"
                " ON CONFLICT (tenant, message_id) DO NOTHING",
                *(list(column) for column in zip(*rows, strict=True)),
            )

        if rows:
            await self._runner.execute(Cause(deliveries[0].tenant, self._new_id()), use_case)
        return [_TAKEN] * len(rows)
