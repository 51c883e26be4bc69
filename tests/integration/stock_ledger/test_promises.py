"""What may be promised: balance, rules, what is on its way, and how far the books are trusted."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from oms.catalog.v1.catalog_events_pb2 import CatalogEvent, Product, ProductUpserted
from oms.common.v1.common_pb2 import SkuQuantity
from oms.stock_ledger.v1 import promise_service_pb2 as wire

from services.kernel.application.work import Work
from services.kernel.domain.errors import Invalid, Rejected
from services.kernel.entrypoints.calls import CALLER, Caller
from services.stock_ledger.application.recording import record
from services.stock_ledger.domain.stock_commands import Receive, SellAtTill
from services.stock_ledger.domain.stock_item import stock_key
from services.stock_ledger.domain.stock_rule import STOCK_RULE, PutRule, RuleKind, Scope
from services.stock_ledger.entrypoints.promise_server import PromiseGrpc
from services.stock_ledger.read_models.verification import violations
from tests.support.stack import TENANT, Stack, a_cause, running

pytestmark = pytest.mark.stack
NOTHING: Any = None
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
KINDS = {
    "safety": wire.STOCK_RULE_KIND_SAFETY,
    "buffer": wire.STOCK_RULE_KIND_BUFFER,
    "fence": wire.STOCK_RULE_KIND_RING_FENCE,
}


class Clock:
    def now(self) -> datetime:
        return NOW


class Promises:
    """The service on its stack, and what a test asks of it most."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.host = stack["stock_ledger"]
        self.grpc = PromiseGrpc(self.host.runner, self.host.reader, Clock())

    async def receive(self, sku: str, quantity: int, source_id: str, at: datetime = NOW) -> None:
        movement = (stock_key("paris", sku), Receive(quantity, source_id, at))
        await self.host.runner.execute(
            a_cause(f"receive-{source_id}"), lambda work: record(work, [movement])
        )
        await self.stack.settle()

    async def put(self, request_id: str, *rules: tuple[str, int | None, dict[str, Any]]) -> int:
        rows = [
            wire.StockRuleRow(
                rule=wire.StockRule(kind=KINDS[kind], quantity=quantity or 0, **scope),
                is_withdrawn=quantity is None,
            )
            for kind, quantity, scope in rules
        ]
        request = wire.PutStockRulesRequest(request_id=request_id, rows=rows)
        changed = (await self.grpc.PutStockRules(request, NOTHING)).changed
        await self.stack.settle()
        return changed

    async def of(
        self, sku: str, channel: str = "", until: datetime | None = None, site_id: str = "paris"
    ) -> wire.Promise:
        request = wire.GetPromisesRequest(
            pairs=[wire.PromisePair(site_id=site_id, sku=sku)], channel=channel, until=_stamp(until)
        )
        [promise] = (await self.grpc.GetPromises(request, NOTHING)).promises
        return promise

    async def sellable(self, sku: str, channel: str = "", until: datetime | None = None) -> int:
        return (await self.of(sku, channel, until)).available_to_sell


def _stamp(at: datetime | None) -> Timestamp | None:
    if at is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp


@pytest.fixture
async def promises(postgres_dsn: str) -> AsyncIterator[Promises]:
    CALLER.set(Caller(TENANT, "test", frozenset(), "correlation", ""))
    async with running(postgres_dsn, ["stock_ledger"]) as stack:
        yield Promises(stack)


