"""An accepted order walks through picking and delivery: what one says, the other understands.

Catalog, sourcing and the ledger are spoken for by the test; no service calls another.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import Parse, ParseDict
from oms.catalog.v1.catalog_events_pb2 import CatalogEvent
from oms.delivery.v1 import delivery_service_pb2 as delivery_wire
from oms.order.v1 import order_service_pb2 as order_wire
from oms.picking.v1 import picking_service_pb2 as picking_wire
from oms.picking.v1.picking_events_pb2 import SHORT_REASON_NOT_FOUND
from oms.sourcing.v1.sourcing_events_pb2 import SourcingEvent
from oms.stock_ledger.v1.stock_ledger_events_pb2 import StockLedgerEvent

from services.delivery.adapters.pickup_codes import HmacPickupCodes
from services.delivery.application.handlers import DeliveryHandlers
from services.delivery.entrypoints.grpc_server import DeliveryGrpc
from services.kernel.entrypoints.calls import CALLER, Caller
from services.order.application.catalog_facts import CatalogFacts
from services.order.application.handlers import OrderHandlers
from services.order.entrypoints.grpc_server import OrderGrpc
from services.picking.application.handlers import PickingHandlers
from services.picking.entrypoints.grpc_server import PickingGrpc
from services.picking.read_models import products, task_queue
from tests.support.stack import Stack, running

pytestmark = pytest.mark.stack
CONTEXT: Any = None
SECRET = "only-for-tests-0123456789"  # noqa: S105 - of a run
EXAMPLES = Path(__file__).parents[3] / "contracts/examples/oms/catalog/v1"


@pytest.fixture
async def stack(postgres_dsn: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stack]:
    monkeypatch.setenv("OMS_DELIVERY_PICKUP_CODE_SECRET", SECRET)
    async with running(postgres_dsn, ["order", "picking", "delivery"]) as started:
        yield started


@pytest.fixture(autouse=True)
def _as_demo() -> Iterator[None]:
    token = CALLER.set(Caller("demo", "key-1", frozenset(), "corr", ""))
    yield
    CALLER.reset(token)


def picking_of(stack: Stack) -> PickingGrpc:
    host = stack["picking"]
    handlers = PickingHandlers(host.runner, task_queue.to_claim, products.weight_variable, 10)
    return PickingGrpc(handlers, host.reader)


def delivery_of(stack: Stack) -> DeliveryGrpc:
    host, codes = stack["delivery"], HmacPickupCodes(SECRET.encode())
    return DeliveryGrpc(DeliveryHandlers(host.runner, codes), codes, host.reader)


async def place_and_accept(stack: Stack, milk: int = 2, **facts: Any) -> OrderGrpc:
    host = stack["order"]
    order = OrderGrpc(OrderHandlers(host.runner, CatalogFacts(host.reader.sql)), host.reader)
    mode = Parse((EXAMPLES / "mode_published.json").read_text(), CatalogEvent())
    await stack.publish(mode, "mode-click_and_collect")
    capability = {"modeId": "click_and_collect", "canPrepare": True, "canHandOver": True}
    site = {"siteId": "S1", "name": "Shop", "isActive": True, "capabilities": [capability]}
    await stack.publish(ParseDict({"siteUpserted": {"site": site}}, CatalogEvent()), "site-S1")
    for sku in ("MILK", "BREAD"):
        product = {
            "sku": sku,
            "name": sku.title(),
            "categoryPath": ["food"],
            "unit": "UNIT_PIECE",
            "temperature": "TEMPERATURE_CLASS_AMBIENT",
            "price": {"amountMinor": "100", "currency": "EUR"},
            "priceQuantity": "1",
            **(facts if sku == "MILK" else {}),
        }
        said = ParseDict({"productUpserted": {"product": product}}, CatalogEvent())
        await stack.publish(said, f"product-{sku}")
    await stack.settle()
    choice = {"modeId": "click_and_collect", "siteId": "S1"}
    lines = [
        {"lineId": "1", "sku": "MILK", "quantity": str(milk), "choice": choice},
        {"lineId": "2", "sku": "BREAD", "quantity": "1", "choice": choice},
    ]
    placing = {"requestId": "place", "orderId": "O1", "customerId": "C1", "lines": lines}
    await order.PlaceOrder(ParseDict(placing, order_wire.PlaceOrderRequest()), CONTEXT)
    group = {
        "groupId": "O1.1",
        "modeId": "click_and_collect",
        "modeVersion": 1,
        "sourceSiteId": "S1",
        "handoverSiteId": "S1",
        "lines": [
            {"lineId": "1", "sku": "MILK", "quantity": str(milk)},
            {"lineId": "2", "sku": "BREAD", "quantity": "1"},
        ],
        "promisedAt": "2026-11-02T17:00:00Z",
    }
    plan = {"planDecided": {"orderId": "O1", "revision": 1, "groups": [group], "decisionId": "D"}}
    await stack.publish(ParseDict(plan, SourcingEvent()), "decision-O1")
    held = {"reservationHeld": {"reservationId": "O1", "orderId": "O1", "planRevision": 1}}
    await stack.publish(ParseDict(held, StockLedgerEvent()), "reservation-O1")
    await stack.settle()
    return order


async def status_of(order: OrderGrpc) -> str:
    request = order_wire.GetOrderRequest(order_id="O1")
    shown = (await order.GetOrder(request, CONTEXT)).order
    return order_wire.OrderStatus.Name(shown.status).removeprefix("ORDER_STATUS_")


async def pick(stack: Stack, *, bread_is_there: bool, milk: int = 2) -> None:
    picking = picking_of(stack)
    task_id = (
        await picking.ClaimNext(
            picking_wire.ClaimNextRequest(request_id="next", site_id="S1", picker_id="paul"),
            CONTEXT,
        )
    ).task_id
    assert task_id == "O1.1"
    picks = [picking_wire.LinePick(action_id="a1", line_id="1", quantity=milk)]
    shorts = []
    if bread_is_there:
        picks.append(picking_wire.LinePick(action_id="a2", line_id="2", quantity=1))
    else:
        shorts.append(
            picking_wire.LineShort(
                action_id="a2", line_id="2", quantity=1, reason=SHORT_REASON_NOT_FOUND
            )
        )
    done = await picking.PickLines(
        picking_wire.PickLinesRequest(
            request_id="picks", task_id=task_id, picker_id="paul", picks=picks, shorts=shorts
        ),
        CONTEXT,
    )
    assert done.status == picking_wire.TASK_STATUS_COMPLETED
    await stack.settle()


@pytest.mark.parametrize("bread_is_there", [True, False])
async def test_an_order_is_picked_made_ready_and_handed_over(
    stack: Stack, *, bread_is_there: bool
) -> None:
    order = await place_and_accept(stack)
    assert await status_of(order) == "ACCEPTED"
    await pick(stack, bread_is_there=bread_is_there)
    delivery = delivery_of(stack)
    listed = await delivery.ListHandovers(delivery_wire.ListHandoversRequest(site_id="S1"), CONTEXT)
    (handover,) = listed.handovers
    skus = ["MILK", "BREAD"] if bread_is_there else ["MILK"]
    assert [line.sku for line in handover.lines] == skus
    await delivery.MarkReady(
        delivery_wire.MarkReadyRequest(request_id="ready", group_id="O1.1"), CONTEXT
    )
    await stack.settle()
    code = await delivery.GetPickupCode(
        delivery_wire.GetPickupCodeRequest(group_id="O1.1"), CONTEXT
    )
    await delivery.HandOver(
        delivery_wire.HandOverRequest(
            request_id="over", group_id="O1.1", pickup_code=code.pickup_code
        ),
        CONTEXT,
    )
    await stack.settle()
    assert await status_of(order) == "COMPLETED"


async def test_what_weighs_more_than_was_ordered_is_handed_over_whole(stack: Stack) -> None:
    weighed = {"unit": "UNIT_GRAM", "isWeightVariable": True}
    order = await place_and_accept(stack, milk=1_500, **weighed)
    await pick(stack, bread_is_there=True, milk=1_540)
    delivery = delivery_of(stack)
    request = delivery_wire.ListHandoversRequest(site_id="S1")
    (handover,) = (await delivery.ListHandovers(request, CONTEXT)).handovers
    assert [(line.sku, line.quantity) for line in handover.lines] == [("MILK", 1540), ("BREAD", 1)]
    shown = (await order.GetOrder(order_wire.GetOrderRequest(order_id="O1"), CONTEXT)).order
    assert [line.quantity for line in shown.groups[0].group.lines] == [1500, 1]


async def test_an_order_cancelled_while_it_is_picked_leaves_units_to_put_back(
    stack: Stack,
) -> None:
    order = await place_and_accept(stack)
    picking = picking_of(stack)
    await picking.ClaimTask(
        picking_wire.ClaimTaskRequest(request_id="c", task_id="O1.1", picker_id="paul"), CONTEXT
    )
    await picking.PickLine(
        picking_wire.PickLineRequest(
            request_id="p",
            task_id="O1.1",
            picker_id="paul",
            pick=picking_wire.LinePick(action_id="a1", line_id="1", quantity=2),
        ),
        CONTEXT,
    )
    await order.CancelOrder(order_wire.CancelOrderRequest(request_id="x", order_id="O1"), CONTEXT)
    await stack.settle()
    assert await status_of(order) == "CANCELLED"
    listed = await picking.ListTasks(
        picking_wire.ListTasksRequest(site_id="S1", status=picking_wire.TASK_STATUS_PUTTING_BACK),
        CONTEXT,
    )
    assert [task.task_id for task in listed.tasks] == ["O1.1"]
