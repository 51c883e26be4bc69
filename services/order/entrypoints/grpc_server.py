"""OrderService over gRPC: translate in, hand over, translate out. No rule lives here.

Orders and their timelines; what is asked before anything is ordered is in ``basket_calls``.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, override

from oms.order.v1 import order_service_pb2 as wire

from services.kernel.application.runner import Overloaded
from services.kernel.application.work import Versioned
from services.kernel.domain.errors import Invalid, NotFound
from services.kernel.domain.messages import Cause, stream_id
from services.kernel.entrypoints.calls import caller, cause
from services.order.domain.consumer_view import consumer_view
from services.order.domain.order_state import Order, Status
from services.order.entrypoints import answers, requests, timeline_answers
from services.order.entrypoints.basket_calls import BasketCalls
from services.order.read_models import order_summary, order_timeline
from services.order.read_models.order_detail import detail_of
from services.order.read_models.order_timeline import Entry

SCOPES = {
    f"/oms.order.v1.OrderService/{method}": scope
    for scope, methods in {
        "orders:read": (
            *("GetBasket", "QuoteBasket", "Quote"),
            *("GetOrder", "ListOrders", "GetTimeline", "WatchTimeline"),
        ),
        "orders:write": (
            *("CreateBasket", "AddBasketLine", "ChangeBasketLine", "RemoveBasketLine"),
            *("ChooseForLine", "ChooseForAll", "PlaceOrder", "CancelOrder"),
        ),
    }.items()
    for method in methods
}

DEFAULT_PAGE = 50
_HEARTBEAT_S = 15.0
_RECORDED_AFTER_MS = 100
_VIEWS = (wire.TIMELINE_VIEW_BANNER, wire.TIMELINE_VIEW_CONSUMER)


class OrderGrpc(BasketCalls):
    @override
    async def PlaceOrder(
        self, request: wire.PlaceOrderRequest, context: Any
    ) -> wire.PlaceOrderResponse:
        why = cause(request.request_id)
        wait_ms = requests.whole(request.wait_ms, "wait_ms", 0, requests.MAX_WAIT_MS)
        asked = requests.placement_of(request)
        known = await self._handlers.place(why, asked)
        if wait_ms and known.state.status is Status.PLACED:
            known = await self._settled(why, asked.order_id, known, wait_ms / 1000)
        return answers.standing_shown(asked.order_id, known)

    @override
    async def GetOrder(self, request: wire.GetOrderRequest, context: Any) -> wire.GetOrderResponse:
        order_id = requests.order_id_of(request.order_id)
        entries = await self._entries(order_id, 0, request.min_version)
        if len(entries) == order_timeline.MOST_ENTRIES:
            entries = await self._all(order_id)
        detail = detail_of([entry.fact for entry in entries])
        return wire.GetOrderResponse(order=answers.order_shown(order_id, detail))

    @override
    async def ListOrders(
        self, request: wire.ListOrdersRequest, context: Any
    ) -> wire.ListOrdersResponse:
        if request.status not in wire.OrderStatus.values():
            raise Invalid(("status", "must be one of the known statuses, or left out"))
        limit = requests.page_size_of(request.page_size, DEFAULT_PAGE)
        found = await order_summary.latest(
            self._reader.sql,
            tenant=caller().tenant,
            customer_id=requests.customer_id_of(request.customer_id),
            status=answers.status_name(request.status),
            after=requests.cursor_of(request.page_token),
            limit=limit + 1,
        )
        shown = found[:limit]
        last = order_summary.Cursor(shown[-1].placed_at, shown[-1].order_id) if shown else None
        has_more = len(found) > limit and last is not None
        return wire.ListOrdersResponse(
            orders=[answers.summary_shown(one) for one in shown],
            next_page_token=requests.token_of(last) if has_more and last else "",
        )

    @override
    async def GetTimeline(
        self, request: wire.GetTimelineRequest, context: Any
    ) -> wire.GetTimelineResponse:
        order_id = requests.order_id_of(request.order_id)
        view = _view(request.view)
        after = requests.version_of(request.after_version, "after_version")
        limit = requests.page_size_of(request.page_size, requests.MAX_PAGE)
        entries = await self._entries(order_id, after, request.min_version, limit + 1)
        shown = entries[:limit]
        return wire.GetTimelineResponse(
            entries=_shown(shown, view),
            version=shown[-1].fact.version if shown else after,
            has_more=len(entries) > limit,
        )

    @override
    async def WatchTimeline(
        self, request: wire.WatchTimelineRequest, context: Any
    ) -> AsyncIterator[wire.WatchTimelineResponse]:
        order_id = requests.order_id_of(request.order_id)
        view = _view(request.view)
        version = requests.version_of(request.after_version, "after_version")
        watch_s = requests.whole(
            request.max_seconds or requests.DEFAULT_WATCH_S,
            "max_seconds",
            1,
            requests.MAX_WATCH_S,
        )
        news = await self._entries(order_id, version, 0)
        stream = stream_id(caller().tenant, "order", order_id)
        loop = asyncio.get_running_loop()
        until = loop.time() + watch_s
        # Up to where the stream was read: not every event need be an entry.
        read = version
        while True:
            for entry in news:
                version = entry.fact.version
                for shown in _shown([entry], view):
                    yield wire.WatchTimelineResponse(entry=shown, version=version)
            read = max(read, version)
            left_s = until - loop.time()
            if left_s <= 0:
                return
            recorded = await self._reader.changed(stream, read, min(left_s, _HEARTBEAT_S))
            if recorded > read:
                news, read = await self._after(order_id, version), recorded
            else:
                news = []
                yield wire.WatchTimelineResponse(version=version)

    @override
    async def CancelOrder(
        self, request: wire.CancelOrderRequest, context: Any
    ) -> wire.CancelOrderResponse:
        order_id = requests.order_id_of(request.order_id)
        known = await self._handlers.cancel(
            cause(request.request_id),
            order_id,
            requests.reason_of(request.reason),
            requests.version_of(request.expected_version, "expected_version"),
        )
        return wire.CancelOrderResponse(
            order_id=order_id,
            status=answers.status_shown(known.state.status),
            version=known.version,
        )

    async def _settled(
        self, why: Cause, order_id: str, known: Versioned[Order], wait_s: float
    ) -> Versioned[Order]:
        """Wait until the order is accepted, refused or cancelled, or the time is up.

        Whatever follows the placement in the order's stream is one of these.
        """
        stream = stream_id(why.tenant, "order", order_id)
        version = await self._reader.changed(stream, known.version, wait_s)
        if version <= known.version:
            return known
        latest = await self._handlers.standing(why, order_id)
        if latest.state.status is not Status.PLACED:
            return latest
        # Another process decided: what it recorded is in the log, if not in our cache.
        entries = await self._all(order_id)
        detail = detail_of([entry.fact for entry in entries])
        return Versioned(detail.order, detail.version)

    async def _entries(
        self,
        order_id: str,
        after: int,
        min_version: int,
        limit: int = order_timeline.MOST_ENTRIES,
    ) -> list[Entry]:
        """Return what happened to an order that this caller may see.

        Raises:
            NotFound: The tenant has no such order.
        """
        requests.version_of(min_version, "min_version")
        stream = stream_id(caller().tenant, "order", order_id)
        entries = await self._after(order_id, after, limit)
        version = entries[-1].fact.version if entries else 0
        if version < max(min_version, 1):
            version = await self._reader.changed(stream, 0, 0)
        if not version:
            raise NotFound("order", order_id)
        if version < min_version:
            raise Overloaded("that version is not recorded here", _RECORDED_AFTER_MS)
        return entries

    async def _all(self, order_id: str) -> list[Entry]:
        return await order_timeline.entries_of(
            self._reader, tenant=caller().tenant, order_id=order_id
        )

    async def _after(
        self, order_id: str, version: int, limit: int = order_timeline.MOST_ENTRIES
    ) -> list[Entry]:
        return await order_timeline.entries_after(
            self._reader,
            tenant=caller().tenant,
            order_id=order_id,
            version=version,
            limit=limit,
        )


def _view(view: "wire.TimelineView.ValueType") -> "wire.TimelineView.ValueType":
    if view not in _VIEWS:
        raise Invalid(("view", "must be banner or consumer"))
    return view


def _shown(
    entries: Sequence[Entry], view: "wire.TimelineView.ValueType"
) -> list[wire.TimelineEntry]:
    if view == wire.TIMELINE_VIEW_BANNER:
        return [timeline_answers.entry_shown(entry) for entry in entries]
    return [
        timeline_answers.told_shown(told) for told in consumer_view(entry.fact for entry in entries)
    ]
