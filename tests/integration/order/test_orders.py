"""Orders from basket to refund on a real database, with the other services' feeds spoken by us."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from oms.catalog.v1.catalog_events_pb2 import CatalogEvent
from oms.common.v1.common_pb2 import Destination
from oms.delivery.v1.delivery_events_pb2 import DeliveryEvent
from oms.order.v1 import order_service_pb2 as wire
from oms.picking.v1.picking_events_pb2 import PickingEvent
from oms.returns.v1.returns_events_pb2 import ReturnsEvent
from oms.sourcing.v1.sourcing_events_pb2 import SourcingEvent
from oms.stock_ledger.v1.stock_ledger_events_pb2 import StockLedgerEvent

from services.kernel.adapters.database import PooledSql
from services.kernel.domain.errors import Invalid, NotFound, Rejected
from services.kernel.entrypoints.calls import CALLER, Caller
from services.order.application.catalog_facts import CatalogFacts
from services.order.application.handlers import OrderHandlers
from services.order.entrypoints.grpc_server import OrderGrpc
from tests.support.stack import TENANT, Stack, running

pytestmark = pytest.mark.stack
CONTEXT: Any = None

LABEL = {"fr": "Étape", "en": "Step"}
COLLECT = [
    ("confirmed", "SYSTEM", "RESERVED", "LABEL_AND_TIME", {"cancellable": True}),
    ("picking", "WORK", "PICKED", "LABEL_AND_TIME", {"cancellable": True}),
    ("staging", "WORK", "READY", "HIDDEN", {}),
    ("arrival", "WAIT", "ARRIVED", "LABEL", {"optional": True}),
    ("handover", "HANDOVER", "HANDED_OVER", "LABEL_AND_TIME", {}),
]
HOME = [
    ("confirmed", "SYSTEM", "RESERVED", "LABEL_AND_TIME", {"cancellable": True}),
    ("picking", "WORK", "PICKED", "LABEL_AND_TIME", {"cancellable": True}),
    ("dispatch", "TRANSPORT", "HANDED_TO_CARRIER", "LABEL_AND_TIME", {}),
    ("delivery", "TRANSPORT", "DELIVERED", "LABEL_AND_TIME", {}),
]


@pytest.fixture
async def stack(postgres_dsn: str) -> AsyncIterator[Stack]:
    async with running(postgres_dsn, ["order"]) as started:
        await tell_catalog(started)
        yield started


@pytest.fixture
def orders(stack: Stack) -> OrderGrpc:
    host = stack["order"]
    return OrderGrpc(OrderHandlers(host.runner, CatalogFacts(host.reader.sql)), host.reader)


@pytest.fixture(autouse=True)
def _as_demo() -> Iterator[None]:
    with calling(TENANT):
        yield


@contextmanager
def calling(tenant: str) -> Iterator[None]:
    token = CALLER.set(Caller(tenant, "key-1", frozenset(), "corr", ""))
    try:
        yield
    finally:
        CALLER.reset(token)


async def tell_catalog(stack: Stack) -> None:
    def product(sku: str, price: int, temperature: str) -> dict[str, Any]:
        return {
            "sku": sku,
            "unit": "UNIT_PIECE",
            "temperature": f"TEMPERATURE_CLASS_{temperature}",
            "price": {"amountMinor": str(price), "currency": "EUR"},
            "priceQuantity": "1",
        }

    def mode(mode_id: str, kind: str, fee: int, steps: list[Any]) -> dict[str, Any]:
        return {
            "modeId": mode_id,
            "version": 1,
            "choiceKind": f"CHOICE_KIND_{kind}",
            "fee": {"amountMinor": str(fee), "currency": "EUR"},
            "steps": [
                {
                    "stepId": step_id,
                    "type": f"STEP_TYPE_{of}",
                    "completesOn": f"MILESTONE_{milestone}",
                    "label": LABEL,
                    "visibility": f"VISIBILITY_{visibility}",
                    **flags,
                }
                for step_id, of, milestone, visibility, flags in steps
            ],
        }

    capability = {"modeId": "click_and_collect", "canPrepare": True, "canHandOver": True}
    for key, event in (
        ("product-MILK", {"productUpserted": {"product": product("MILK", 99, "CHILLED")}}),
        ("product-MILK", {"productUpserted": {"product": product("MILK", 100, "CHILLED")}}),
        ("product-PASTA", {"productUpserted": {"product": product("PASTA", 150, "AMBIENT")}}),
        (
            "site-LILLE",
            {
                "siteUpserted": {
                    "site": {"siteId": "LILLE", "isActive": True, "capabilities": [capability]}
                }
            },
        ),
        ("mode-c", {"modePublished": {"mode": mode("click_and_collect", "SITE", 0, COLLECT)}}),
        ("mode-h", {"modePublished": {"mode": mode("home_delivery", "DESTINATION", 490, HOME)}}),
    ):
        await stack.publish(ParseDict(event, CatalogEvent()), key)
    await stack.settle()


AT_LILLE = wire.RequestedChoice(mode_id="click_and_collect", site_id="LILLE")
AT_HOME = wire.RequestedChoice(
    mode_id="home_delivery", destination=Destination(postcode="59000", country="FR")
)


def placing(order_id: str = "O1", **fields: Any) -> wire.PlaceOrderRequest:
    chosen: dict[str, Any] = {
        "request_id": f"place-{order_id}",
        "customer_id": "C7",
        "lines": [
            wire.RequestedLine(sku="MILK", quantity=6, choice=AT_LILLE),
            wire.RequestedLine(sku="PASTA", quantity=2, choice=AT_HOME),
        ],
        "discounts": [wire.Discount(code="WELCOME", amount_minor=100)],
        **fields,
    }
    return wire.PlaceOrderRequest(order_id=order_id, **chosen)


async def say(stack: Stack, feed: type[Message], key: str, event: dict[str, Any]) -> None:
    await stack.publish(ParseDict(event, feed()), key)


def plan(order_id: str, revision: int = 1) -> dict[str, Any]:
    def group(number: int, mode_id: str, line_id: str, sku: str, quantity: int) -> dict[str, Any]:
        return {
            "groupId": f"{order_id}.{number}",
            "modeId": mode_id,
            "modeVersion": 1,
            "sourceSiteId": "LILLE",
            "handoverSiteId": "LILLE",
            "lines": [{"lineId": line_id, "sku": sku, "quantity": str(quantity)}],
        }

    return {
        "planDecided": {
            "orderId": order_id,
            "revision": revision,
            "groups": [
                group(1, "click_and_collect", "1", "MILK", 6),
                group(2, "home_delivery", "2", "PASTA", 2),
            ],
        }
    }


def held(order_id: str, revision: int = 1) -> dict[str, Any]:
    return {
        "reservationHeld": {
            "reservationId": order_id,
            "orderId": order_id,
            "planRevision": revision,
        }
    }


async def accept(stack: Stack, order_id: str = "O1") -> None:
    await say(stack, StockLedgerEvent, f"reservation-{order_id}", held(order_id))
    await say(stack, SourcingEvent, f"decision-{order_id}", plan(order_id))
    await stack.settle()


async def fulfil(stack: Stack, order_id: str = "O1") -> None:
    one, two = {"orderId": order_id, "groupId": f"{order_id}.1"}, {"orderId": order_id}
    two["groupId"] = f"{order_id}.2"
    milk = [{"lineId": "1", "sku": "MILK", "quantity": "5"}]
    pasta = [{"lineId": "2", "sku": "PASTA", "quantity": "2"}]
    short = {"lineId": "1", "sku": "MILK", "quantity": "1", "reason": "SHORT_REASON_NOT_FOUND"}
    for feed, key, event in (
        (PickingEvent, "picktask-1", {"lineShorted": {**one, **short}}),
        (PickingEvent, "picktask-1", {"pickCompleted": one}),
        (PickingEvent, "picktask-2", {"pickCompleted": two}),
        (DeliveryEvent, "handover-1", {"readyForPickup": one}),
        (DeliveryEvent, "handover-1", {"handedOver": {**one, "lines": milk}}),
        (DeliveryEvent, "shipment-2", {"handedToCarrier": {**two, "lines": pasta}}),
        (DeliveryEvent, "shipment-2", {"delivered": {**two, "lines": pasta}}),
    ):
        await say(stack, feed, key, event)
        await stack.settle()


async def shown(orders: OrderGrpc, order_id: str = "O1", min_version: int = 0) -> wire.Order:
    request = wire.GetOrderRequest(order_id=order_id, min_version=min_version)
    return (await orders.GetOrder(request, CONTEXT)).order


async def test_an_order_from_placement_to_refund(stack: Stack, orders: OrderGrpc) -> None:
    placed = await orders.PlaceOrder(placing(), CONTEXT)
    assert (placed.status, placed.version) == (wire.ORDER_STATUS_PLACED, 1)
    assert placed.total_minor == 600 + 300 - 100 + 490
    order = await shown(orders, min_version=1)
    assert [line.quantities.open for line in order.lines] == [6, 2]
    assert [line.line.discount_minor for line in order.lines] == [67, 33]
    assert order.is_cancellable

    await accept(stack)
    order = await shown(orders)
    assert order.status == wire.ORDER_STATUS_ACCEPTED
    assert [group.current_step_id for group in order.groups] == ["picking", "picking"]
    assert [line.quantities.allocated for line in order.lines] == [6, 2]

    await fulfil(stack)
    order = await shown(orders)
    assert order.status == wire.ORDER_STATUS_COMPLETED
    milk, pasta = (line.quantities for line in order.lines)
    assert (milk.delivered, milk.shorted, pasta.delivered) == (5, 1, 2)
    states = [step.state for step in order.groups[0].steps]
    assert states[3] == wire.STEP_STATE_SKIPPED
    # 5 of 6 units of 533, and 267 with the fee of the delivery.
    assert order.captured_minor == 444 + 267 + 490
    assert not order.is_cancellable

    refund = {"returnId": "R1", "orderId": "O1"}
    amount = {"amountMinor": "200", "currency": "EUR"}
    await say(
        stack, ReturnsEvent, "returncase-R1", {"refundValidated": {**refund, "amount": amount}}
    )
    await stack.settle()
    assert (await shown(orders)).refunded_minor == 200
    listed = await orders.ListOrders(wire.ListOrdersRequest(customer_id="C7"), CONTEXT)
    assert [(o.order_id, o.status, o.captured_minor, o.refunded_minor) for o in listed.orders] == [
        ("O1", wire.ORDER_STATUS_COMPLETED, 1201, 200)
    ]


async def test_placing_again_answers_the_same_and_other_content_is_refused(
    stack: Stack, orders: OrderGrpc
) -> None:
    first = await orders.PlaceOrder(placing(), CONTEXT)
    again = await orders.PlaceOrder(placing(), CONTEXT)
    later = await orders.PlaceOrder(placing(request_id="another"), CONTEXT)
    assert first == again == later
    with pytest.raises(Rejected, match="IDEMPOTENCY_MISMATCH"):
        await orders.PlaceOrder(placing(customer_id="C8"), CONTEXT)
    with pytest.raises(Rejected, match="IDEMPOTENCY_MISMATCH"):
        await orders.PlaceOrder(placing("O2", request_id="place-O1"), CONTEXT)


async def test_placing_can_wait_for_acceptance(stack: Stack, orders: OrderGrpc) -> None:
    await orders.PlaceOrder(placing(), CONTEXT)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(orders.PlaceOrder(placing(wait_ms=9_000), CONTEXT))
        await asyncio.sleep(0.2)
        await accept(stack)
    assert waiting.result().status == wire.ORDER_STATUS_ACCEPTED
    in_vain = await orders.PlaceOrder(placing("O2", wait_ms=50), CONTEXT)
    assert in_vain.status == wire.ORDER_STATUS_PLACED


async def test_a_refused_order_says_why_and_what_else(stack: Stack, orders: OrderGrpc) -> None:
    await orders.PlaceOrder(placing(), CONTEXT)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(orders.PlaceOrder(placing(wait_ms=9_000), CONTEXT))
        elsewhere = {"siteId": "ROUBAIX", "sku": "MILK", "available": "40"}
        rejected = {"orderId": "O1", "revision": 1, "reason": "OUT_OF_STOCK"}
        await say(
            stack,
            SourcingEvent,
            "decision-O1",
            {"planRejected": {**rejected, "alternatives": [elsewhere]}},
        )
    answer = waiting.result()
    assert (answer.status, answer.reason) == (wire.ORDER_STATUS_REFUSED, "OUT_OF_STOCK")
    assert answer.alternatives[0].site_id == "ROUBAIX"
    await stack.settle()
    assert [line.quantities.cancelled for line in (await shown(orders)).lines] == [6, 2]


async def test_an_order_is_cancelled_until_its_cutoff(stack: Stack, orders: OrderGrpc) -> None:
    await orders.PlaceOrder(placing(), CONTEXT)
    cancel = wire.CancelOrderRequest(request_id="cancel-1", order_id="O1")
    cancelled = await orders.CancelOrder(cancel, CONTEXT)
    assert cancelled.status == wire.ORDER_STATUS_CANCELLED
    assert await orders.CancelOrder(cancel, CONTEXT) == cancelled
    await accept(stack)
    assert (await shown(orders)).status == wire.ORDER_STATUS_CANCELLED

    await orders.PlaceOrder(placing("O2"), CONTEXT)
    await accept(stack, "O2")
    late = wire.CancelOrderRequest(request_id="cancel-2", order_id="O2", expected_version=1)
    with pytest.raises(Rejected, match="VERSION_MISMATCH"):
        await orders.CancelOrder(late, CONTEXT)
    await fulfil(stack, "O2")
    late.expected_version = 0
    with pytest.raises(Rejected, match="CUTOFF_PASSED"):
        await orders.CancelOrder(late, CONTEXT)
    with pytest.raises(NotFound):
        await orders.CancelOrder(
            wire.CancelOrderRequest(request_id="cancel-3", order_id="O3"), CONTEXT
        )


async def test_a_hold_lost_after_acceptance_cancels_the_order(
    stack: Stack, orders: OrderGrpc
) -> None:
    await orders.PlaceOrder(placing(), CONTEXT)
    await accept(stack)
    refused = {"reservationId": "O1", "orderId": "O1", "planRevision": 1}
    await say(stack, StockLedgerEvent, "reservation-O1", {"reservationRefused": refused})
    await stack.settle()
    order = await shown(orders)
    assert (order.status, order.reason) == (wire.ORDER_STATUS_CANCELLED, "RESERVATION_EXPIRED")


async def test_the_plan_that_is_held_in_the_accepted_ones_stead_is_taken_up(
    stack: Stack, orders: OrderGrpc
) -> None:
    """A till ended the first hold; the ledger will allocate what it holds for the second plan."""
    await orders.PlaceOrder(placing(), CONTEXT)
    await accept(stack)
    again = plan("O1", 2)
    for number, group in enumerate(again["planDecided"]["groups"], start=1):
        group["groupId"], group["sourceSiteId"] = f"O1.{number}-2", "ROUBAIX"
    expired = {"reservationId": "O1", "orderId": "O1", "planRevision": 1}
    await say(stack, StockLedgerEvent, "reservation-O1", {"reservationExpired": expired})
    await say(stack, SourcingEvent, "decision-O1", again)
    await stack.settle()
    before = await shown(orders)
    assert [one.group.source_site_id for one in before.groups] == ["LILLE", "LILLE"]
    await say(stack, StockLedgerEvent, "reservation-O1", held("O1", 2))
    await stack.settle()
    order = await shown(orders)
    assert order.status == wire.ORDER_STATUS_ACCEPTED
    assert [one.group.group_id for one in order.groups] == ["O1.1-2", "O1.2-2"]
    assert {one.current_step_id for one in order.groups} == {"picking"}
    assert [one.quantities.allocated for one in order.lines] == [6, 2]


async def test_a_basket_becomes_an_order(stack: Stack, orders: OrderGrpc) -> None:
    basket_id = "B1"
    await orders.CreateBasket(
        wire.CreateBasketRequest(request_id="b1", basket_id=basket_id, customer_id="C7"), CONTEXT
    )
    added = await orders.AddBasketLine(
        wire.AddBasketLineRequest(
            request_id="b2", basket_id=basket_id, line_id="a", sku="MILK", quantity=6
        ),
        CONTEXT,
    )
    assert added.basket.version == 2
    with pytest.raises(Invalid, match="sku"):
        await orders.AddBasketLine(
            wire.AddBasketLineRequest(
                request_id="b3", basket_id=basket_id, line_id="b", sku="CAVIAR", quantity=1
            ),
            CONTEXT,
        )
    placing_it = placing(lines=[], basket_id=basket_id, discounts=[], customer_id="")
    with pytest.raises(Rejected, match="CHOICE_MISSING"):
        await orders.PlaceOrder(placing_it, CONTEXT)
    parts = [
        wire.ChosenPart(quantity=2, choice=AT_LILLE),
        wire.ChosenPart(quantity=4, choice=AT_HOME),
    ]
    await orders.ChooseForLine(
        wire.ChooseForLineRequest(
            request_id="b4", basket_id=basket_id, line_id="a", parts=parts, expected_version=2
        ),
        CONTEXT,
    )
    quote = await orders.QuoteBasket(
        wire.QuoteBasketRequest(basket_id=basket_id, min_version=3), CONTEXT
    )
    assert quote.prices.total_minor == 600 + 490
    placing_it.expected_total_minor = 600
    with pytest.raises(Rejected, match="QUOTE_STALE"):
        await orders.PlaceOrder(placing_it, CONTEXT)
    placing_it.expected_total_minor = 1090
    placed = await orders.PlaceOrder(placing_it, CONTEXT)
    assert await orders.PlaceOrder(placing_it, CONTEXT) == placed
    order = await shown(orders)
    assert [(line.line.line_id, line.line.quantity) for line in order.lines] == [
        ("a.1", 2),
        ("a.2", 4),
    ]
    basket = await orders.GetBasket(
        wire.GetBasketRequest(basket_id=basket_id, min_version=4), CONTEXT
    )
    assert basket.basket.order_id == "O1"
    with pytest.raises(Rejected, match="BASKET_CHECKED_OUT"):
        await orders.RemoveBasketLine(
            wire.RemoveBasketLineRequest(request_id="b5", basket_id=basket_id, line_id="a"), CONTEXT
        )


async def test_what_the_catalog_does_not_know_cannot_be_placed(
    stack: Stack, orders: OrderGrpc
) -> None:
    def line(sku: str, choice: wire.RequestedChoice) -> wire.PlaceOrderRequest:
        return placing(lines=[wire.RequestedLine(sku=sku, quantity=1, choice=choice)])

    no_destination = wire.RequestedChoice(mode_id="home_delivery")
    for request, path in (
        (line("CAVIAR", AT_LILLE), r"lines\[0\].sku"),
        (line("MILK", wire.RequestedChoice(mode_id="drone")), r"choice.mode_id"),
        (line("MILK", no_destination), r"choice.destination"),
        (
            line("MILK", wire.RequestedChoice(mode_id="click_and_collect", site_id="MARS")),
            r"choice.site_id",
        ),
    ):
        with pytest.raises(Invalid, match=path):
            await orders.PlaceOrder(request, CONTEXT)
    elsewhere = wire.RequestedChoice(
        mode_id="home_delivery", site_id="LILLE", destination=AT_HOME.destination
    )
    with pytest.raises(Rejected, match="MODE_NOT_CAPABLE"):
        await orders.PlaceOrder(line("MILK", elsewhere), CONTEXT)


async def test_the_banner_sees_everything_and_the_consumer_visible_steps(
    stack: Stack, orders: OrderGrpc
) -> None:
    await orders.PlaceOrder(placing(), CONTEXT)
    await accept(stack)
    await fulfil(stack)

    async def timeline(view: Any, after: int = 0) -> wire.GetTimelineResponse:
        return await orders.GetTimeline(
            wire.GetTimelineRequest(order_id="O1", view=view, after_version=after), CONTEXT
        )

    banner = await timeline(wire.TIMELINE_VIEW_BANNER)
    assert [entry.version for entry in banner.entries] == list(range(1, banner.version + 1))
    assert banner.entries[0].actor == "key-1"
    consumer = await timeline(wire.TIMELINE_VIEW_CONSUMER)
    steps = [(e.group_id, e.step_id) for e in consumer.entries if e.step_id]
    assert steps == [
        ("O1.1", "confirmed"),
        ("O1.1", "picking"),
        ("O1.2", "confirmed"),
        ("O1.2", "picking"),
        ("O1.1", "arrival"),
        ("O1.1", "handover"),
        ("O1.2", "dispatch"),
        ("O1.2", "delivery"),
    ]
    assert not any(entry.groups or entry.actor for entry in consumer.entries)
    rest = await timeline(wire.TIMELINE_VIEW_BANNER, banner.version - 2)
    assert [entry.version for entry in rest.entries] == [banner.version - 1, banner.version]


async def test_a_timeline_can_be_followed_and_resumed(stack: Stack, orders: OrderGrpc) -> None:
    await orders.PlaceOrder(placing(), CONTEXT)
    seen: list[wire.WatchTimelineResponse] = []

    async def watch(after: int, most: int) -> None:
        request = wire.WatchTimelineRequest(
            order_id="O1", view=wire.TIMELINE_VIEW_BANNER, after_version=after, max_seconds=20
        )
        stream = orders.WatchTimeline(request, CONTEXT)
        async for answer in stream:
            seen.append(answer)
            if len(seen) == most:
                return

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch(0, 6))
        await asyncio.sleep(0.1)
        await accept(stack)
    assert [answer.entry.version for answer in seen] == [1, 2, 3, 4, 5, 6]
    seen.clear()
    await watch(4, 2)
    assert [answer.entry.version for answer in seen] == [5, 6]


async def test_a_placement_that_is_repeated_after_a_restart_is_not_priced_again(
    stack: Stack, orders: OrderGrpc
) -> None:
    """The customer has his order, whatever its price or its product has become since."""
    placed = await orders.PlaceOrder(placing(expected_total_minor=1290), CONTEXT)
    await stack.settle()
    dearer = {
        "sku": "MILK",
        "unit": "UNIT_PIECE",
        "temperature": "TEMPERATURE_CLASS_CHILLED",
        "price": {"amountMinor": "500", "currency": "EUR"},
        "priceQuantity": "1",
    }
    await say(stack, CatalogEvent, "product-MILK", {"productUpserted": {"product": dearer}})
    await stack.settle()
    stack["order"].forget()  # as a process that has just begun
    again = await orders.PlaceOrder(placing(expected_total_minor=1290), CONTEXT)
    assert (again.order_id, again.total_minor) == (placed.order_id, placed.total_minor)
    stack["order"].forget()
    with pytest.raises(Rejected, match="IDEMPOTENCY_MISMATCH"):
        await orders.PlaceOrder(placing(expected_total_minor=1290, customer_id="C8"), CONTEXT)
    with pytest.raises(Rejected, match="QUOTE_STALE"):
        await orders.PlaceOrder(placing("O2", expected_total_minor=1290), CONTEXT)


async def test_who_watches_asks_once_for_each_change_and_never_in_between(
    stack: Stack, orders: OrderGrpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    await orders.PlaceOrder(placing(), CONTEXT)
    await stack.settle()
    asked: list[str] = []
    for name in ("fetch", "fetchrow", "fetchval"):
        asking = getattr(PooledSql, name)

        async def counted(self: PooledSql, query: str, *args: Any, _ask: Any = asking) -> Any:
            if "originator_id = $1" in query:
                asked.append(query)
            return await _ask(self, query, *args)

        monkeypatch.setattr(PooledSql, name, counted)
    monkeypatch.setattr("services.order.entrypoints.grpc_server._HEARTBEAT_S", 0.2)
    request = wire.WatchTimelineRequest(
        order_id="O1", view=wire.TIMELINE_VIEW_BANNER, max_seconds=20
    )
    watching = orders.WatchTimeline(request, CONTEXT)
    assert (await anext(watching)).entry.version == 1
    asked.clear()
    for _ in range(5):  # nothing happens
        assert not (await anext(watching)).HasField("entry")
    assert asked == []
    cancel = wire.CancelOrderRequest(request_id="r9", order_id="O1")
    await orders.CancelOrder(cancel, CONTEXT)
    asked.clear()
    while (answer := await anext(watching)).version == 1:
        continue
    assert answer.entry.version == 2
    for _ in range(3):
        assert not (await anext(watching)).HasField("entry")
    assert len(asked) == 1, asked
    await cast("Any", watching).aclose()


async def test_orders_are_listed_page_by_page_and_never_to_another_tenant(
    stack: Stack, orders: OrderGrpc
) -> None:
    for number in range(5):
        await orders.PlaceOrder(placing(f"O{number}"), CONTEXT)
    await stack.settle()
    found: list[str] = []
    token = ""
    while True:
        page = await orders.ListOrders(
            wire.ListOrdersRequest(status=wire.ORDER_STATUS_PLACED, page_size=2, page_token=token),
            CONTEXT,
        )
        found += [order.order_id for order in page.orders]
        token = page.next_page_token
        if not token:
            break
    assert found == ["O4", "O3", "O2", "O1", "O0"]
    with calling("other"):
        assert not (await orders.ListOrders(wire.ListOrdersRequest(), CONTEXT)).orders
        with pytest.raises(NotFound):
            await shown(orders, "O1")
        with pytest.raises(Invalid, match="sku"):
            await orders.PlaceOrder(placing("O9"), CONTEXT)
