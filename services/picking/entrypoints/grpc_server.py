"""PickingService over gRPC: translate in, hand over, translate out. No rule lives here."""

from collections.abc import Sequence
from typing import Any, override

from oms.picking.v1 import picking_service_pb2 as wire
from oms.picking.v1 import picking_service_pb2_grpc as rpc

from services.kernel.application.runner import Reader
from services.kernel.domain.errors import Invalid, NotFound
from services.kernel.domain.ids import identifier
from services.kernel.domain.messages import stream_id
from services.kernel.entrypoints.calls import caller, cause
from services.picking.application.handlers import PickingHandlers
from services.picking.domain.pick_task import PICK_TASK
from services.picking.domain.pick_task_commands import ClaimTask, PutBack, ReassignTask, UnclaimTask
from services.picking.entrypoints.answers import STATUSES, line_shown, status_shown, summary_shown
from services.picking.entrypoints.requests import (
    MAX_ACTIONS,
    actions_of,
    page_size_of,
    position_of,
    quantity_of,
    token_of,
)
from services.picking.read_models import task_queue

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


class PickingGrpc(rpc.PickingServiceServicer):
    def __init__(self, handlers: PickingHandlers, reader: Reader) -> None:
        self._handlers = handlers
        self._reader = reader

    @override
    async def ListTasks(
        self, request: wire.ListTasksRequest, context: Any
    ) -> wire.ListTasksResponse:
        limit = page_size_of(request.page_size)
        if request.status != wire.TASK_STATUS_UNSPECIFIED and request.status not in STATUSES:
            raise Invalid(("status", "must be one of the known statuses, or left out"))
        tasks = await task_queue.of_site(
            self._reader.sql,
            tenant=caller().tenant,
            site_id=identifier(request.site_id, "site_id"),
            status=STATUSES.get(request.status, ""),
            after_position=position_of(request.page_token),
            limit=limit + 1,
        )
        shown = tasks[:limit]
        return wire.ListTasksResponse(
            tasks=[summary_shown(task) for task in shown],
            next_page_token=token_of(shown[-1].released_position) if len(tasks) > limit else "",
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
            task=wire.Task(summary=summary_shown(task), lines=[line_shown(line) for line in lines])
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
                quantity_of(request.quantity, "quantity"),
            ),
        )
        return wire.PutBackLineResponse(version=after.version, status=status_shown(after.state))

    async def _record(
        self,
        request: wire.PickLineRequest | wire.ShortLineRequest | wire.PickLinesRequest,
        picks: Sequence[wire.LinePick],
        shorts: Sequence[wire.LineShort],
    ) -> "tuple[int, wire.TaskStatus.ValueType]":
        actions = actions_of(request, picks, shorts)
        after = await self._handlers.record(
            cause(request.request_id),
            identifier(request.task_id, "task_id"),
            identifier(request.picker_id, "picker_id"),
            actions,
        )
        return after.version, status_shown(after.state)