async def test_rules_take_off_what_they_say_and_the_nearest_wins(promises: Promises) -> None:
    product = Product(sku="tea", name="Thé vert", category_path=["Épicerie", "Thé"])
    event = CatalogEvent(product_upserted=ProductUpserted(product=product))
    await promises.stack.publish(event, "product-tea")
    await promises.receive("tea", 20, "note-1")

    assert await promises.sellable("tea", "web") == 20
    put = promises.put
    assert await put("r1", ("safety", 2, {})) == 1
    assert await promises.sellable("tea", "web") == 18
    assert await put("r2", ("safety", 4, {"category_path": ["Épicerie"]})) == 1
    assert await promises.sellable("tea", "web") == 16
    assert await put("r3", ("safety", 1, {"sku": "tea", "site_id": "paris"})) == 1
    assert await promises.sellable("tea", "web") == 19
    await put("r4", ("buffer", 3, {"channel": "web"}), ("fence", 6, {"channel": "drive"}))
    assert await promises.sellable("tea", "web") == 10
    assert await promises.sellable("tea", "drive") == 19
    assert await promises.sellable("tea") == 13

    told = await promises.of("tea", "web")
    parts = (told.free, told.safety, told.available_to_promise, told.buffer, told.ring_fenced)
    assert parts == (20, 1, 19, 3, 6)
    await put("r5", ("fence", 500, {"channel": "drive"}))
    assert await promises.sellable("tea", "web") == 0, "never below zero"
    await put("r6", ("fence", None, {"channel": "drive"}), ("buffer", None, {"channel": "web"}))
    assert await promises.sellable("tea", "web") == 19

    rules = (await promises.grpc.ListStockRules(wire.ListStockRulesRequest(), NOTHING)).rules
    assert sorted((rule.quantity, list(rule.category_path), rule.sku) for rule in rules) == [
        (1, [], "tea"),
        (2, [], ""),
        (4, ["Épicerie"], ""),
    ]
    assert await put("r7", ("safety", 2, {})) == 0, "said before"


async def test_a_rule_of_letters_that_read_the_same_is_the_same_rule(promises: Promises) -> None:
    """One that was set while they were told apart is replaced by the one that is set now."""
    scope = Scope(RuleKind.SAFETY, category_path=("Thé\u00a0vert",))

    async def as_before(work: Work) -> None:
        await work.handle(STOCK_RULE, scope.letter_id, PutRule(scope, 9))

    await promises.host.runner.execute(a_cause("old"), as_before)
    await promises.stack.settle()

    async def told() -> list[tuple[list[str], int]]:
        request = wire.ListStockRulesRequest(page_size=1)
        rules = []
        while True:
            page = await promises.grpc.ListStockRules(request, NOTHING)
            rules += [(list(rule.category_path), rule.quantity) for rule in page.rules]
            request.page_token = page.next_page_token
            if not request.page_token:
                return sorted(rules)

    assert await told() == [(["Thé\u00a0vert"], 9)]
    await promises.put("r0", ("safety", 1, {"sku": "tea"}))
    assert await promises.put("r1", ("safety", 4, {"category_path": ["Thé\u00a0vert"]})) == 1
    assert await told() == [([], 1), (["Thé\u00a0vert"], 4)]
    assert await promises.put("r2", ("safety", 4, {"category_path": ["Thé vert"]})) == 0
    assert await promises.put("r3", ("safety", None, {"category_path": [" Thé  vert"]})) == 1
    assert await told() == [([], 1)]
    assert [one async for one in violations(promises.host.database.sql, NOW)] == []
    with pytest.raises(Invalid, match="category_path"):
        await promises.put("r4", ("safety", 4, {"category_path": ["\u00a0"]}))


async def test_a_call_that_comes_again_after_anothers_change_is_answered_as_before(
    promises: Promises,
) -> None:
    """It changes nothing: what was said since is newer."""
    put, tea = promises.put, {"sku": "tea"}
    await put("r0", ("safety", 2, {}))
    web = {"channel": "web"}
    first: tuple[tuple[str, int, dict[str, Any]], ...]
    first = (("safety", 2, {}), ("safety", 4, tea), ("buffer", 1, web))
    assert await put("r1", *first) == 2
    assert await put("r2", ("safety", 7, tea), ("safety", 3, {})) == 2
    assert await put("r3", ("safety", None, tea)) == 1
    for _ in range(2):
        assert await put("r1", *first) == 2
        assert await put("r2", ("safety", 7, tea), ("safety", 3, {})) == 2
        assert await put("r3", ("safety", None, tea)) == 1
    with pytest.raises(Rejected, match="IDEMPOTENCY_MISMATCH"):
        await put("r1", ("safety", 5, tea))
    rules = (await promises.grpc.ListStockRules(wire.ListStockRulesRequest(), NOTHING)).rules
    assert sorted((rule.quantity, rule.sku) for rule in rules) == [(1, ""), (3, "")]


