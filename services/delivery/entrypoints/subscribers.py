"""What delivery hears: groups that will change hands, and cancellations, from order."""

from collections.abc import Sequence
from datetime import UTC

from oms.common.v1 import common_pb2
from oms.order.v1.order_events_pb2 import GroupStepStarted, OrderEvent

from services.delivery.domain.handover import HANDOVER, CancelHandover, ExpectHandover
from services.delivery.domain.lines import Line
from services.delivery.domain.shipment import SHIPMENT, CancelShipment, ExpectShipment
from services.delivery.read_models import groups_of_orders
from services.kernel.application.feeds import Envelope, Subscription
from services.kernel.application.work import Work
from services.kernel.entrypoints.listen import listen

_KINDS = {
    common_pb2.MILESTONE_READY: HANDOVER.category,
    common_pb2.MILESTONE_ARRIVED: HANDOVER.category,
    common_pb2.MILESTONE_HANDED_OVER: HANDOVER.category,
    common_pb2.MILESTONE_HANDED_TO_CARRIER: SHIPMENT.category,
}


def subscriptions() -> tuple[Subscription, ...]:
    return (
        listen(
            OrderEvent,
            group="delivery",
            hears=("group_step_started", "order_cancelled"),
            hear=_hear,
            prepare=_prepare,
        ),
    )


async def _prepare(batch: Sequence[tuple[OrderEvent, Envelope]], work: Work) -> None:
    """Note which group belongs to which order, and read the streams of the batch, in bulk."""
    groups = [
        (envelope.tenant, started.order_id, started.group.group_id, _kind(started))
        for event, envelope in batch
        if (started := _to_hand_over(event)) is not None
    ]
    await groups_of_orders.remember(groups, work.sql)
    mine = [group for group in groups if group[0] == work.cause.tenant]  # others: one by one
    await work.load(HANDOVER, {key for _, _, key, kind in mine if kind == HANDOVER.category})
    await work.load(SHIPMENT, {key for _, _, key, kind in mine if kind == SHIPMENT.category})


async def _hear(event: OrderEvent, envelope: Envelope, work: Work) -> None:
    if (started := _to_hand_over(event)) is not None:
        await _expect(started, work)
    elif event.WhichOneof("event") == "order_cancelled":
        for group_id, kind in await groups_of_orders.of_order(
            work.sql, tenant=envelope.tenant, order_id=event.order_cancelled.order_id
        ):
            if kind == HANDOVER.category:
                await work.handle(HANDOVER, group_id, CancelHandover())
            else:
                await work.handle(SHIPMENT, group_id, CancelShipment())


async def _expect(started: GroupStepStarted, work: Work) -> None:
    group = started.group
    lines = tuple(Line(line.line_id, line.sku, line.quantity) for line in group.lines)
    promised_at = group.promised_at.ToDatetime(UTC) if group.HasField("promised_at") else None
    if _kind(started) == HANDOVER.category:
        # A later step than READY may be the first we hear of: then nothing has to make it ready.
        is_ready = started.step.completes_on != common_pb2.MILESTONE_READY
        await work.handle(
            HANDOVER,
            group.group_id,
            ExpectHandover(
                started.order_id,
                group.source_site_id,
                group.handover_site_id,
                lines,
                promised_at,
                is_ready,
            ),
        )
    else:
        await work.handle(
            SHIPMENT,
            group.group_id,
            ExpectShipment(started.order_id, group.source_site_id, lines, promised_at),
        )


def _kind(started: GroupStepStarted) -> str:
    return _KINDS[started.step.completes_on]


def _to_hand_over(event: OrderEvent) -> GroupStepStarted | None:
    """Return the step at which a group changes hands, if the event is one."""
    if event.WhichOneof("event") != "group_step_started":
        return None
    started = event.group_step_started
    return started if started.step.completes_on in _KINDS else None
