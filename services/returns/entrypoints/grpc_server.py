"""ReturnsService over gRPC: translate in, hand over, translate out. No rule lives here."""

import base64
import binascii
import re
from datetime import UTC, datetime, timedelta
from typing import Any, override

from oms.common.v1.common_pb2 import Money
from oms.returns.v1 import returns_events_pb2 as events
from oms.returns.v1 import returns_service_pb2 as wire
from oms.returns.v1 import returns_service_pb2_grpc as rpc

from services.kernel.application.runner import Reader
from services.kernel.domain.errors import Invalid, NotFound
from services.kernel.domain.ids import derive, identifier
from services.kernel.domain.messages import Cause, stream_id
from services.kernel.entrypoints.calls import caller, cause
from services.returns.application.handlers import ReturnsHandlers
from services.returns.domain.return_case import RETURN_CASE, Disposition, Status
from services.returns.read_models import return_cases, returnable_lines

MAX_LINES = 500
MAX_QUANTITY = 1_000_000_000
MAX_PAGE = 200
DEFAULT_PAGE = 50
MAX_REASON = 200
# A zero byte fits into an event and into no table: what is recorded with one stops a read model.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

SCOPES = {
    f"/oms.returns.v1.ReturnsService/{method}": scope
    for scope, methods in {
        "returns:write": ("OpenReturn", "WithdrawReturn", "InspectReturn", "ValidateRefund"),
        "returns:read": ("PreviewRefund", "GetReturn", "ListReturns", "GetReturnable"),
    }.items()
    for method in methods
}

_STATUSES = {
    Status.OPENED: wire.RETURN_STATUS_OPENED,
    Status.INSPECTED: wire.RETURN_STATUS_INSPECTED,
    Status.REFUNDED: wire.RETURN_STATUS_REFUNDED,
    Status.WITHDRAWN: wire.RETURN_STATUS_WITHDRAWN,
}
_DISPOSITIONS = {
    events.DISPOSITION_RESTOCK: Disposition.RESTOCK,
    events.DISPOSITION_WRITE_OFF: Disposition.WRITE_OFF,
}
_SHOWN_DISPOSITIONS = {
    "": events.DISPOSITION_UNSPECIFIED,
    Disposition.RESTOCK.value: events.DISPOSITION_RESTOCK,
    Disposition.WRITE_OFF.value: events.DISPOSITION_WRITE_OFF,
}