async def test_an_announcement_that_comes_again_after_anothers_is_answered_as_before(
    promises: Promises,
) -> None:
    def call(request_id: str, quantity: int) -> wire.PutInboundRequest:
        row = wire.InboundRow(site_id="paris", sku="tea", source_id="po-1", quantity=quantity)
        row.due_at.FromDatetime(NOW + timedelta(days=1))
        rows = [row, wire.InboundRow()]
        rows[1].CopyFrom(row)
        rows[1].source_id, rows[1].despatch_id = "line-1", "D-1"
        return wire.PutInboundRequest(request_id=request_id, rows=rows)

    for request_id, quantity in (("i1", 10), ("i2", 20), ("i3", 0), ("i1", 10), ("i2", 20)):
        answer = await promises.grpc.PutInbound(call(request_id, quantity), NOTHING)
        assert answer.changed == 2
    with pytest.raises(Rejected, match="IDEMPOTENCY_MISMATCH"):
        await promises.grpc.PutInbound(call("i1", 11), NOTHING)
    await promises.stack.settle()
    assert await promises.sellable("tea", until=NOW + timedelta(days=2)) == 0


async def test_a_call_that_changed_nothing_changes_nothing_when_it_comes_again(
    promises: Promises,
) -> None:
    put = promises.put
    await put("r0", ("safety", 2, {}))
    assert await put("r1", ("safety", 2, {}), ("safety", None, {"sku": "tea"})) == 0
    assert await put("r2", ("safety", 7, {}), ("safety", 3, {"sku": "tea"})) == 2
    for _ in range(2):
        assert await put("r1", ("safety", 2, {}), ("safety", None, {"sku": "tea"})) == 0
    with pytest.raises(Rejected, match="IDEMPOTENCY_MISMATCH"):
        await put("r1", ("safety", 5, {}))
    rules = (await promises.grpc.ListStockRules(wire.ListStockRulesRequest(), NOTHING)).rules
    assert sorted((rule.quantity, rule.sku) for rule in rules) == [(3, "tea"), (7, "")]


async def test_an_announcement_that_was_known_changes_nothing_when_it_comes_again(
    promises: Promises,
) -> None:
    async def said(request_id: str, quantity: int) -> int:
        row = wire.InboundRow(site_id="paris", sku="tea", source_id="po-1", quantity=quantity)
        row.due_at.FromDatetime(NOW + timedelta(days=1))
        call = wire.PutInboundRequest(request_id=request_id, rows=[row])
        return (await promises.grpc.PutInbound(call, NOTHING)).changed

    told = [("i1", 10), ("i2", 10), ("i3", 20), ("i2", 10), ("i1", 10)]
    assert [await said(*one) for one in told] == [1, 0, 1, 0, 1]
    with pytest.raises(Rejected, match="IDEMPOTENCY_MISMATCH"):
        await said("i2", 11)
    await promises.stack.settle()
    assert await promises.sellable("tea", until=NOW + timedelta(days=2)) == 20


async def test_what_is_due_by_the_date_counts_until_it_is_received(promises: Promises) -> None:
    await promises.receive("tea", 5, "note-1")
    tomorrow, week = NOW + timedelta(days=1), NOW + timedelta(days=7)
    rows = [
        wire.InboundRow(site_id="paris", sku="tea", source_id=s, quantity=q, due_at=_stamp(at))
        for s, q, at in (("po-1", 10, tomorrow), ("po-2", 30, week))
    ]
    request = wire.PutInboundRequest(request_id="i1", rows=rows)
    assert (await promises.grpc.PutInbound(request, NOTHING)).changed == 2
    await promises.stack.settle()

    assert await promises.sellable("tea") == 5
    assert await promises.sellable("tea", until=tomorrow) == 15
    assert await promises.sellable("tea", until=week) == 45

    await promises.receive("tea", 8, "po-1")  # two are still missing
    assert await promises.sellable("tea", until=tomorrow) == 15
    assert (await promises.of("tea", until=tomorrow)).inbound == 2
    rows[0].quantity = 0
    await promises.grpc.PutInbound(wire.PutInboundRequest(request_id="i2", rows=rows), NOTHING)
    await promises.stack.settle()
    assert await promises.sellable("tea", until=tomorrow) == 13


