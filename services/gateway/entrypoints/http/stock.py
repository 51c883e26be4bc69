"""Stock: movements, levels, the ledger, availability, reservations."""

from typing import Any

from oms.stock_ledger.v1 import stock_ledger_service_pb2 as wire
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.entrypoints.http.bodies import body_of, decoded, shown
from services.gateway.entrypoints.http.contracts import STOCK
from services.gateway.entrypoints.http.incoming import incoming
from services.gateway.entrypoints.http.repeats import Command, command_of, once
from services.gateway.entrypoints.http.routes import Composed, Face, Route
from services.gateway.entrypoints.http.wire import Malformed, from_json, from_query

_MOVEMENTS = "/v1/stock/movements:batch"
_RESERVATION = "/v1/reservations/{reservation_id}"
_REQUESTS: dict[str, tuple[str, Any]] = {
    "receive": ("ReceiveStock", wire.ReceiveStockRequest),
    "adjust": ("AdjustStock", wire.AdjustStockRequest),
    "till_sale": ("RecordTillSales", wire.RecordTillSalesRequest),
}


async def move(face: Face, request: Request) -> Response:
    """Record a batch of movements of one kind; every row is answered for itself."""
    body = await body_of(request)
    tenant = await face.tenant(incoming(request.scope))
    command = command_of(request, tenant, _MOVEMENTS, body, is_key_needed=True)

    async def run() -> Response:
        return await _move(face, request, command)

    return await once(face.keys, command, run)


async def _move(face: Face, request: Request, command: Command) -> Response:
    value = decoded(command.body)
    kind = value.pop("kind", None) if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in _REQUESTS:
        raise Malformed(("/kind", f"must be one of {', '.join(_REQUESTS)}"))
    rpc, request_type = _REQUESTS[kind]
    if kind == "adjust" and isinstance(value.get("rows"), list):
        value["rows"] = [_adjustment(row) for row in value["rows"]]
    try:
        message = from_json(request_type, value, ("request_id",))
    except Malformed as wrong:  # the caller's rows are flat
        told = [(at.replace("/movement", "", 1), why) for at, why in wrong.faults]
        raise Malformed(*told) from None
    message.request_id = command.command_id
    brought = incoming(request.scope)
    answer = await face.remote.call(STOCK[rpc], message, brought.metadata(), brought.timeout_s)
    return shown(request, answer)


def _adjustment(row: Any) -> Any:
    if not isinstance(row, dict):
        return row
    movement = {name: item for name, item in row.items() if name != "reason"}
    return {"movement": movement, "reason": row.get("reason")}


async def show_stock(face: Face, request: Request) -> Response:
    """Show levels: of a product at a site, of a site, or of a product at every site."""
    site_id = request.query_params.get("site_id", "")
    sku = request.query_params.get("sku", "")
    query = {name: [text] for name, text in request.query_params.items()}
    message: Any
    if site_id and sku:
        clocks = {name: value for name, value in query.items() if name in ("as_of", "known_at")}
        rpc = "GetAvailability"
        message = from_query(wire.GetAvailabilityRequest, clocks, {})
        message.pairs.add(site_id=site_id, sku=sku)
    elif site_id:
        rpc, message = "ListSiteStock", from_query(wire.ListSiteStockRequest, query, {})
    elif sku:
        rpc, message = "GetSkuAvailability", from_query(wire.GetSkuAvailabilityRequest, query, {})
    else:
        raise Malformed(("?site_id", "give site_id, sku or both"))
    brought = incoming(request.scope)
    answer = await face.remote.call(STOCK[rpc], message, brought.metadata(), brought.timeout_s)
    return shown(request, answer)


ROUTES = (
    Composed(
        "POST",
        _MOVEMENTS,
        move,
        "Record up to 1000 receipts, adjustments or till sales",
        calls=(STOCK["ReceiveStock"], STOCK["AdjustStock"], STOCK["RecordTillSales"]),
        body=STOCK["AdjustStock"],
        hidden=("request_id",),
        answers=STOCK["AdjustStock"],
        needs_key=True,
        extra={"kind": {"type": "string", "enum": list(_REQUESTS)}},
    ),
    Route(
        "POST",
        "/v1/stock/images:batch",
        STOCK["PostImages"],
        "Post up to 1000 rows of an image or a count",
    ),
    Composed(
        "GET",
        "/v1/stock",
        show_stock,
        "Show stock levels by site, by product, or both",
        calls=(STOCK["GetAvailability"], STOCK["ListSiteStock"], STOCK["GetSkuAvailability"]),
        parameters=(
            {"name": "site_id", "in": "query"},
            {"name": "sku", "in": "query"},
            {"name": "page_size", "in": "query"},
            {"name": "page_token", "in": "query"},
            {"name": "as_of", "in": "query"},
            {"name": "known_at", "in": "query"},
        ),
        answers=STOCK["ListSiteStock"],
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
        "Hold several lines, all or none",
        status=201,
        minted="reservation_id",
        location=_RESERVATION,
    ),
    Route("GET", "/v1/reservations", STOCK["ListOpenReservations"], "What a site has promised"),
    Route(
        "GET",
        _RESERVATION,
        STOCK["GetReservation"],
        "Show a reservation",
        shows="reservation",
    ),
    Route("POST", f"{_RESERVATION}:confirm", STOCK["ConfirmReservation"], "Confirm a hold"),
    Route("POST", f"{_RESERVATION}:release", STOCK["ReleaseReservation"], "Release a reservation"),
)
