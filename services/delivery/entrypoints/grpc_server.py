"""DeliveryService over gRPC: translate in, hand over, translate out. No rule lives here."""

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Any, override

from oms.common.v1.common_pb2 import GroupLine
from oms.delivery.v1 import delivery_service_pb2 as wire
from oms.delivery.v1 import delivery_service_pb2_grpc as rpc

from services.delivery.application.handlers import DeliveryHandlers
from services.delivery.application.ports import PickupCodes
from services.delivery.domain.handover import HANDOVER
from services.delivery.domain.lines import Line
from services.delivery.domain.shipment import HandToCarrier, RecordDelivered
from services.delivery.entrypoints import labels
from services.delivery.read_models import handovers, shipments
from services.kernel.application.runner import Reader
from services.kernel.domain.errors import Invalid, NotFound
from services.kernel.domain.ids import identifier
from services.kernel.domain.messages import stream_id
from services.kernel.entrypoints.calls import caller, cause

MAX_PAGE = 200
DEFAULT_PAGE = 50
_CODE = re.compile(r"[0-9]{6}")

SCOPES = {
    f"/oms.delivery.v1.DeliveryService/{method}": scope
    for scope, methods in {
        "delivery:read": ("ListHandovers", "GetHandover", "ListShipments"),
        "delivery:write": (
            *("MarkReady", "AnnounceArrival", "HandOver"),
            *("HandToCarrier", "RecordDelivered"),
        ),
        # Whoever may hand over must not be able to look up what the customer has to say.
        "delivery:code": ("GetPickupCode",),
    }.items()
    for method in methods
}

_HANDOVER_STATUSES = {
    wire.HANDOVER_STATUS_EXPECTED: handovers.EXPECTED,
    wire.HANDOVER_STATUS_READY: handovers.READY,
    wire.HANDOVER_STATUS_HANDED_OVER: handovers.HANDED_OVER,
    wire.HANDOVER_STATUS_CANCELLED: handovers.CANCELLED,
}
_SHOWN_HANDOVER_STATUSES = {name: status for status, name in _HANDOVER_STATUSES.items()}
_SHIPMENT_STATUSES = {
    wire.SHIPMENT_STATUS_EXPECTED: shipments.EXPECTED,
    wire.SHIPMENT_STATUS_HANDED_TO_CARRIER: shipments.HANDED_TO_CARRIER,
    wire.SHIPMENT_STATUS_DELIVERED: shipments.DELIVERED,
    wire.SHIPMENT_STATUS_CANCELLED: shipments.CANCELLED,
}
_SHOWN_SHIPMENT_STATUSES = {name: status for status, name in _SHIPMENT_STATUSES.items()}