class ReturnsGrpc(rpc.ReturnsServiceServicer):
    def __init__(self, handlers: ReturnsHandlers, reader: Reader, window: timedelta) -> None:
        self._handlers = handlers
        self._reader = reader
        self._window = window

    @override
    async def OpenReturn(
        self, request: wire.OpenReturnRequest, context: Any
    ) -> wire.OpenReturnResponse:
        return_id = identifier(request.return_id, "return_id")
        _check_count(len(request.lines), MAX_LINES)
        wanted: dict[str, int] = {}
        for index, line in enumerate(request.lines):
            line_id = identifier(line.line_id, f"lines[{index}].line_id")
            if line_id in wanted:
                raise Invalid((f"lines[{index}].line_id", "names a line twice; add the quantities"))
            wanted[line_id] = _quantity(line.quantity, f"lines[{index}].quantity")
        version = await self._handlers.open(
            cause(request.request_id),
            return_id,
            identifier(request.order_id, "order_id"),
            identifier(request.site_id, "site_id"),
            tuple(wanted.items()),
        )
        return wire.OpenReturnResponse(version=version)

    @override
    async def WithdrawReturn(
        self, request: wire.WithdrawReturnRequest, context: Any
    ) -> wire.WithdrawReturnResponse:
        version = await self._handlers.withdraw(
            cause(request.request_id),
            identifier(request.return_id, "return_id"),
            _reason(request.reason),
        )
        return wire.WithdrawReturnResponse(version=version)

    @override
    async def InspectReturn(
        self, request: wire.InspectReturnRequest, context: Any
    ) -> wire.InspectReturnResponse:
        _check_count(len(request.lines), 2 * MAX_LINES)
        lines: list[tuple[str, int, Disposition]] = []
        seen: set[tuple[str, Disposition]] = set()
        for index, line in enumerate(request.lines):
            disposition = _DISPOSITIONS.get(line.disposition)
            if disposition is None:
                raise Invalid((f"lines[{index}].disposition", "must be RESTOCK or WRITE_OFF"))
            line_id = identifier(line.line_id, f"lines[{index}].line_id")
            if (line_id, disposition) in seen:
                raise Invalid((f"lines[{index}]", "repeats a line and disposition"))
            seen.add((line_id, disposition))
            quantity = _quantity(line.quantity, f"lines[{index}].quantity")
            lines.append((line_id, quantity, disposition))
        version = await self._handlers.inspect(
            cause(request.request_id), identifier(request.return_id, "return_id"), tuple(lines)
        )
        return wire.InspectReturnResponse(version=version)

    @override
    async def PreviewRefund(
        self, request: wire.PreviewRefundRequest, context: Any
    ) -> wire.PreviewRefundResponse:
        return_id = identifier(request.return_id, "return_id")
        who = caller()
        # Records nothing, so its id need only differ from those of commands.
        asked = Cause(who.tenant, derive("preview", return_id), who.correlation_id)
        preview = await self._handlers.preview(asked, return_id)
        case = preview.case
        return wire.PreviewRefundResponse(
            return_id=return_id,
            preview_version=case.version,
            amount=Money(amount_minor=case.preview_minor, currency=case.currency),
            lines=[
                wire.RefundLine(
                    line_id=line.line_id,
                    sku=line.sku,
                    quantity=line.quantity,
                    amount_minor=line.refund_minor,
                )
                for line in case.lines
            ],
            lowest_minor=preview.lowest_minor,
        )

    @override
    async def ValidateRefund(
        self, request: wire.ValidateRefundRequest, context: Any
    ) -> wire.ValidateRefundResponse:
        if request.amount_minor < 0:
            raise Invalid(("amount_minor", "must not be negative"))
        if request.preview_version < 1:
            raise Invalid(("preview_version", "must be that of a preview"))
        version = await self._handlers.validate(
            cause(request.request_id),
            identifier(request.return_id, "return_id"),
            preview_version=request.preview_version,
            amount_minor=request.amount_minor,
            clerk_id=identifier(request.clerk_id, "clerk_id"),
            reason=_reason(request.reason),
        )
        return wire.ValidateRefundResponse(version=version)

    @override
    async def GetReturn(
        self, request: wire.GetReturnRequest, context: Any
    ) -> wire.GetReturnResponse:
        return_id = identifier(request.return_id, "return_id")
        tenant = caller().tenant
        if request.min_version > 0:
            stream = stream_id(tenant, RETURN_CASE.category, return_id)
            await self._reader.at_least(stream, request.min_version)
        shown = await return_cases.by_id(tenant, return_id, self._reader.sql)
        if shown is None:
            raise NotFound("return", return_id)
        return wire.GetReturnResponse(return_case=_case(shown))

    @override
    async def ListReturns(
        self, request: wire.ListReturnsRequest, context: Any
    ) -> wire.ListReturnsResponse:
        limit = request.page_size or DEFAULT_PAGE
        if not 1 <= limit <= MAX_PAGE:
            raise Invalid(("page_size", f"must be 1 to {MAX_PAGE}"))
        order_id = identifier(request.order_id, "order_id") if request.order_id else ""
        site_id = identifier(request.site_id, "site_id") if request.site_id else ""
        before = _from_token(request.page_token) if request.page_token else None
        # One more than asked for tells whether there is a next page.
        shown = await return_cases.page(
            self._reader.sql,
            caller().tenant,
            order_id=order_id,
            site_id=site_id,
            before=before,
            limit=limit + 1,
        )
        has_more, shown = len(shown) > limit, shown[:limit]
        return wire.ListReturnsResponse(
            returns=[_case(case) for case in shown],
            next_page_token=_to_token(shown[-1]) if has_more else "",
        )

    @override
    async def GetReturnable(
        self, request: wire.GetReturnableRequest, context: Any
    ) -> wire.GetReturnableResponse:
        order_id = identifier(request.order_id, "order_id")
        shown = await returnable_lines.of_order(caller().tenant, order_id, self._reader.sql)
        if shown is None or shown.delivered_at is None:
            raise NotFound("delivered order", order_id)
        response = wire.GetReturnableResponse(
            order_id=order_id,
            currency=shown.currency,
            lines=[
                wire.ReturnableLine(
                    line_id=line.line_id,
                    sku=line.sku,
                    delivered_quantity=line.delivered,
                    returnable_quantity=line.returnable,
                    net_minor=line.net_minor,
                )
                for line in shown.lines
            ],
            captured_minor=shown.captured_minor,
            refunded_minor=shown.refunded_minor,
        )
        response.returnable_until.FromDatetime(shown.delivered_at + self._window)
        return response


def _check_count(count: int, limit: int) -> None:
    if not 1 <= count <= limit:
        raise Invalid(("lines", f"must hold 1 to {limit}"))


def _quantity(value: int, field: str) -> int:
    if not 1 <= value <= MAX_QUANTITY:
        raise Invalid((field, f"must be 1 to {MAX_QUANTITY}"))
    return value


def _reason(value: str) -> str:
    if len(value) > MAX_REASON or _CONTROL.search(value):
        raise Invalid(("reason", f"must be at most {MAX_REASON} characters, none of control"))
    return value.strip()


def _case(shown: return_cases.ShownCase) -> wire.ReturnCase:
    case = wire.ReturnCase(
        return_id=shown.return_id,
        order_id=shown.order_id,
        site_id=shown.site_id,
        status=_STATUSES[shown.status],
        lines=[
            events.ReturnLine(
                line_id=line.line_id,
                sku=line.sku,
                quantity=line.quantity,
                disposition=_SHOWN_DISPOSITIONS[line.disposition],
            )
            for line in shown.lines
        ],
        preview=Money(amount_minor=shown.preview_minor, currency=shown.currency),
        clerk_id=shown.clerk_id,
        reason=shown.reason,
        version=shown.version,
    )
    if shown.refunded_minor is not None:
        case.refunded.CopyFrom(Money(amount_minor=shown.refunded_minor, currency=shown.currency))
    case.opened_at.FromDatetime(shown.opened_at)
    return case


def _to_token(case: return_cases.ShownCase) -> str:
    return base64.urlsafe_b64encode(
        f"{case.opened_at.isoformat()}|{case.return_id}".encode()
    ).decode()


def _from_token(token: str) -> tuple[datetime, str]:
    try:
        at, _, return_id = base64.urlsafe_b64decode(token).decode().partition("|")
        opened_at = datetime.fromisoformat(at)
        if opened_at.tzinfo is None:
            raise ValueError("no time zone")
        opened_at = opened_at.astimezone(UTC)
    except (binascii.Error, ValueError, OverflowError) as error:
        raise Invalid(("page_token", "must be one that an answer carried")) from error
    return opened_at, identifier(return_id, "page_token")
