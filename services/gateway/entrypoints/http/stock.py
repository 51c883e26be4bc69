"""Stock: movements, levels, the ledger, availability, reservations."""

import re
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response
from oms.stock_ledger.v1 import stock_ledger_service_pb2 as wire
from pydantic import Field

from services.gateway.entrypoints.http.bodies import Sent, reads, shown
from services.gateway.entrypoints.http.contracts import HOT_STOCK, STOCK
from services.gateway.entrypoints.http.document import described
from services.gateway.entrypoints.http.incoming import incoming
from services.gateway.entrypoints.http.parameters import (
    RequiredKey,
    filled,
    query_model,
    refuse_stray,
)
from services.gateway.entrypoints.http.repeats import Command, command_of, once
from services.gateway.entrypoints.http.resource import Resource
from services.gateway.entrypoints.http.routes import Face, Route
from services.gateway.entrypoints.http.schemas import object_schema, reference, usual
from services.gateway.entrypoints.http.wire import Malformed, from_json

_MOVEMENTS = "/v1/stock/movements:batch"
_RESERVATION = "/v1/reservations/{reservation_id}"
_REQUESTS: dict[str, tuple[str, Any]] = {
    "receive": ("ReceiveStock", wire.ReceiveStockRequest),
    "adjust": ("AdjustStock", wire.AdjustStockRequest),
    "till_sale": ("RecordTillSales", wire.RecordTillSalesRequest),
}
_RPC_OF = {kind: rpc for rpc, kind in _REQUESTS.values()}
_LEVELS: Any = query_model(
    wire.ListSiteStockRequest.DESCRIPTOR,
    sku=(str, Field(default_factory=str, description=usual("sku"))),
)
_LEVEL_NAMES = frozenset(_LEVELS.model_fields)
_MOVEMENT = re.compile(r"^(/rows/\d+)/movement(?=/|$)")


def resource(face: Face) -> Resource:
    """Return the routes of stock."""
    stock = Resource("stock", face)

    @stock.post(
        _MOVEMENTS,
        summary="Record up to 1000 receipts, adjustments or till sales",
        **described(
            STOCK["ReceiveStock"],
            STOCK["AdjustStock"],
            STOCK["RecordTillSales"],
            body=_movements_schema(),
            answer=reference(STOCK["AdjustStock"].output_type),
        ),
    )
    async def move(
        request: Request,
        sent: Annotated[Sent[Any], Depends(reads(_movements, face.caller))],
        key: RequiredKey,
    ) -> Response:
        """Record a batch of movements of one kind; every row is answered for itself."""
        command = command_of(request, sent, _MOVEMENTS, key, STOCK["AdjustStock"])

        async def run() -> Response:
            return await _move(face, request, sent, command)

        return await once(face.keys, command, run)

    @stock.get(
        "/v1/stock",
        summary="Show stock levels by site, by product, or both",
        **described(
            STOCK["GetAvailability"],
            STOCK["ListSiteStock"],
            STOCK["GetSkuAvailability"],
            answer=reference(STOCK["ListSiteStock"].output_type),
        ),
    )
    async def show_stock(request: Request, query: Annotated[_LEVELS, Query()]) -> Response:
        """Show levels: of a product at a site, of a site, or of a product at every site."""
        refuse_stray(request, _LEVEL_NAMES)
        return await _show(face, request, query)

    stock.add(ROUTES)
    return stock


def _movements_schema() -> dict[str, Any]:
    """Rows as callers send them: an adjustment is flat, with its reason beside."""
    row = object_schema(wire.MovementRow.DESCRIPTOR)
    adjustment = STOCK["AdjustStock"].input_type.fields_by_name["rows"].message_type
    row["properties"] |= object_schema(adjustment, ("movement",))["properties"]
    return {
        "type": "object",
        "required": ["kind", "rows"],
        "additionalProperties": False,
        "properties": {
            "kind": {"type": "string", "enum": list(_REQUESTS)},
            "rows": {"type": "array", "items": row, "maxItems": 1000},
        },
    }


