"""Baskets and quotes: prices come from order, feasibility from sourcing, side by side."""

from typing import Any

from oms.order.v1 import order_service_pb2 as order
from oms.sourcing.v1 import sourcing_service_pb2 as sourcing
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.entrypoints.http.bodies import body_of, decoded, json_response, version_in
from services.gateway.entrypoints.http.contracts import ORDER, SOURCING
from services.gateway.entrypoints.http.incoming import Incoming, incoming
from services.gateway.entrypoints.http.routes import Composed, Face, Route
from services.gateway.entrypoints.http.wire import from_json, to_json

_BASKET = "/v1/baskets/{basket_id}"
_ITEM = "/v1/baskets/{basket_id}/items/{line_id}"


async def quote_basket(face: Face, request: Request) -> Response:
    """Price a basket and say what could be promised for it."""
    body = await body_of(request)
    basket_id = request.path_params["basket_id"]
    question = from_json(
        order.QuoteBasketRequest, decoded(body), ("basket_id",), {"basket_id": basket_id}
    )
    if "min_version" in request.query_params:  # read your own writes, without a body
        question.min_version = version_in(request.query_params["min_version"])
    brought = incoming(request.scope)
    answer = await face.remote.call(
        ORDER["QuoteBasket"], question, brought.metadata(), brought.timeout_s
    )
    quote = await _quoted(face, brought, answer.prices)
    return json_response({**quote, "basket_version": answer.basket_version})


async def quote_lines(face: Face, request: Request) -> Response:
    """Price lines without a basket and say what could be promised for them."""
    question = from_json(order.QuoteRequest, decoded(await body_of(request)))
    brought = incoming(request.scope)
    answer = await face.remote.call(ORDER["Quote"], question, brought.metadata(), brought.timeout_s)
    return json_response(await _quoted(face, brought, answer.prices))


async def _quoted(face: Face, brought: Incoming, prices: order.Prices) -> dict[str, Any]:
    quote: dict[str, Any] = {"prices": to_json(prices)}
    chosen = [line for line in prices.lines if line.choice.mode_id]
    if chosen and len(chosen) == len(prices.lines):  # an unchosen line cannot be promised yet
        question = sourcing.QuoteRequest(
            lines=[
                sourcing.QuoteLine(
                    line_id=line.line_id, sku=line.sku, quantity=line.quantity, choice=line.choice
                )
                for line in chosen
            ],
            currency=prices.currency,
        )
        promise = await face.remote.call(
            SOURCING["Quote"], question, brought.metadata(), brought.timeout_s
        )
        quote["promise"] = to_json(promise)
    return quote


ROUTES = (
    Route(
        "POST",
        "/v1/baskets",
        ORDER["CreateBasket"],
        "Begin a basket",
        status=201,
        shows="basket",
        minted="basket_id",
        location=_BASKET,
    ),
    Route("GET", _BASKET, ORDER["GetBasket"], "Show a basket", shows="basket"),
    Route(
        "POST",
        f"{_BASKET}/items",
        ORDER["AddBasketLine"],
        "Put a product into the basket",
        status=201,
        shows="basket",
        minted="line_id",
        location=_ITEM,
    ),
    Route("PUT", _ITEM, ORDER["ChangeBasketLine"], "Change the quantity", shows="basket"),
    Route("DELETE", _ITEM, ORDER["RemoveBasketLine"], "Take a line out", shows="basket"),
    Route(
        "PUT",
        f"{_ITEM}/choice",
        ORDER["ChooseForLine"],
        "Choose mode, site and time for a line, whole or in parts",
        shows="basket",
    ),
    Route(
        "PUT",
        f"{_BASKET}/choice",
        ORDER["ChooseForAll"],
        "Choose mode, site and time for every line",
        shows="basket",
        takes="choice",
    ),
    Composed(
        "GET",
        f"{_BASKET}/quote",
        quote_basket,
        "Price a basket and say what could be promised",
        calls=(ORDER["QuoteBasket"], SOURCING["Quote"]),
        parameters=({"name": "min_version", "in": "query"},),
    ),
    Composed(
        "POST",
        f"{_BASKET}:quote",
        quote_basket,
        "Price a basket with discounts and say what could be promised",
        calls=(ORDER["QuoteBasket"], SOURCING["Quote"]),
        body=ORDER["QuoteBasket"],
        hidden=("basket_id",),
    ),
    Composed(
        "POST",
        "/v1/promises:quote",
        quote_lines,
        "Price lines and say what could be promised",
        calls=(ORDER["Quote"], SOURCING["Quote"]),
        body=ORDER["Quote"],
    ),
)