async def test_what_is_overdue_is_not_there(promises: Promises) -> None:
    """It may still come by a later date; now, only what is there can be sold."""
    await promises.receive("tea", 5, "note-1")
    late = _stamp(NOW - timedelta(days=1))
    row = wire.InboundRow(site_id="paris", sku="tea", source_id="po-1", quantity=10, due_at=late)
    await promises.grpc.PutInbound(wire.PutInboundRequest(request_id="i1", rows=[row]), NOTHING)
    await promises.stack.settle()
    assert await promises.sellable("tea") == 5
    assert await promises.sellable("tea", until=NOW - timedelta(hours=1)) == 5
    assert await promises.sellable("tea", until=NOW + timedelta(hours=1)) == 15
    watch = wire.WatchPromisesRequest(
        pairs=[wire.PromisePair(site_id="paris", sku="tea")], max_seconds=1
    )
    told = [answer async for answer in promises.grpc.WatchPromises(watch, NOTHING)]
    assert [one.available_to_sell for one in told[0].promises] == [5]


async def test_the_answer_says_how_far_it_can_be_trusted(promises: Promises) -> None:
    assert (await promises.of("tea")).confidence == wire.CONFIDENCE_LOW
    await promises.receive("tea", 5, "note-1")
    fresh = await promises.of("tea")
    assert fresh.confidence == wire.CONFIDENCE_HIGH
    assert fresh.seen_at.ToDatetime(UTC) == NOW
    assert fresh.HasField("updated_at")
    await promises.receive("jam", 5, "note-2", NOW - timedelta(days=31))
    assert (await promises.of("jam")).confidence == wire.CONFIDENCE_MEDIUM

    sale = (stock_key("paris", "tea"), SellAtTill(9, "ticket-1", NOW))
    await promises.host.runner.execute(a_cause("sale"), lambda work: record(work, [sale]))
    await promises.stack.settle()

    oversold = await promises.of("tea")
    assert (oversold.available_to_promise, oversold.available_to_sell) == (-4, 0)
    assert oversold.confidence == wire.CONFIDENCE_LOW


async def test_a_basket_is_answered_for_many_sites_at_once(promises: Promises) -> None:
    await promises.receive("tea", 5, "note-1")
    await promises.receive("jam", 1, "note-2")
    await promises.put("r1", ("safety", 1, {"sku": "tea"}))

    answer = await promises.grpc.GetBasketPromises(
        wire.GetBasketPromisesRequest(
            lines=[SkuQuantity(sku="tea", quantity=2), SkuQuantity(sku="tea", quantity=3)],
            site_ids=["lyon", "paris"],
        ),
        NOTHING,
    )

    lyon, paris = answer.sites
    assert [(one.sku, one.quantity) for one in paris.missing] == [("tea", 1)]
    assert [(one.sku, one.quantity) for one in lyon.missing] == [("tea", 5)]
    assert (lyon.confidence, paris.confidence) == (wire.CONFIDENCE_LOW, wire.CONFIDENCE_HIGH)


async def test_a_watch_tells_what_changes_and_nothing_else(promises: Promises) -> None:
    await promises.receive("tea", 5, "note-1")
    await promises.receive("jam", 5, "note-2")
    request = wire.WatchPromisesRequest(
        pairs=[wire.PromisePair(site_id="paris", sku=sku) for sku in ("tea", "jam")],
        max_seconds=60,
    )
    watch: Any = promises.grpc.WatchPromises(request, NOTHING)
    async with asyncio.timeout(20):
        first = await anext(watch)
        assert [one.sku for one in first.promises] == ["tea", "jam"]
        await promises.receive("jam", 2, "note-3")
        news = await anext(watch)
        assert [(one.sku, one.free) for one in news.promises] == [("jam", 7)]
        await promises.put("r1", ("safety", 1, {"sku": "tea"}))
        news = await anext(watch)
        assert [(one.sku, one.available_to_sell) for one in news.promises] == [("tea", 4)]
    await watch.aclose()


