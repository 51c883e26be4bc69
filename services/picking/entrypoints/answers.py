"""Tasks and their pick lists out, in the words of the contract."""

from oms.common.v1 import common_pb2
from oms.picking.v1 import picking_events_pb2 as events
from oms.picking.v1 import picking_service_pb2 as wire

from services.picking.domain.pick_task_events import ShortReason
from services.picking.domain.pick_task_state import Phase, PickTask
from services.picking.entrypoints import labels
from services.picking.read_models import task_queue

STATUSES = {
    wire.TASK_STATUS_OPEN: task_queue.OPEN,
    wire.TASK_STATUS_CLAIMED: task_queue.CLAIMED,
    wire.TASK_STATUS_COMPLETED: task_queue.COMPLETED,
    wire.TASK_STATUS_PUTTING_BACK: task_queue.PUTTING_BACK,
    wire.TASK_STATUS_CANCELLED: task_queue.CANCELLED,
}
_SHOWN_STATUSES = {name: status for status, name in STATUSES.items()}
_SHOWN_REASONS = {
    "": events.SHORT_REASON_UNSPECIFIED,
    ShortReason.NOT_FOUND.value: events.SHORT_REASON_NOT_FOUND,
    ShortReason.DAMAGED.value: events.SHORT_REASON_DAMAGED,
}

_TEMPERATURES = {int(value): value for value in common_pb2.TemperatureClass.values()}
_UNITS = {int(value): value for value in common_pb2.Unit.values()}


def status_shown(task: PickTask) -> "wire.TaskStatus.ValueType":
    match task.phase:
        case Phase.UNKNOWN:
            return wire.TASK_STATUS_UNSPECIFIED
        case Phase.OPEN:
            return wire.TASK_STATUS_OPEN
        case Phase.CLAIMED:
            return wire.TASK_STATUS_CLAIMED
        case Phase.COMPLETED:
            return wire.TASK_STATUS_COMPLETED
        case Phase.CANCELLED if task.has_units_to_put_back:
            return wire.TASK_STATUS_PUTTING_BACK
        case Phase.CANCELLED:
            return wire.TASK_STATUS_CANCELLED


def summary_shown(task: task_queue.QueuedTask) -> wire.TaskSummary:
    status = _SHOWN_STATUSES[task.status]
    summary = wire.TaskSummary(
        task_id=task.task_id,
        order_id=task.order_id,
        group_id=task.task_id,
        site_id=task.site_id,
        status=status,
        status_label=labels.STATUS[status],
        picker_id=task.picker_id,
        line_count=task.line_count,
        accounted_line_count=task.accounted_line_count,
        version=task.version,
    )
    summary.released_at.FromDatetime(task.released_at)
    if task.promised_at is not None:
        summary.promised_at.FromDatetime(task.promised_at)
    return summary


def line_shown(line: task_queue.ListedLine) -> wire.PickListLine:
    temperature = _TEMPERATURES.get(line.temperature, common_pb2.TEMPERATURE_CLASS_UNSPECIFIED)
    reason = _SHOWN_REASONS[line.short_reason]
    return wire.PickListLine(
        line_id=line.line_id,
        sku=line.sku,
        product_name=line.product_name,
        product_label=common_pb2.LocalizedText(
            fr=line.name_fr or line.product_name, en=line.name_en or line.product_name
        ),
        category_path=line.category_path,
        temperature=temperature,
        temperature_label=labels.TEMPERATURE.get(temperature),
        unit=_UNITS.get(line.unit, common_pb2.UNIT_UNSPECIFIED),
        barcode=line.barcode,
        is_weight_variable=line.is_weight_variable,
        ordered_quantity=line.ordered_quantity,
        picked_quantity=line.picked_quantity,
        short_quantity=line.short_quantity,
        put_back_quantity=line.put_back_quantity,
        short_reason=reason,
        short_reason_label=labels.SHORT_REASON.get(reason),
    )
