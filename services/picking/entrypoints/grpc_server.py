"""PickingService over gRPC: translate in, hand over, translate out. No rule lives here."""

import base64
import binascii
from collections.abc import Sequence
from typing import Any, override

from oms.common.v1 import common_pb2
from oms.picking.v1 import picking_events_pb2 as events
from oms.picking.v1 import picking_service_pb2 as wire
from oms.picking.v1 import picking_service_pb2_grpc as rpc

from services.kernel.application.runner import Reader
from services.kernel.domain.errors import Invalid, NotFound
from services.kernel.domain.ids import identifier
from services.kernel.domain.messages import stream_id
from services.kernel.entrypoints.calls import caller, cause
from services.picking.application.handlers import PickingHandlers
from services.picking.domain.pick_task import PICK_TASK
from services.picking.domain.pick_task_commands import (
    ClaimTask,
    Pick,
    PutBack,
    ReassignTask,
    Short,
    UnclaimTask,
)
from services.picking.domain.pick_task_events import ShortReason
from services.picking.domain.pick_task_state import Phase, PickTask
from services.picking.entrypoints import labels
from services.picking.read_models import task_queue

MAX_ACTIONS = 500
MAX_QUANTITY = 1_000_000_000
MAX_PAGE = 200
DEFAULT_PAGE = 50

SCOPES = {
    f"/oms.picking.v1.PickingService/{method}": scope
    for scope, methods in {
        "picking:read": ("ListTasks", "GetTask"),
        "picking:write": (
            *("ClaimTask", "ClaimNext", "UnclaimTask", "ReassignTask"),
            *("PickLine", "ShortLine", "PickLines", "PutBackLine"),
        ),
    }.items()
    for method in methods
}

_STATUSES = {
    wire.TASK_STATUS_OPEN: task_queue.OPEN,
    wire.TASK_STATUS_CLAIMED: task_queue.CLAIMED,
    wire.TASK_STATUS_COMPLETED: task_queue.COMPLETED,
    wire.TASK_STATUS_PUTTING_BACK: task_queue.PUTTING_BACK,
    wire.TASK_STATUS_CANCELLED: task_queue.CANCELLED,
}
_SHOWN_STATUSES = {name: status for status, name in _STATUSES.items()}
_REASONS = {
    events.SHORT_REASON_NOT_FOUND: ShortReason.NOT_FOUND,
    events.SHORT_REASON_DAMAGED: ShortReason.DAMAGED,
}
_SHOWN_REASONS = {
    "": events.SHORT_REASON_UNSPECIFIED,
    ShortReason.NOT_FOUND.value: events.SHORT_REASON_NOT_FOUND,
    ShortReason.DAMAGED.value: events.SHORT_REASON_DAMAGED,
}

_TEMPERATURES = {int(value): value for value in common_pb2.TemperatureClass.values()}
_UNITS = {int(value): value for value in common_pb2.Unit.values()}


