"""PromiseService over gRPC: translate in, hand over, translate out. No rule lives here."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, override

from oms.common.v1.common_pb2 import SkuQuantity
from oms.stock_ledger.v1 import promise_service_pb2 as wire
from oms.stock_ledger.v1 import promise_service_pb2_grpc as rpc

from services.kernel.application.clock import Clock
from services.kernel.application.runner import Reader, Runner
from services.kernel.application.tasks import end
from services.kernel.domain.errors import Invalid
from services.kernel.domain.ids import identifier
from services.kernel.entrypoints.calls import caller, cause
from services.stock_ledger.application.rules import announce, put_rules
from services.stock_ledger.entrypoints import translation as to
from services.stock_ledger.entrypoints.promise_rows import (
    channel_of,
    delivery_of,
    pairs_of,
    promise_told,
    rule_of,
    rule_told,
    until_of,
)
from services.stock_ledger.read_models import promises, stock_board, stock_rules
from services.stock_ledger.read_models.promises import Promise

MOST_ROWS = 500
MOST_PAIRS = 1_000
MOST_WATCHED = 500
MOST_SITES = 1_000
MOST_COVERAGE = 5_000
MOST_WATCH_S = 240
MOST_PRODUCTS = 20
_PRODUCTS = 10
_MOST_SOUGHT = 64
_HEARTBEAT_S = 15.0
_LOOK_S = 1.0
_LEAST_PAUSE_S, _MOST_PAUSE_S = 0.2, 5.0
_REST = 4  # times as long as a look took
_MOST_LOOKS = 2  # at once: who watches leaves the database to those who ask and sell
SCOPES = {
    f"/oms.stock_ledger.v1.PromiseService/{method}": scope
    for scope, methods in {
        "stock:write": ("PutStockRules", "PutInbound"),
        "stock:read": (
            *("ListStockRules", "GetPromises", "GetBasketPromises", "WatchPromises"),
            "GetStockBoard",
        ),
    }.items()
    for method in methods
}


class PromiseGrpc(rpc.PromiseServiceServicer):
    def __init__(self, runner: Runner, reader: Reader, clock: Clock) -> None:
        self._runner = runner
        self._reader = reader
        self._clock = clock
        self._looking = asyncio.Semaphore(_MOST_LOOKS)

    @override
    async def PutStockRules(
        self, request: wire.PutStockRulesRequest, context: Any
    ) -> wire.PutStockRulesResponse:
        to.count(len(request.rows), MOST_ROWS, "rows")
        rules = [rule_of(row, f"rows[{n}]") for n, row in enumerate(request.rows)]
        changed = await self._runner.execute(
            cause(request.request_id), lambda work: put_rules(work, rules)
        )
        return wire.PutStockRulesResponse(changed=changed)

    @override
    async def ListStockRules(
        self, request: wire.ListStockRulesRequest, context: Any
    ) -> wire.ListStockRulesResponse:
        size = to.page_size(request.page_size)
        [after] = to.page_start(request.page_token)
        rows = await stock_rules.page(self._reader.sql, caller().tenant, after, size + 1)
        return wire.ListStockRulesResponse(
            rules=[rule_told(scope, quantity) for _, scope, quantity in rows[:size]],
            next_page_token=to.page_token(rows[size - 1][0]) if len(rows) > size else "",
        )

    @override
    async def PutInbound(
        self, request: wire.PutInboundRequest, context: Any
    ) -> wire.PutInboundResponse:
        to.count(len(request.rows), MOST_ROWS, "rows")
        deliveries = [delivery_of(row, f"rows[{n}]") for n, row in enumerate(request.rows)]
        changed = await self._runner.execute(
            cause(request.request_id), lambda work: announce(work, deliveries)
        )
        return wire.PutInboundResponse(changed=changed)

    @override
    async def GetPromises(
        self, request: wire.GetPromisesRequest, context: Any
    ) -> wire.GetPromisesResponse:
        pairs = pairs_of(request.pairs, MOST_PAIRS)
        now = self._clock.now()
        found = await promises.of_pairs(
            *(self._reader.sql, caller().tenant, pairs, channel_of(request.channel)),
            *(now, until_of(request, now)),
        )
        return wire.GetPromisesResponse(
            promises=[promise_told(one) for one in found], answered_at=to.timestamp(now)
        )

    @override
    async def GetBasketPromises(
        self, request: wire.GetBasketPromisesRequest, context: Any
    ) -> wire.GetBasketPromisesResponse:
        to.count(len(request.lines), MOST_ROWS, "lines")
        to.count(len(request.site_ids), MOST_SITES, "site_ids")
        basket: dict[str, int] = {}
        for n, line in enumerate(request.lines):
            sku = identifier(line.sku, f"lines[{n}].sku")
            wanted = to.quantity(line.quantity, f"lines[{n}].quantity")
            basket[sku] = basket.get(sku, 0) + wanted
        sites = [identifier(one, f"site_ids[{n}]") for n, one in enumerate(request.site_ids)]
        if len(basket) * len(sites) > MOST_COVERAGE:
            raise Invalid(("site_ids", f"lines times sites must be at most {MOST_COVERAGE}"))
        now = self._clock.now()
        found = await promises.of_basket(
            *(self._reader.sql, caller().tenant, basket, sites, channel_of(request.channel)),
            *(now, until_of(request, now)),
        )
        return wire.GetBasketPromisesResponse(
            sites=[
                wire.SitePromise(
                    site_id=one.site_id,
                    is_complete=not one.missing,
                    covered_skus=one.covered_skus,
                    missing=[
                        SkuQuantity(sku=sku, quantity=lacks) for sku, lacks in one.missing.items()
                    ],
                    confidence=wire.Confidence.ValueType(one.confidence),
                )
                for one in found
            ],
            answered_at=to.timestamp(now),
        )

    @override
    async def GetStockBoard(
        self, request: wire.GetStockBoardRequest, context: Any
    ) -> wire.GetStockBoardResponse:
        if not 0 <= request.page_size <= MOST_PRODUCTS:
            raise Invalid(("page_size", f"must be 0 to {MOST_PRODUCTS}"))
        if len(request.text) > _MOST_SOUGHT:
            raise Invalid(("text", f"must have at most {_MOST_SOUGHT} characters"))
        size = request.page_size or _PRODUCTS
        [after] = to.page_start(request.page_token)
        now = self._clock.now()
        found = await stock_board.page(
            *(self._reader.sql, caller().tenant, request.text),
            identifier(request.site_id, "site_id") if request.site_id else "",
            *(after, now, size + 1),
        )
        return wire.GetStockBoardResponse(
            products=[
                wire.StockBoardProduct(
                    sku=one.sku,
                    name=one.name,
                    rows=[
                        wire.StockBoardRow(
                            promise=promise_told(row.promise), on_hand_by_day=row.on_hand_by_day
                        )
                        for row in one.rows
                    ],
                )
                for one in found[:size]
            ],
            next_page_token=to.page_token(found[size - 1].sku) if len(found) > size else "",
            answered_at=to.timestamp(now),
        )

    @override
    async def WatchPromises(
        self, request: wire.WatchPromisesRequest, context: Any
    ) -> AsyncIterator[wire.WatchPromisesResponse]:
        pairs = pairs_of(request.pairs, MOST_WATCHED)
        channel, tenant = channel_of(request.channel), caller().tenant
        if not 0 <= request.max_seconds <= MOST_WATCH_S:
            raise Invalid(("max_seconds", f"must be 0 to {MOST_WATCH_S}"))
        loop = asyncio.get_running_loop()
        until_s = loop.time() + (request.max_seconds or MOST_WATCH_S)
        told: dict[tuple[str, str], Promise] = {}
        told_at_s = loop.time()
        while True:
            # Begun before the look: what moves while it looks or rests is not missed.
            moved = asyncio.create_task(self._reader.projected(_LOOK_S))
            try:
                began_s = loop.time()
                async with self._looking:
                    now = self._clock.now()
                    found = await promises.of_pairs(
                        self._reader.sql, tenant, pairs, channel, now, now
                    )
                took_s = loop.time() - began_s
                news = [one for one in found if told.get((one.site_id, one.sku)) != one]
                told |= {(one.site_id, one.sku): one for one in news}
                if news or loop.time() - told_at_s >= _HEARTBEAT_S:
                    told_at_s = loop.time()
                    yield wire.WatchPromisesResponse(promises=[promise_told(one) for one in news])
                if loop.time() >= until_s:
                    return
                # A store changes somewhere all the time: not more than so many looks a second
                # each, and fewer where looking takes long, because of many pairs or many who watch.
                await asyncio.sleep(min(max(_LEAST_PAUSE_S, _REST * took_s), _MOST_PAUSE_S))
                await moved
            finally:
                await end([moved])