async def test_the_board_shows_products_with_sites_and_how_they_went(promises: Promises) -> None:
    product = Product(sku="tea", name="Thé vert", category_path=["Épicerie"])
    product.localized_name.en = "Green tea"
    event = CatalogEvent(product_upserted=ProductUpserted(product=product))
    await promises.stack.publish(event, "product-tea")
    await promises.receive("tea", 5, "note-1")
    await promises.receive("jam", 3, "note-2")
    today = datetime.now(UTC)  # noqa: TID251 - the database says when it recorded
    promises.grpc = PromiseGrpc(
        promises.host.runner, promises.host.reader, type("Now", (), {"now": lambda _: today})()
    )

    async def board(**asked: Any) -> wire.GetStockBoardResponse:
        return await promises.grpc.GetStockBoard(wire.GetStockBoardRequest(**asked), NOTHING)

    first = await board(page_size=1)
    assert [one.sku for one in first.products] == ["jam"]
    second = await board(page_size=1, page_token=first.next_page_token)
    [tea] = second.products
    assert (tea.sku, tea.name, second.next_page_token) == ("tea", "Thé vert", "")
    assert tea.rows[0].promise.on_hand == 5
    assert list(tea.rows[0].on_hand_by_day) == [0] * 29 + [5]
    assert [one.sku for one in (await board(text="VERT")).products] == ["tea"]
    assert [one.sku for one in (await board(text="green T")).products] == ["tea"]
    assert [one.sku for one in (await board(text="ja")).products] == ["jam"]
    assert not (await board(site_id="lyon")).products


async def test_another_tenant_sees_and_changes_nothing_of_it(promises: Promises) -> None:
    await promises.receive("tea", 5, "note-1")
    await promises.put("r1", ("safety", 1, {"sku": "tea"}))

    CALLER.set(Caller("somebody-else", "test", frozenset(), "correlation", ""))

    foreign = await promises.of("tea")
    assert (foreign.version, foreign.free, foreign.safety) == (0, 0, 0)
    rules = await promises.grpc.ListStockRules(wire.ListStockRulesRequest(), NOTHING)
    assert not rules.rules


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({"kind": 0}, "rows[0].rule.kind"),
        ({"kind": 1, "channel": "web"}, "rows[0].rule.channel"),
        ({"kind": 2}, "rows[0].rule.channel"),
        ({"kind": 1, "quantity": -1}, "rows[0].rule.quantity"),
        ({"kind": 1, "quantity": 2_000_000_000}, "rows[0].rule.quantity"),
        ({"kind": 1, "sku": "tea", "category_path": ["a"]}, "rows[0].rule.category_path"),
        ({"kind": 1, "category_path": ["a\n"]}, "rows[0].rule.category_path[0]"),
        ({"kind": 1, "category_path": ["a"] * 11}, "rows[0].rule.category_path"),
        ({"kind": 1, "site_id": "pa ris"}, "rows[0].rule.site_id"),
        ({"kind": 1, "sku": "|"}, "rows[0].rule.sku"),
    ],
)
async def test_a_malformed_rule_is_told_by_its_field(rule: dict[str, Any], field: str) -> None:
    CALLER.set(Caller(TENANT, "test", frozenset(), "correlation", ""))
    servicer = PromiseGrpc(NOTHING, NOTHING, Clock())
    row = wire.StockRuleRow(rule=wire.StockRule(**rule))

    with pytest.raises(Invalid) as refused:
        await servicer.PutStockRules(
            wire.PutStockRulesRequest(request_id="r1", rows=[row]), NOTHING
        )

    assert field in str(refused.value)