class DeliveryGrpc(rpc.DeliveryServiceServicer):
    def __init__(self, handlers: DeliveryHandlers, codes: PickupCodes, reader: Reader) -> None:
        self._handlers = handlers
        self._codes = codes
        self._reader = reader

    @override
    async def ListHandovers(
        self, request: wire.ListHandoversRequest, context: Any
    ) -> wire.ListHandoversResponse:
        limit = _page_size(request.page_size)
        if request.status and request.status not in _HANDOVER_STATUSES:
            raise Invalid(("status", "must be one of the known statuses, or left out"))
        rows = await handovers.of_site(
            self._reader.sql,
            tenant=caller().tenant,
            site_id=identifier(request.site_id, "site_id"),
            status=_HANDOVER_STATUSES.get(request.status, ""),
            after_position=_position(request.page_token),
            limit=limit + 1,
        )
        shown = rows[:limit]
        return wire.ListHandoversResponse(
            handovers=[_handover(row) for row in shown],
            next_page_token=_token(shown[-1].expected_position) if len(rows) > limit else "",
        )

    @override
    async def GetHandover(
        self, request: wire.GetHandoverRequest, context: Any
    ) -> wire.GetHandoverResponse:
        tenant, group_id = caller().tenant, identifier(request.group_id, "group_id")
        if request.min_version < 0:
            raise Invalid(("min_version", "must be 0 or a version that a command returned"))
        if request.min_version:
            stream = stream_id(tenant, HANDOVER.category, group_id)
            await self._reader.at_least(stream, request.min_version)
        return wire.GetHandoverResponse(handover=_handover(await self._known(tenant, group_id)))

    @override
    async def MarkReady(
        self, request: wire.MarkReadyRequest, context: Any
    ) -> wire.MarkReadyResponse:
        version = await self._handlers.mark_ready(
            cause(request.request_id), identifier(request.group_id, "group_id")
        )
        return wire.MarkReadyResponse(version=version)

    @override
    async def AnnounceArrival(
        self, request: wire.AnnounceArrivalRequest, context: Any
    ) -> wire.AnnounceArrivalResponse:
        version = await self._handlers.announce_arrival(
            cause(request.request_id), identifier(request.group_id, "group_id")
        )
        return wire.AnnounceArrivalResponse(version=version)

    @override
    async def HandOver(self, request: wire.HandOverRequest, context: Any) -> wire.HandOverResponse:
        if _CODE.fullmatch(request.pickup_code) is None:
            raise Invalid(("pickup_code", "must be six digits"))
        version = await self._handlers.hand_over(
            cause(request.request_id),
            identifier(request.group_id, "group_id"),
            request.pickup_code,
        )
        return wire.HandOverResponse(version=version)

    @override
    async def GetPickupCode(
        self, request: wire.GetPickupCodeRequest, context: Any
    ) -> wire.GetPickupCodeResponse:
        tenant, group_id = caller().tenant, identifier(request.group_id, "group_id")
        # Asked for right after the group was made ready, which the tables may not show yet.
        stream = stream_id(tenant, HANDOVER.category, group_id)
        if version := await self._reader.changed(stream, 0, 0.0):
            await self._reader.at_least(stream, version)
        await self._known(tenant, group_id)
        return wire.GetPickupCodeResponse(pickup_code=self._codes.code_of(tenant, group_id))

    @override
    async def ListShipments(
        self, request: wire.ListShipmentsRequest, context: Any
    ) -> wire.ListShipmentsResponse:
        limit = _page_size(request.page_size)
        if request.status and request.status not in _SHIPMENT_STATUSES:
            raise Invalid(("status", "must be one of the known statuses, or left out"))
        rows = await shipments.of_site(
            self._reader.sql,
            tenant=caller().tenant,
            site_id=identifier(request.site_id, "site_id"),
            status=_SHIPMENT_STATUSES.get(request.status, ""),
            after_position=_position(request.page_token),
            limit=limit + 1,
        )
        shown = rows[:limit]
        return wire.ListShipmentsResponse(
            shipments=[_shipment(row) for row in shown],
            next_page_token=_token(shown[-1].expected_position) if len(rows) > limit else "",
        )

    @override
    async def HandToCarrier(
        self, request: wire.HandToCarrierRequest, context: Any
    ) -> wire.HandToCarrierResponse:
        reference = request.tracking_reference
        version = await self._handlers.change_shipment(
            cause(request.request_id),
            identifier(request.group_id, "group_id"),
            HandToCarrier(
                identifier(request.carrier_id, "carrier_id"),
                identifier(reference, "tracking_reference") if reference else "",
            ),
        )
        return wire.HandToCarrierResponse(version=version)

    @override
    async def RecordDelivered(
        self, request: wire.RecordDeliveredRequest, context: Any
    ) -> wire.RecordDeliveredResponse:
        version = await self._handlers.change_shipment(
            cause(request.request_id), identifier(request.group_id, "group_id"), RecordDelivered()
        )
        return wire.RecordDeliveredResponse(version=version)

    async def _known(self, tenant: str, group_id: str) -> handovers.HandoverRow:
        row = await handovers.of_id(self._reader.sql, tenant=tenant, group_id=group_id)
        if row is None:
            raise NotFound("handover", group_id)
        return row


def _handover(row: handovers.HandoverRow) -> wire.Handover:
    status = _SHOWN_HANDOVER_STATUSES[row.status]
    handover = wire.Handover(
        group_id=row.group_id,
        order_id=row.order_id,
        source_site_id=row.source_site_id,
        handover_site_id=row.handover_site_id,
        status=status,
        status_label=labels.HANDOVER_STATUS[status],
        has_customer_arrived=row.arrived_at is not None,
        lines=_lines(row.lines),
        version=row.version,
    )
    if row.arrived_at is not None:
        handover.arrived_at.FromDatetime(row.arrived_at)
    if row.locked_until is not None:
        handover.locked_until.FromDatetime(row.locked_until)
    if row.promised_at is not None:
        handover.promised_at.FromDatetime(row.promised_at)
    return handover


def _shipment(row: shipments.ShipmentRow) -> wire.Shipment:
    status = _SHOWN_SHIPMENT_STATUSES[row.status]
    shipment = wire.Shipment(
        group_id=row.group_id,
        order_id=row.order_id,
        source_site_id=row.source_site_id,
        status=status,
        status_label=labels.SHIPMENT_STATUS[status],
        carrier_id=row.carrier_id,
        tracking_reference=row.tracking_reference,
        lines=_lines(row.lines),
        version=row.version,
    )
    if row.promised_at is not None:
        shipment.promised_at.FromDatetime(row.promised_at)
    return shipment


def _lines(lines: Sequence[Line]) -> list[GroupLine]:
    return [GroupLine(line_id=line.line_id, sku=line.sku, quantity=line.quantity) for line in lines]


def _page_size(size: int) -> int:
    if not 0 <= size <= MAX_PAGE:
        raise Invalid(("page_size", f"must be 0 (for {DEFAULT_PAGE}) to {MAX_PAGE}"))
    return size or DEFAULT_PAGE


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