def _movements(value: Any) -> Any:
    value = dict(value) if isinstance(value, dict) else {}
    kind = value.pop("kind", None)
    if not isinstance(kind, str) or kind not in _REQUESTS:
        raise Malformed(("/kind", f"must be one of {', '.join(_REQUESTS)}"))
    if kind == "adjust" and isinstance(value.get("rows"), list):
        value["rows"] = [_adjustment(row) for row in value["rows"]]
    try:
        return from_json(_REQUESTS[kind][1], value, ("request_id",))
    except Malformed as wrong:  # the caller's rows are flat
        told = [(_MOVEMENT.sub(r"\1", at), why) for at, why in wrong.faults]
        raise Malformed(*told) from None


def _adjustment(row: Any) -> Any:
    if not isinstance(row, dict):
        return row
    movement = {name: item for name, item in row.items() if name != "reason"}
    return {"movement": movement, "reason": row.get("reason")}


async def _move(face: Face, request: Request, sent: Sent[Any], command: Command) -> Response:
    sent.message.request_id = command.command_id
    method = STOCK[_RPC_OF[type(sent.message)]]
    brought = incoming(request.scope)
    answer = await face.remote.call(method, sent.message, brought.metadata(), brought.timeout_s)
    return shown(request, answer)


async def _show(face: Face, request: Request, query: Any) -> Response:
    message: Any
    if query.site_id and query.sku:
        rpc, message = "GetAvailability", filled(wire.GetAvailabilityRequest(), query)
        message.pairs.add(site_id=query.site_id, sku=query.sku)
    elif query.site_id:
        rpc, message = "ListSiteStock", filled(wire.ListSiteStockRequest(), query)
    elif query.sku:
        rpc, message = "GetSkuAvailability", filled(wire.GetSkuAvailabilityRequest(), query)
    else:
        raise Malformed(("?site_id", "give site_id, sku or both"))
    brought = incoming(request.scope)
    answer = await face.remote.call(STOCK[rpc], message, brought.metadata(), brought.timeout_s)
    return shown(request, answer)


ROUTES = (
    Route(
        "POST",
        "/v1/stock/images:batch",
        STOCK["PostImages"],
        "Post up to 1000 rows of an image or a count",
    ),
    Route(
        "GET",
        "/v1/stock/explanation",
        STOCK["ExplainStock"],
        "Say why there is so much: the causes and the entries that add up to it",
    ),
    Route(
        "POST",
        "/v1/stock/differences:batch",
        STOCK["CompareStock"],
        "Show what changed between two times: pairs, a site, or a product",
    ),
    Route(
        "GET", "/v1/stock/entries", STOCK["ListEntries"], "Show the ledger of a product at a site"
    ),
    Route(
        "POST",
        "/v1/stock/levels:batch",
        STOCK["GetAvailability"],
        "Show up to 1000 levels in one call",
    ),
    Route(
        "GET",
        "/v1/products/{sku}/availability",
        STOCK["GetSkuAvailability"],
        "Show where a product is available",
    ),
    Route(
        "POST",
        "/v1/availability:basket",
        STOCK["GetBasketAvailability"],
        "Say which sites could carry out a basket alone",
    ),
    Route(
        "POST",
        "/v1/reservations",
        STOCK["Reserve"],
        "Hold several lines: all or none, or what there is",
        status=201,
        minted="reservation_id",
        location=_RESERVATION,
    ),
    Route(
        "POST",
        "/v1/reservations:batch",
        HOT_STOCK["ReserveBatch"],
        "Hold for many buyers of hot products, each independently of the others",
    ),
    Route("GET", "/v1/reservations", STOCK["ListOpenReservations"], "What a site has promised"),
    Route(
        "GET",
        _RESERVATION,
        STOCK["GetReservation"],
        "Show a reservation",
        shows="reservation",
    ),
    Route(
        "POST",
        f"{_RESERVATION}:extend",
        STOCK["ExtendReservation"],
        "Let a hold last longer, counted from now",
    ),
    Route(
        "POST",
        f"{_RESERVATION}:move",
        STOCK["MoveReservation"],
        "Have at another site what is reserved at one, both sides at once",
    ),
    Route("POST", f"{_RESERVATION}:confirm", STOCK["ConfirmReservation"], "Confirm a hold"),
    Route("POST", f"{_RESERVATION}:release", STOCK["ReleaseReservation"], "Release a reservation"),
)
