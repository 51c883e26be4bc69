"""Orders: placement that waits for its acceptance, the order, its timelines."""

import re
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response
from oms.order.v1 import order_service_pb2 as wire

from services.gateway.entrypoints.http.bodies import Sent, json_response, reads, shown
from services.gateway.entrypoints.http.contracts import ORDER
from services.gateway.entrypoints.http.document import described
from services.gateway.entrypoints.http.incoming import incoming
from services.gateway.entrypoints.http.parameters import (
    MinVersion,
    OrderId,
    RequiredKey,
    refuse_stray,
)
from services.gateway.entrypoints.http.problems import problem
from services.gateway.entrypoints.http.repeats import Command, command_of, once
from services.gateway.entrypoints.http.resource import Resource
from services.gateway.entrypoints.http.routes import Face, Route
from services.gateway.entrypoints.http.schemas import object_schema
from services.gateway.entrypoints.http.wire import from_json, to_json

_WAIT = re.compile(r"(?:^|[,;\s])wait=(\d{1,3})(?:$|[,;\s])")
DEFAULT_WAIT_S = 5
MAX_WAIT_S = 10
_PATH = "/v1/orders"
_ORDER = "/v1/orders/{order_id}"
_FROM_HEADERS = ("request_id", "wait_ms")

Placing = Sent[wire.PlaceOrderRequest]
Prefer = Annotated[
    str,
    Header(
        description="wait=N: seconds to wait for the reservation, 5 unless told, at most 10. "
        "201: accepted. 202: not decided yet. 409: refused, with alternatives.",
        default_factory=str,
    ),
]


def resource(face: Face) -> Resource:
    """Return the routes of orders."""
    orders = Resource("orders", face)
    body = Depends(
        reads(partial(from_json, wire.PlaceOrderRequest, hidden=_FROM_HEADERS), face.caller)
    )

    @orders.post(
        _PATH,
        summary="Place an order from lines or from a basket",
        status_code=HTTPStatus.CREATED,
        **described(
            ORDER["PlaceOrder"],
            body=object_schema(ORDER["PlaceOrder"].input_type, _FROM_HEADERS),
            answer=_tracked(ORDER["PlaceOrder"].output_type),
            statuses=(201, 202),
        ),
    )
    async def place_order(
        request: Request, sent: Annotated[Placing, body], key: RequiredKey, prefer: Prefer
    ) -> Response:
        """Place an order and wait for its reservation as long as ``Prefer: wait`` says."""
        command = command_of(request, sent, _PATH, key, ORDER["PlaceOrder"])

        async def run() -> Response:
            return await _place(face, request, sent, command, prefer)

        return await once(face.keys, command, run)

    @orders.get(
        _ORDER,
        summary="Show an order",
        **described(
            ORDER["GetOrder"],
            answer=_tracked(ORDER["GetOrder"].output_type.fields_by_name["order"].message_type),
        ),
    )
    async def get_order(request: Request, order_id: OrderId, min_version: MinVersion) -> Response:
        """Show an order, with the address of its consumer's page."""
        refuse_stray(request, ("min_version",))
        return await _show(face, request, order_id, min_version)

    orders.add(ROUTES)
    return orders


def _tracked(message: Any) -> dict[str, Any]:
    schema = object_schema(message)
    schema["properties"] |= {"tracking_url": {"type": "string", "format": "uri-reference"}}
    return schema


async def _place(
    face: Face, request: Request, sent: Placing, command: Command, prefer: str
) -> Response:
    brought, message = incoming(request.scope), sent.message
    wait_s = wait_of(prefer)
    message.request_id, message.wait_ms = command.command_id, wait_s * 1000
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
    shown_order["tracking_url"] = face.track(sent.tenant, placed.order_id)
    headers = {"ETag": f'"{placed.version}"', "Location": f"{_PATH}/{placed.order_id}"}
    if prefer:
        headers["Preference-Applied"] = f"wait={wait_s}"
    return json_response(shown_order, 201 if is_decided else 202, headers)


def wait_of(prefer: str) -> int:
    """Return how many seconds the caller wants to wait (RFC 7240).

    >>> wait_of("respond-async, wait=30")
    10
    """
    found = _WAIT.search(prefer)
    return min(int(found[1]), MAX_WAIT_S) if found else DEFAULT_WAIT_S


async def _show(face: Face, request: Request, order_id: str, min_version: int) -> Response:
    brought = incoming(request.scope)
    message = wire.GetOrderRequest(order_id=order_id, min_version=min_version)
    answer = await face.remote.call(
        ORDER["GetOrder"], message, brought.metadata(), brought.timeout_s
    )
    page = {"tracking_url": face.track((await face.caller(request)).tenant, order_id)}
    return shown(request, answer, "order", made=page)


ROUTES = (
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
