"""What others learn of a pick task. That a picker let go of one stays private."""

from typing import assert_never

from oms.picking.v1 import picking_events_pb2 as wire

from services.kernel.domain.messages import Recorded
from services.picking.domain.pick_task_events import (
    Event,
    LinePicked,
    LinePutBack,
    LineShorted,
    PickCompleted,
    ShortReason,
    TaskCancelled,
    TaskClaimed,
    TaskReleased,
    TaskUnclaimed,
)

_REASONS = {
    None: wire.SHORT_REASON_UNSPECIFIED,
    ShortReason.NOT_FOUND: wire.SHORT_REASON_NOT_FOUND,
    ShortReason.DAMAGED: wire.SHORT_REASON_DAMAGED,
}


def publish(recorded: Recorded[Event]) -> wire.PickingEvent | None:  # noqa: PLR0911 - one per event
    """Return the public event, or nothing for a private one."""
    task_id = group_id = recorded.key
    event = recorded.event
    match event:
        case TaskReleased(order_id, site_id, _, _):
            return wire.PickingEvent(
                task_released=wire.TaskReleased(
                    task_id=task_id, order_id=order_id, group_id=group_id, site_id=site_id
                )
            )
        case TaskClaimed(order_id, site_id, picker_id, _):
            return wire.PickingEvent(
                task_claimed=wire.TaskClaimed(
                    task_id=task_id,
                    order_id=order_id,
                    group_id=group_id,
                    site_id=site_id,
                    picker_id=picker_id,
                )
            )
        case TaskUnclaimed():
            return None
        case LinePicked():
            return wire.PickingEvent(
                line_picked=wire.LinePicked(
                    task_id=task_id,
                    order_id=event.order_id,
                    group_id=group_id,
                    site_id=event.site_id,
                    line_id=event.line_id,
                    sku=event.sku,
                    quantity=event.quantity,
                )
            )
        case LineShorted():
            return wire.PickingEvent(
                line_shorted=wire.LineShorted(
                    task_id=task_id,
                    order_id=event.order_id,
                    group_id=group_id,
                    site_id=event.site_id,
                    line_id=event.line_id,
                    sku=event.sku,
                    quantity=event.quantity,
                    reason=_REASONS[event.reason],
                )
            )
        case PickCompleted(order_id, site_id, lines):
            return wire.PickingEvent(
                pick_completed=wire.PickCompleted(
                    task_id=task_id,
                    order_id=order_id,
                    group_id=group_id,
                    site_id=site_id,
                    lines=[
                        wire.PickedLine(
                            line_id=line.line_id,
                            sku=line.sku,
                            ordered_quantity=line.ordered_quantity,
                            picked_quantity=line.picked_quantity,
                            reason=_REASONS[line.reason],
                            lighter_quantity=line.lighter,
                        )
                        for line in lines
                    ],
                )
            )
        case TaskCancelled(order_id, site_id):
            return wire.PickingEvent(
                task_cancelled=wire.TaskCancelled(
                    task_id=task_id, order_id=order_id, group_id=group_id, site_id=site_id
                )
            )
        case LinePutBack():
            return wire.PickingEvent(
                line_put_back=wire.LinePutBack(
                    task_id=task_id,
                    order_id=event.order_id,
                    group_id=group_id,
                    site_id=event.site_id,
                    line_id=event.line_id,
                    sku=event.sku,
                    quantity=event.quantity,
                )
            )
        case _:
            assert_never(event)
