"""Baskets and quotes: prices come from order, feasibility from sourcing, side by side."""

from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from oms.order.v1 import order_service_pb2 as order
from oms.sourcing.v1 import sourcing_service_pb2 as sourcing

from services.gateway.entrypoints.http.bodies import Sent, json_response, reads
from services.gateway.entrypoints.http.contracts import ORDER, SOURCING
from services.gateway.entrypoints.http.document import described
from services.gateway.entrypoints.http.incoming import Incoming, incoming
from services.gateway.entrypoints.http.parameters import BasketId, MinVersion, refuse_stray
from services.gateway.entrypoints.http.resource import Resource
from services.gateway.entrypoints.http.routes import Face, Route
from services.gateway.entrypoints.http.schemas import object_schema, reference
from services.gateway.entrypoints.http.wire import from_json, to_json

_BASKET = "/v1/baskets/{basket_id}"
_ITEM = "/v1/baskets/{basket_id}/items/{line_id}"
_QUOTED = {
    "type": "object",
    "properties": {
        "prices": reference(order.Prices.DESCRIPTOR),
        "promise": reference(SOURCING["Quote"].output_type),
        "basket_version": {"type": "integer", "format": "int64"},
    },
}


def resource(face: Face) -> Resource:
    """Return the routes of baskets and quotes."""
    baskets = Resource("baskets", face, ROUTES)
    whole = Depends(reads(partial(from_json, order.QuoteRequest), face.caller))
    read = partial(from_json, order.QuoteBasketRequest, hidden=("basket_id",))
    kept = Depends(reads(read, face.caller))

    @baskets.get(
        f"{_BASKET}/quote",
        summary="Price a basket and say what could be promised",
        **described(ORDER["QuoteBasket"], SOURCING["Quote"], answer=_QUOTED),
    )
    async def quote_basket(
        request: Request, basket_id: BasketId, min_version: MinVersion
    ) -> Response:
        """Price a basket as it stands."""
        refuse_stray(request, ("min_version",))
        question = order.QuoteBasketRequest(basket_id=basket_id, min_version=min_version)
        return await _basket_quoted(face, request, question)

    @baskets.post(
        f"{_BASKET}:quote",
        summary="Price a basket with discounts and say what could be promised",
        **described(
            ORDER["QuoteBasket"],
            SOURCING["Quote"],
            body=object_schema(ORDER["QuoteBasket"].input_type, ("basket_id",)),
            answer=_QUOTED,
        ),
    )
    async def quote_basket_with(
        request: Request, sent: Annotated[Sent[order.QuoteBasketRequest], kept], basket_id: BasketId
    ) -> Response:
        """Price a basket with what the body adds."""
        sent.message.basket_id = basket_id
        return await _basket_quoted(face, request, sent.message)

    @baskets.post(
        "/v1/promises:quote",
        summary="Price lines and say what could be promised",
        **described(
            ORDER["Quote"],
            SOURCING["Quote"],
            body=object_schema(ORDER["Quote"].input_type),
            answer=_QUOTED,
        ),
    )
    async def quote_lines(
        request: Request, sent: Annotated[Sent[order.QuoteRequest], whole]
    ) -> Response:
        """Price lines without a basket."""
        brought = incoming(request.scope)
        answer = await face.remote.call(
            ORDER["Quote"], sent.message, brought.metadata(), brought.timeout_s
        )
        return json_response(await _quoted(face, brought, answer.prices))

    return baskets


async def _basket_quoted(
    face: Face, request: Request, question: order.QuoteBasketRequest
) -> Response:
    brought = incoming(request.scope)
    answer = await face.remote.call(
        ORDER["QuoteBasket"], question, brought.metadata(), brought.timeout_s
    )
    quote = await _quoted(face, brought, answer.prices)
    return json_response({**quote, "basket_version": answer.basket_version})


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
)
