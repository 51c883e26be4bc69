"""What was picked, handed over and refunded: facts about groups, to the order itself."""

from collections.abc import Sequence

from oms.common.v1 import common_pb2 as common
from oms.delivery.v1.delivery_events_pb2 import DeliveryEvent
from oms.picking.v1 import picking_events_pb2 as picking
from oms.returns.v1.returns_events_pb2 import ReturnsEvent

from services.kernel.application.feeds import Envelope
from services.kernel.application.work import Work
from services.order.application.handlers import ORDER
from services.order.domain.mode import Milestone
from services.order.domain.order_commands import (
    Command,
    NoteShort,
    ReachedLine,
    ReachMilestone,
    RefundOrder,
)
from services.order.entrypoints.streams_of_batch import load_orders


async def load_picking(batch: Sequence[tuple[picking.PickingEvent, Envelope]], work: Work) -> None:
    told = [(envelope, _picked(event, envelope)) for event, envelope in batch]
    await load_orders(work, [(envelope, one[0]) for envelope, one in told if one])


async def hear_picking(event: picking.PickingEvent, envelope: Envelope, work: Work) -> None:
    told = _picked(event, envelope)
    if told is not None:
        await work.handle(ORDER, *told)


async def load_delivery(batch: Sequence[tuple[DeliveryEvent, Envelope]], work: Work) -> None:
    told = [(envelope, _delivered(event)) for event, envelope in batch]
    await load_orders(work, [(envelope, one[0]) for envelope, one in told if one])


async def hear_delivery(event: DeliveryEvent, _: Envelope, work: Work) -> None:
    told = _delivered(event)
    if told is not None:
        await work.handle(ORDER, *told)


async def hear_returns(event: ReturnsEvent, _: Envelope, work: Work) -> None:
    """Note a refund. One beyond what was captured is nobody's race: it is parked and looked at."""
    if event.WhichOneof("event") != "refund_validated":
        return
    refund = event.refund_validated
    await work.handle(
        ORDER,
        refund.order_id,
        RefundOrder(refund.return_id, refund.amount.currency, refund.amount.amount_minor),
    )


def _picked(event: picking.PickingEvent, envelope: Envelope) -> tuple[str, Command] | None:
    match event.WhichOneof("event"):
        case "line_shorted":
            short = event.line_shorted
            return short.order_id, NoteShort(
                short.group_id,
                short.line_id,
                short.quantity,
                _reason(short.reason),
                envelope.stream_version,
            )
        case "pick_completed":
            done = event.pick_completed
            return done.order_id, ReachMilestone(
                done.group_id,
                Milestone.PICKED,
                tuple(
                    ReachedLine(
                        *(line.line_id, line.picked_quantity, _reason(line.reason)),
                        line.lighter_quantity,
                    )
                    for line in done.lines
                ),
            )
        case _:
            return None  # the walk itself is the site's business


def _reason(reason: "picking.ShortReason.ValueType") -> str:
    return picking.ShortReason.Name(reason).removeprefix("SHORT_REASON_")


def _delivered(event: DeliveryEvent) -> tuple[str, Command] | None:
    match event.WhichOneof("event"):
        case "ready_for_pickup":
            ready = event.ready_for_pickup
            return ready.order_id, ReachMilestone(ready.group_id, Milestone.READY)
        case "customer_arrived":
            arrived = event.customer_arrived
            return arrived.order_id, ReachMilestone(arrived.group_id, Milestone.ARRIVED)
        case "handed_over":
            over = event.handed_over
            return over.order_id, ReachMilestone(
                over.group_id, Milestone.HANDED_OVER, _reached(over.lines)
            )
        case "handed_to_carrier":
            sent = event.handed_to_carrier
            return sent.order_id, ReachMilestone(
                sent.group_id, Milestone.HANDED_TO_CARRIER, _reached(sent.lines)
            )
        case "delivered":
            there = event.delivered
            return there.order_id, ReachMilestone(
                there.group_id, Milestone.DELIVERED, _reached(there.lines)
            )
        case _:
            return None  # newer than this consumer


def _reached(lines: Sequence[common.GroupLine]) -> tuple[ReachedLine, ...]:
    return tuple(ReachedLine(line.line_id, line.quantity) for line in lines)
