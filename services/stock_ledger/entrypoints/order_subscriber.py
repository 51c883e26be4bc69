"""The ledger hears orders: it allocates what is held, gives back, and closes."""

from oms.order.v1.order_events_pb2 import GroupsKept, OrderEvent

from services.kernel.application.feeds import Envelope
from services.kernel.application.work import Work
from services.kernel.domain.errors import Rejected
from services.stock_ledger.application.handlers import Reservations
from services.stock_ledger.application.loading import load_reserved
from services.stock_ledger.application.moving import Kept, give_up
from services.stock_ledger.domain.reservation_commands import Refusal as ReservationRefusal
from services.stock_ledger.entrypoints.heard_lines import Batch, is_ours, lines_of
from services.stock_ledger.read_models.entries import picked_for


class OrderSubscriber:
    """Confirms what an accepted order holds, and gives back what an ended one has."""

    def __init__(self, promises: Reservations) -> None:
        self._promises = promises

    async def prepare(self, batch: Batch[OrderEvent], work: Work) -> None:
        order_ids = []
        for event, envelope in batch:
            if not is_ours(envelope, work):
                continue
            match event.WhichOneof("event"):
                case "order_accepted":
                    order_ids.append(event.order_accepted.order_id)
                case "order_cancelled":
                    order_ids.append(event.order_cancelled.order_id)
                case "order_refused":
                    order_ids.append(event.order_refused.order_id)
                case "order_completed":
                    order_ids.append(event.order_completed.order_id)
                case "groups_kept":
                    order_ids.append(event.groups_kept.order_id)
                case _:
                    pass  # moves no stock
        if order_ids:
            await load_reserved(work, order_ids)

    async def hear(self, event: OrderEvent, _envelope: Envelope, work: Work) -> None:
        match event.WhichOneof("event"):
            case "order_accepted":
                try:
                    await self._promises.confirm(work, event.order_accepted.order_id, refuse=False)
                except Rejected as refusal:
                    # It was released or closed in the meantime: whoever did that has told.
                    if refusal.reason is not ReservationRefusal.STEP_CONFLICT:
                        raise
            case "order_cancelled":
                await self._promises.end(work, event.order_cancelled.order_id, "cancelled")
            case "order_refused":
                await self._promises.end(work, event.order_refused.order_id, "refused")
            case "order_completed":
                await self._promises.complete(work, event.order_completed.order_id)
            case "groups_kept":
                told = event.groups_kept
                await give_up(
                    *(work, told.order_id, told.plan_revision, lines_of(told.declined)),
                    _kept(told),
                )
            case _:
                pass  # moves no stock, or is newer than this service


def _kept(told: GroupsKept) -> Kept:
    picked = set(told.picked_group_ids)
    awaited = [group for group in told.kept if group.group_id not in picked]
    return Kept(lines_of(told.kept), lines_of(awaited), picked_for)
