"""Order, sourcing and the stock ledger together: placed, planned, held, accepted, or let go."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from oms.catalog.v1 import catalog_events_pb2 as catalog
from oms.common.v1 import common_pb2 as common
from oms.order.v1 import order_service_pb2 as wire

from services.kernel.application.work import Work
from services.kernel.entrypoints.calls import CALLER, Caller
from services.order.application.catalog_facts import CatalogFacts
from services.order.application.handlers import OrderHandlers
from services.order.entrypoints.grpc_server import OrderGrpc
from services.stock_ledger.application.handlers import Reservations
from services.stock_ledger.domain.reservation_events import Line
from services.stock_ledger.domain.stock_commands import Receive
from services.stock_ledger.domain.stock_item import STOCK
from services.stock_ledger.read_models.availability import alternatives
from tests.support.stack import TENANT, Stack, a_cause, running

pytestmark = pytest.mark.stack
CONTEXT: Any = None
MODE = "click_and_collect"
BUYERS, UNITS = 40, 25
WAIT_MS = 10_000


@pytest.fixture
async def stack(postgres_dsn: str) -> AsyncIterator[Stack]:
    async with running(postgres_dsn, ["order", "sourcing", "stock_ledger"]) as started:
        await _open_shop(started)
        CALLER.set(Caller(TENANT, "key-1", frozenset(), "corr", ""))
        yield started


def _orders(stack: Stack) -> OrderGrpc:
    host = stack["order"]
    return OrderGrpc(OrderHandlers(host.runner, CatalogFacts(host.reader.sql)), host.reader)


async def _open_shop(stack: Stack) -> None:
    ambient = common.TEMPERATURE_CLASS_AMBIENT
    product = catalog.Product(
        sku="milk",
        unit=common.UNIT_PIECE,
        temperature=ambient,
        price=common.Money(amount_minor=100, currency="EUR"),
        price_quantity=1,
    )
    capability = catalog.SiteCapability(
        mode_id=MODE, can_prepare=True, can_hand_over=True, temperatures=[ambient]
    )
    site = catalog.Site(site_id="S1", capabilities=[capability], is_active=True)
    extended = catalog.ExtendedSite(
        extended_site_id="E", anchor_site_id="S1", member_site_ids=["S1"]
    )
    step = common.Step(
        step_id="confirmed",
        type=common.STEP_TYPE_SYSTEM,
        completes_on=common.MILESTONE_RESERVED,
        visibility=common.VISIBILITY_LABEL,
        cancellable=True,
    )
    picking = common.Step(
        step_id="picking",
        type=common.STEP_TYPE_WORK,
        completes_on=common.MILESTONE_PICKED,
        visibility=common.VISIBILITY_LABEL,
        cancellable=True,
    )
    mode = catalog.Mode(
        mode_id=MODE, version=1, choice_kind=catalog.CHOICE_KIND_SITE, steps=[step, picking]
    )
    for key, event in {
        "product-milk": {"product_upserted": catalog.ProductUpserted(product=product)},
        "site-S1": {"site_upserted": catalog.SiteUpserted(site=site)},
        "extendedsite-E": {
            "extended_site_upserted": catalog.ExtendedSiteUpserted(extended_site=extended)
        },
        "mode-c": {"mode_published": catalog.ModePublished(mode=mode)},
    }.items():
        await stack.publish(catalog.CatalogEvent(**event), key)  # type: ignore[arg-type]

    async def receive(work: Work) -> None:
        await work.handle(STOCK, "S1|milk", Receive(UNITS, "opening", work.now))

    await stack["stock_ledger"].runner.execute(a_cause("opening"), receive)
    await stack.settle()


def _placing(order_id: str, wait_ms: int) -> wire.PlaceOrderRequest:
    choice = wire.RequestedChoice(mode_id=MODE, site_id="S1")
    return wire.PlaceOrderRequest(
        request_id=f"place-{order_id}",
        order_id=order_id,
        customer_id="C7",
        lines=[wire.RequestedLine(sku="milk", quantity=1, choice=choice)],
        wait_ms=wait_ms,
    )


async def _levels(stack: Stack) -> tuple[int, int, int]:
    await stack.settle()
    row = await stack["stock_ledger"].database.sql.fetchrow(
        "SELECT free, held, allocated FROM availability WHERE sku = 'milk'"
    )
    return tuple(row)


async def _parked(stack: Stack) -> int:
    return sum(
        [
            await host.database.sql.fetchval("SELECT count(*) FROM parked")
            for host in stack.runtime.hosts.values()
        ]
    )


async def test_as_many_orders_are_accepted_as_there_are_units(stack: Stack) -> None:
    orders = _orders(stack)
    answers = await asyncio.gather(
        *(orders.PlaceOrder(_placing(f"O{n}", WAIT_MS), CONTEXT) for n in range(BUYERS))
    )
    statuses = [answer.status for answer in answers]
    assert statuses.count(wire.ORDER_STATUS_ACCEPTED) == UNITS
    assert statuses.count(wire.ORDER_STATUS_REFUSED) == BUYERS - UNITS
    assert await _levels(stack) == (0, 0, UNITS)
    assert await _parked(stack) == 0


async def test_a_cancellation_at_any_moment_leaves_nothing_reserved(stack: Stack) -> None:
    orders = _orders(stack)

    async def change_of_mind(number: int) -> None:
        order_id = f"O{number}"
        await orders.PlaceOrder(_placing(order_id, 0), CONTEXT)
        await asyncio.sleep(number * 0.004)
        cancelled = await orders.CancelOrder(
            wire.CancelOrderRequest(request_id=f"cancel-{order_id}", order_id=order_id), CONTEXT
        )
        assert cancelled.status == wire.ORDER_STATUS_CANCELLED

    await asyncio.gather(*(change_of_mind(number) for number in range(UNITS)))
    assert await _levels(stack) == (UNITS, 0, 0)
    assert await _parked(stack) == 0


async def test_an_order_with_the_id_of_somebodys_reservation_is_refused(stack: Stack) -> None:
    """He keeps what he reserved, also when the order ends; nobody waits for a plan to be held."""

    async def reserve(work: Work) -> None:
        promises = Reservations(timedelta(minutes=15), alternatives)
        await promises.reserve(work, "O1", [Line("S1", "milk", 1)], None)

    await stack["stock_ledger"].runner.execute(a_cause("reserve"), reserve)
    orders = _orders(stack)
    placed = await orders.PlaceOrder(_placing("O1", WAIT_MS), CONTEXT)
    refused = (wire.ORDER_STATUS_REFUSED, "IDEMPOTENCY_MISMATCH")
    assert (placed.status, placed.reason) == refused
    assert await _levels(stack) == (UNITS - 1, 1, 0)
    plans = await stack["sourcing"].database.sql.fetchval(
        "SELECT count(*) FROM events WHERE topic = 'decision.decided.v1'"
    )
    assert plans == 1
    assert await _parked(stack) == 0
