"""Orders: placement that waits for its acceptance, the order, its timelines."""

import re
from http import HTTPStatus
from typing import Any

import msgspec
from oms.order.v1 import order_service_pb2 as wire
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.entrypoints.http.bodies import (
    body_of,
    decoded,
    json_response,
    shown,
    version_in,
)
from services.gateway.entrypoints.http.contracts import ORDER
from services.gateway.entrypoints.http.incoming import incoming
from services.gateway.entrypoints.http.problems import problem
from services.gateway.entrypoints.http.repeats import Command, command_of, once
from services.gateway.entrypoints.http.routes import Composed, Face, Route
from services.gateway.entrypoints.http.wire import from_json, to_json

_WAIT = re.compile(r"(?:^|[,;\s])wait=(\d{1,3})(?:$|[,;\s])")
DEFAULT_WAIT_S = 5
MAX_WAIT_S = 10
_PATH = "/v1/orders"
_ORDER = "/v1/orders/{order_id}"
_FROM_HEADERS = ("request_id", "wait_ms")


async def place_order(face: Face, request: Request) -> Response:
    """Place an order and wait for its reservation as long as ``Prefer: wait`` says."""
    body = await body_of(request)
    tenant = await face.tenant(incoming(request.scope))
    command = command_of(request, tenant, _PATH, body, is_key_needed=True)

    async def run() -> Response:
        return await _place(face, request, tenant, command)

    return await once(face.keys, command, run)


async def _place(face: Face, request: Request, tenant: str, command: Command) -> Response:
    brought = incoming(request.scope)
    wait_s = wait_of(request.headers.get("prefer", ""))
    message = from_json(
        wire.PlaceOrderRequest, decoded(command.body), _FROM_HEADERS,
        {"request_id": command.command_id, "wait_ms": wait_s * 1000},
    )  # fmt: skip
    if not message.order_id:
        message.order_id = command.minted_id
    placed = await face.remote.call(
        ORDER["PlaceOrder"], message, brought.metadata(), max(brought.timeout_s, wait_s + 2)
    )
    if placed.status == wire.ORDER_STATUS_REFUSED:
        raise problem(
            placed.reason or "OUT_OF_STOCK",
            f"order {placed.order_id} was placed and refused",
            alternatives=[to_json(one) for one in placed.alternatives],
        )
    is_decided = placed.status != wire.ORDER_STATUS_PLACED
    shown_order = to_json(placed)
    shown_order["tracking_url"] = face.track(tenant, placed.order_id)
    headers = {"ETag": f'"{placed.version}"', "Location": f"{_PATH}/{placed.order_id}"}
    if "prefer" in request.headers:
        headers["Preference-Applied"] = f"wait={wait_s}"
    return json_response(shown_order, 201 if is_decided else 202, headers)


def wait_of(prefer: str) -> int:
    """Return how many seconds the caller wants to wait (RFC 7240).

    >>> wait_of("respond-async, wait=30")
    10
    """
    found = _WAIT.search(prefer)
    return min(int(found[1]), MAX_WAIT_S) if found else DEFAULT_WAIT_S


async def get_order(face: Face, request: Request) -> Response:
    """Show an order, with the address of its consumer's page."""
    brought = incoming(request.scope)
    order_id = request.path_params["order_id"]
    min_version = version_in(request.query_params.get("min_version", ""))
    message = wire.GetOrderRequest(order_id=order_id, min_version=min_version)
    answer = await face.remote.call(
        ORDER["GetOrder"], message, brought.metadata(), brought.timeout_s
    )
    response = shown(request, answer, "order")
    if response.status_code != HTTPStatus.NOT_MODIFIED:
        order: dict[str, Any] = to_json(answer.order)
        order["tracking_url"] = face.track(await face.tenant(brought), order_id)
        return Response(
            msgspec.json.encode(order),
            200,
            {name: response.headers[name] for name in ("etag", "cache-control")},
            "application/json",
        )
    return response


ROUTES = (
    Composed(
        "POST",
        _PATH,
        place_order,
        "Place an order from lines or from a basket",
        calls=(ORDER["PlaceOrder"],),
        parameters=(
            {
                "name": "Prefer",
                "in": "header",
                "description": "wait=N: seconds to wait for the reservation, 5 unless told, at "
                "most 10. 201: accepted. 202: not decided yet. 409: refused, with alternatives.",
            },
        ),
        body=ORDER["PlaceOrder"],
        hidden=_FROM_HEADERS,
        answers=ORDER["PlaceOrder"],
        status=201,
        needs_key=True,
        extra={"tracking_url": {"type": "string"}},
    ),
    Composed(
        "GET",
        _ORDER,
        get_order,
        "Show an order",
        calls=(ORDER["GetOrder"],),
        parameters=({"name": "min_version", "in": "query"},),
        answers=ORDER["GetOrder"],
    ),
    Route("GET", _PATH, ORDER["ListOrders"], "List orders, the latest first"),
    Route("POST", f"{_ORDER}:cancel", ORDER["CancelOrder"], "Cancel an order"),
    Route(
        "GET",
        f"{_ORDER}/tracking",
        ORDER["GetTimeline"],
        "What the consumer sees of an order",
        fixed={"view": wire.TIMELINE_VIEW_CONSUMER},
    ),
    Route(
        "GET",
        f"{_ORDER}/events",
        ORDER["GetTimeline"],
        "Everything that happened to an order",
        fixed={"view": wire.TIMELINE_VIEW_BANNER},
    ),
)