class PickingGrpc(rpc.PickingServiceServicer):
    def __init__(self, handlers: PickingHandlers, reader: Reader) -> None:
        self._handlers = handlers
        self._reader = reader

    @override
    async def ListTasks(
        self, request: wire.ListTasksRequest, context: Any
    ) -> wire.ListTasksResponse:
        limit = _page_size(request.page_size)
        if request.status != wire.TASK_STATUS_UNSPECIFIED and request.status not in _STATUSES:
            raise Invalid(("status", "must be one of the known statuses, or left out"))
        tasks = await task_queue.of_site(
            self._reader.sql,
            tenant=caller().tenant,
            site_id=identifier(request.site_id, "site_id"),
            status=_STATUSES.get(request.status, ""),
            after_position=_position(request.page_token),
            limit=limit + 1,
        )
        shown = tasks[:limit]
        return wire.ListTasksResponse(
            tasks=[_summary(task) for task in shown],
            next_page_token=_token(shown[-1].released_position) if len(tasks) > limit else "",
        )

    @override
    async def GetTask(self, request: wire.GetTaskRequest, context: Any) -> wire.GetTaskResponse:
        tenant, task_id = caller().tenant, identifier(request.task_id, "task_id")
        if request.min_version < 0:
            raise Invalid(("min_version", "must be 0 or a version that a command returned"))
        if request.min_version:
            stream = stream_id(tenant, PICK_TASK.category, task_id)
            await self._reader.at_least(stream, request.min_version)
        found = await task_queue.of_id(self._reader.sql, tenant=tenant, task_id=task_id)
        if found is None:
            raise NotFound("pick task", task_id)
        task, lines = found
        return wire.GetTaskResponse(
            task=wire.Task(summary=_summary(task), lines=[_line(line) for line in lines])
        )

    @override
    async def ClaimTask(
        self, request: wire.ClaimTaskRequest, context: Any
    ) -> wire.ClaimTaskResponse:
        why = cause(request.request_id)
        after = await self._handlers.change(
            why,
            identifier(request.task_id, "task_id"),
            ClaimTask(identifier(request.picker_id, "picker_id"), why.command_id),
        )
        return wire.ClaimTaskResponse(version=after.version)

    @override
    async def ClaimNext(
        self, request: wire.ClaimNextRequest, context: Any
    ) -> wire.ClaimNextResponse:
        claimed = await self._handlers.claim_next(
            cause(request.request_id),
            identifier(request.site_id, "site_id"),
            identifier(request.picker_id, "picker_id"),
        )
        if claimed is None:
            return wire.ClaimNextResponse()
        return wire.ClaimNextResponse(task_id=claimed.task_id, version=claimed.version)

    @override
    async def UnclaimTask(
        self, request: wire.UnclaimTaskRequest, context: Any
    ) -> wire.UnclaimTaskResponse:
        after = await self._handlers.change(
            cause(request.request_id),
            identifier(request.task_id, "task_id"),
            UnclaimTask(identifier(request.picker_id, "picker_id")),
        )
        return wire.UnclaimTaskResponse(version=after.version)

    @override
    async def ReassignTask(
        self, request: wire.ReassignTaskRequest, context: Any
    ) -> wire.ReassignTaskResponse:
        why = cause(request.request_id)
        after = await self._handlers.change(
            why,
            identifier(request.task_id, "task_id"),
            ReassignTask(
                identifier(request.from_picker_id, "from_picker_id"),
                identifier(request.to_picker_id, "to_picker_id"),
                why.command_id,
            ),
        )
        return wire.ReassignTaskResponse(version=after.version)

    @override
    async def PickLine(self, request: wire.PickLineRequest, context: Any) -> wire.PickLineResponse:
        version, status = await self._record(request, [request.pick], [])
        return wire.PickLineResponse(version=version, status=status)

    @override
    async def ShortLine(
        self, request: wire.ShortLineRequest, context: Any
    ) -> wire.ShortLineResponse:
        version, status = await self._record(request, [], [request.short])
        return wire.ShortLineResponse(version=version, status=status)

    @override
    async def PickLines(
        self, request: wire.PickLinesRequest, context: Any
    ) -> wire.PickLinesResponse:
        if not 1 <= len(request.picks) + len(request.shorts) <= MAX_ACTIONS:
            raise Invalid(("picks", f"picks and shorts must be 1 to {MAX_ACTIONS} together"))
        version, status = await self._record(request, request.picks, request.shorts)
        return wire.PickLinesResponse(version=version, status=status)

    @override
    async def PutBackLine(
        self, request: wire.PutBackLineRequest, context: Any
    ) -> wire.PutBackLineResponse:
        after = await self._handlers.change(
            cause(request.request_id),
            identifier(request.task_id, "task_id"),
            PutBack(
                identifier(request.picker_id, "picker_id"),
                identifier(request.action_id, "action_id"),
                identifier(request.line_id, "line_id"),
                _quantity(request.quantity, "quantity"),
            ),
        )
        return wire.PutBackLineResponse(version=after.version, status=_status(after.state))

    async def _record(
        self,
        request: wire.PickLineRequest | wire.ShortLineRequest | wire.PickLinesRequest,
        picks: Sequence[wire.LinePick],
        shorts: Sequence[wire.LineShort],
    ) -> "tuple[int, wire.TaskStatus.ValueType]":
        actions: list[Pick | Short] = []
        for index, pick in enumerate(picks):
            field = f"picks[{index}]" if isinstance(request, wire.PickLinesRequest) else "pick"
            actions.append(
                Pick(
                    identifier(pick.action_id, f"{field}.action_id"),
                    identifier(pick.line_id, f"{field}.line_id"),
                    _quantity(pick.quantity, f"{field}.quantity"),
                )
            )
        for index, short in enumerate(shorts):
            field = f"shorts[{index}]" if isinstance(request, wire.PickLinesRequest) else "short"
            reason = _REASONS.get(short.reason)
            if reason is None:
                raise Invalid((f"{field}.reason", "must be NOT_FOUND or DAMAGED"))
            actions.append(
                Short(
                    identifier(short.action_id, f"{field}.action_id"),
                    identifier(short.line_id, f"{field}.line_id"),
                    _quantity(short.quantity, f"{field}.quantity"),
                    reason,
                )
            )
        after = await self._handlers.record(
            cause(request.request_id),
            identifier(request.task_id, "task_id"),
            identifier(request.picker_id, "picker_id"),
            tuple(actions),
        )
        return after.version, _status(after.state)


def _status(task: PickTask) -> "wire.TaskStatus.ValueType":
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


def _summary(task: task_queue.QueuedTask) -> wire.TaskSummary:
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


def _line(line: task_queue.ListedLine) -> wire.PickListLine:
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


def _page_size(size: int) -> int:
    if not 0 <= size <= MAX_PAGE:
        raise Invalid(("page_size", f"must be 0 (for {DEFAULT_PAGE}) to {MAX_PAGE}"))
    return size or DEFAULT_PAGE


def _quantity(quantity: int, field: str) -> int:
    if not 1 <= quantity <= MAX_QUANTITY:
        raise Invalid((field, f"must be 1 to {MAX_QUANTITY}"))
    return quantity


def _token(position: int) -> str:
    return base64.urlsafe_b64encode(position.to_bytes(8)).decode().rstrip("=")


def _position(token: str) -> int:
    if not token:
        return 0
    try:
        raw = base64.b64decode(f"{token}=", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 8 or raw[0] > 127:  # noqa: PLR2004 - eight bytes, a positive bigint
        raise Invalid(("page_token", "must be the next_page_token of an earlier page"))
    return int.from_bytes(raw)
