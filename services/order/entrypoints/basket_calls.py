"""The calls of OrderService about baskets and prices: before anything is ordered."""

from typing import Any, override

from oms.order.v1 import order_service_pb2 as wire
from oms.order.v1 import order_service_pb2_grpc as rpc

from services.kernel.application.runner import Reader
from services.kernel.application.work import Versioned
from services.kernel.domain.errors import NotFound
from services.kernel.domain.ids import identifier
from services.kernel.domain.messages import stream_id
from services.kernel.entrypoints.calls import caller, cause
from services.order.application.handlers import OrderHandlers, lines_of
from services.order.domain import basket as baskets
from services.order.entrypoints import basket_answers, requests
from services.order.read_models import basket_view


class BasketCalls(rpc.OrderServiceServicer):
    def __init__(self, handlers: OrderHandlers, reader: Reader) -> None:
        self._handlers = handlers
        self._reader = reader

    @override
    async def CreateBasket(
        self, request: wire.CreateBasketRequest, context: Any
    ) -> wire.CreateBasketResponse:
        command = baskets.CreateBasket(requests.customer_id_of(request.customer_id))
        return wire.CreateBasketResponse(
            basket=await self._change(request.request_id, request.basket_id, command, 0)
        )

    @override
    async def AddBasketLine(
        self, request: wire.AddBasketLineRequest, context: Any
    ) -> wire.AddBasketLineResponse:
        command = baskets.AddLine(
            requests.line_id_of(request.line_id),
            identifier(request.sku, "sku"),
            requests.quantity_of(request.quantity),
            requests.choice_of(request.choice, "choice") if request.HasField("choice") else None,
        )
        return wire.AddBasketLineResponse(
            basket=await self._change(
                request.request_id, request.basket_id, command, request.expected_version
            )
        )

    @override
    async def ChangeBasketLine(
        self, request: wire.ChangeBasketLineRequest, context: Any
    ) -> wire.ChangeBasketLineResponse:
        command = baskets.ChangeLine(
            requests.line_id_of(request.line_id), requests.quantity_of(request.quantity)
        )
        return wire.ChangeBasketLineResponse(
            basket=await self._change(
                request.request_id, request.basket_id, command, request.expected_version
            )
        )

    @override
    async def RemoveBasketLine(
        self, request: wire.RemoveBasketLineRequest, context: Any
    ) -> wire.RemoveBasketLineResponse:
        command = baskets.RemoveLine(requests.line_id_of(request.line_id))
        return wire.RemoveBasketLineResponse(
            basket=await self._change(
                request.request_id, request.basket_id, command, request.expected_version
            )
        )

    @override
    async def ChooseForLine(
        self, request: wire.ChooseForLineRequest, context: Any
    ) -> wire.ChooseForLineResponse:
        command = baskets.ChooseForLine(
            requests.line_id_of(request.line_id), requests.parts_of(request.parts)
        )
        return wire.ChooseForLineResponse(
            basket=await self._change(
                request.request_id, request.basket_id, command, request.expected_version
            )
        )

    @override
    async def ChooseForAll(
        self, request: wire.ChooseForAllRequest, context: Any
    ) -> wire.ChooseForAllResponse:
        command = baskets.ChooseForAll(requests.choice_of(request.choice, "choice"))
        return wire.ChooseForAllResponse(
            basket=await self._change(
                request.request_id, request.basket_id, command, request.expected_version
            )
        )

    @override
    async def GetBasket(
        self, request: wire.GetBasketRequest, context: Any
    ) -> wire.GetBasketResponse:
        basket_id, known = await self._basket(request.basket_id, request.min_version)
        return wire.GetBasketResponse(basket=basket_answers.basket_shown(basket_id, known))

    @override
    async def QuoteBasket(
        self, request: wire.QuoteBasketRequest, context: Any
    ) -> wire.QuoteBasketResponse:
        discounts = requests.discounts_of(request.discounts)
        _, known = await self._basket(request.basket_id, request.min_version)
        lines = lines_of(known.state)
        if not lines:
            return wire.QuoteBasketResponse(prices=wire.Prices(), basket_version=known.version)
        priced = await self._handlers.quote(caller().tenant, lines, discounts)
        return wire.QuoteBasketResponse(
            prices=basket_answers.prices_shown(priced), basket_version=known.version
        )

    @override
    async def Quote(self, request: wire.QuoteRequest, context: Any) -> wire.QuoteResponse:
        priced = await self._handlers.quote(
            caller().tenant,
            requests.lines_of(request.lines, needs_choice=False),
            requests.discounts_of(request.discounts),
        )
        return wire.QuoteResponse(prices=basket_answers.prices_shown(priced))

    async def _change(
        self, request_id: str, basket_id: str, command: baskets.Command, expected_version: int
    ) -> wire.Basket:
        why = cause(request_id)
        basket_id = requests.order_id_of(basket_id, "basket_id")
        known = await self._handlers.change_basket(
            why,
            basket_id,
            command,
            requests.version_of(expected_version, "expected_version"),
        )
        return basket_answers.basket_shown(basket_id, known)

    async def _basket(
        self, basket_id: str, min_version: int
    ) -> tuple[str, Versioned[baskets.Basket]]:
        tenant, basket_id = caller().tenant, requests.order_id_of(basket_id, "basket_id")
        if requests.version_of(min_version, "min_version"):
            await self._reader.at_least(stream_id(tenant, "basket", basket_id), min_version)
        known = await basket_view.basket_of(self._reader.sql, tenant=tenant, basket_id=basket_id)
        if known is None and await self._catches_up(stream_id(tenant, "basket", basket_id)):
            known = await basket_view.basket_of(
                self._reader.sql, tenant=tenant, basket_id=basket_id
            )
        if known is None:
            raise NotFound("basket", basket_id)
        return basket_id, known

    async def _catches_up(self, stream: str) -> bool:
        """Wait for the read models when they show nothing yet of a stream that is there."""
        recorded = await self._reader.changed(stream, 0, 0)
        if recorded:
            await self._reader.at_least(stream, recorded)
        return recorded > 0
