"""PromiseService over gRPC: translate in, hand over, translate out. No rule lives here."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any, override

from oms.common.v1.common_pb2 import SkuQuantity
from oms.stock_ledger.v1 import promise_service_pb2 as wire
from oms.stock_ledger.v1 import promise_service_pb2_grpc as rpc

from services.kernel.application.clock import Clock
from services.kernel.application.runner import Reader, Runner
from services.kernel.application.tasks import end
from services.kernel.domain.errors import Invalid
from services.kernel.domain.ids import identifier
from services.kernel.domain.text import is_text
from services.kernel.entrypoints.calls import caller, cause
from services.stock_ledger.application.rules import announce, put_rules
from services.stock_ledger.domain.inbound import Announce, Expect
from services.stock_ledger.domain.stock_item import stock_key
from services.stock_ledger.domain.stock_rule import PutRule, RuleKind, Scope
from services.stock_ledger.entrypoints import translation as to
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
_MOST_CATEGORIES = 10
_MOST_TEXT = 128
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

_KINDS = {
    wire.STOCK_RULE_KIND_SAFETY: RuleKind.SAFETY,
    wire.STOCK_RULE_KIND_BUFFER: RuleKind.BUFFER,
    wire.STOCK_RULE_KIND_RING_FENCE: RuleKind.RING_FENCE,
}
_KINDS_TOLD = {kind: number for number, kind in _KINDS.items()}


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
        rules = [_put_rule(row, f"rows[{n}]") for n, row in enumerate(request.rows)]
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
            rules=[_rule(scope, quantity) for _, scope, quantity in rows[:size]],
            next_page_token=to.page_token(rows[size - 1][0]) if len(rows) > size else "",
        )

    @override
    async def PutInbound(
        self, request: wire.PutInboundRequest, context: Any
    ) -> wire.PutInboundResponse:
        to.count(len(request.rows), MOST_ROWS, "rows")
        deliveries = [_delivery(row, f"rows[{n}]") for n, row in enumerate(request.rows)]
        changed = await self._runner.execute(
            cause(request.request_id), lambda work: announce(work, deliveries)
        )
        return wire.PutInboundResponse(changed=changed)

    @override
    async def GetPromises(
        self, request: wire.GetPromisesRequest, context: Any
    ) -> wire.GetPromisesResponse:
        pairs = _pairs(request.pairs, MOST_PAIRS)
        now = self._clock.now()
        found = await promises.of_pairs(
            *(self._reader.sql, caller().tenant, pairs, _channel(request.channel)),
            *(now, _until(request, now)),
        )
        return wire.GetPromisesResponse(
            promises=[_promise(one) for one in found], answered_at=to.timestamp(now)
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
            *(self._reader.sql, caller().tenant, basket, sites, _channel(request.channel)),
            *(now, _until(request, now)),
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
                            promise=_promise(row.promise), on_hand_by_day=row.on_hand_by_day
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
        pairs = _pairs(request.pairs, MOST_WATCHED)
        channel, tenant = _channel(request.channel), caller().tenant
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
                    yield wire.WatchPromisesResponse(promises=[_promise(one) for one in news])
                if loop.time() >= until_s:
                    return
                # A store changes somewhere all the time: not more than so many looks a second
                # each, and fewer where looking takes long, because of many pairs or many who watch.
                await asyncio.sleep(min(max(_LEAST_PAUSE_S, _REST * took_s), _MOST_PAUSE_S))
                await moved
            finally:
                await end([moved])


def _pairs(asked: Sequence[wire.PromisePair], most: int) -> list[tuple[str, str]]:
    to.count(len(asked), most, "pairs")
    return [
        (identifier(pair.site_id, f"pairs[{n}].site_id"), identifier(pair.sku, f"pairs[{n}].sku"))
        for n, pair in enumerate(asked)
    ]


def _channel(channel: str) -> str:
    return identifier(channel, "channel") if channel else ""


def _until(request: Any, now: datetime) -> datetime:
    """Return the date asked for; not given or past, it is now."""
    if not request.HasField("until"):
        return now
    return max(_time(request.until, "until"), now)


def _time(stamp: Any, field: str) -> datetime:
    try:
        at: datetime = stamp.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise Invalid((field, "must be a time of the years 1 to 9999")) from None
    return at


def _put_rule(row: wire.StockRuleRow, field: str) -> PutRule:
    rule, field = row.rule, f"{field}.rule"
    kind = _KINDS.get(rule.kind)
    if kind is None:
        raise Invalid((f"{field}.kind", "must be one of the kinds of rules"))
    if (kind is RuleKind.SAFETY) == bool(rule.channel):
        raise Invalid(
            (f"{field}.channel", "must be given for buffers and ring-fences, and only for them")
        )
    if rule.sku and rule.category_path:
        raise Invalid((f"{field}.category_path", "must be empty where a product is given"))
    to.count(len(rule.category_path), _MOST_CATEGORIES, f"{field}.category_path", least=0)
    for n, level in enumerate(rule.category_path):
        if not (level.strip() and len(level) <= _MOST_TEXT and is_text(level)):
            raise Invalid(
                (f"{field}.category_path[{n}]", f"must be 1 to {_MOST_TEXT} printable characters")
            )
    if not 0 <= rule.quantity <= to.MOST_QUANTITY:
        raise Invalid((f"{field}.quantity", f"must be 0 to {to.MOST_QUANTITY}"))
    scope = Scope(
        kind,
        identifier(rule.channel, f"{field}.channel") if rule.channel else "",
        identifier(rule.site_id, f"{field}.site_id") if rule.site_id else "",
        tuple(rule.category_path),
        identifier(rule.sku, f"{field}.sku") if rule.sku else "",
    )
    return PutRule(scope, None if row.is_withdrawn else rule.quantity)


def _rule(scope: Scope, quantity: int) -> wire.StockRule:
    return wire.StockRule(
        kind=_KINDS_TOLD[scope.kind],
        channel=scope.channel,
        site_id=scope.site_id,
        category_path=scope.category_path,
        sku=scope.sku,
        quantity=quantity,
    )


def _delivery(row: wire.InboundRow, field: str) -> tuple[str, Expect | Announce]:
    if not (1 <= len(row.source_id) <= _MOST_TEXT and row.source_id.isprintable()):
        raise Invalid((f"{field}.source_id", f"must be 1 to {_MOST_TEXT} printable characters"))
    if not 0 <= row.quantity <= to.MOST_QUANTITY:
        raise Invalid((f"{field}.quantity", f"must be 0 to {to.MOST_QUANTITY}"))
    if not row.HasField("due_at"):
        raise Invalid((f"{field}.due_at", "must be given"))
    key = stock_key(
        identifier(row.site_id, f"{field}.site_id"), identifier(row.sku, f"{field}.sku")
    )
    due_at = _time(row.due_at, f"{field}.due_at")
    if not row.despatch_id:
        return key, Expect(row.source_id, row.quantity, due_at)
    if len(row.despatch_id) > _MOST_TEXT or not row.despatch_id.isprintable():
        raise Invalid(
            (f"{field}.despatch_id", f"must be at most {_MOST_TEXT} printable characters")
        )
    return key, Announce(row.despatch_id, row.source_id, row.quantity, due_at)


def _promise(one: Promise) -> wire.Promise:
    return wire.Promise(
        site_id=one.site_id,
        sku=one.sku,
        on_hand=one.on_hand,
        free=one.free,
        safety=one.safety,
        inbound=one.inbound,
        available_to_promise=one.available_to_promise,
        buffer=one.buffer,
        ring_fenced=one.ring_fenced,
        available_to_sell=one.available_to_sell,
        confidence=wire.Confidence.ValueType(one.confidence),
        updated_at=to.timestamp(one.updated_at),
        seen_at=to.timestamp(one.seen_at),
        version=one.version,
        reserved=one.reserved,
    )
