"""Sourcing and the stock ledger together: many buyers, little stock, and nobody plans for ever."""

from collections.abc import AsyncIterator

import pytest
from oms.catalog.v1 import catalog_events_pb2 as catalog
from oms.common.v1 import common_pb2 as common
from oms.order.v1 import order_events_pb2 as order

from services.kernel.application.work import Work
from services.stock_ledger.domain.stock_commands import Receive
from services.stock_ledger.domain.stock_item import STOCK
from tests.support.stack import Stack, a_cause, running

pytestmark = pytest.mark.stack

MODE = "click_and_collect"
BUYERS = 60


@pytest.fixture
async def stack(postgres_dsn: str) -> AsyncIterator[Stack]:
    async with running(postgres_dsn, ["sourcing", "stock_ledger"]) as running_stack:
        yield running_stack


async def _site(stack: Stack, site_id: str) -> None:
    capability = catalog.SiteCapability(
        mode_id=MODE,
        can_prepare=True,
        can_hand_over=True,
        temperatures=[common.TEMPERATURE_CLASS_AMBIENT],
    )
    site = catalog.Site(site_id=site_id, capabilities=[capability], is_active=True)
    event = catalog.CatalogEvent(site_upserted=catalog.SiteUpserted(site=site))
    await stack.publish(event, f"site-{site_id}")


async def test_sixty_buyers_of_forty_units_hold_forty_and_twenty_are_refused(
    stack: Stack,
) -> None:
    for site_id in ("S1", "S2"):
        await _site(stack, site_id)
    extended = catalog.ExtendedSite(
        extended_site_id="E", anchor_site_id="S1", member_site_ids=["S1", "S2"]
    )
    upserted = catalog.ExtendedSiteUpserted(extended_site=extended)
    await stack.publish(catalog.CatalogEvent(extended_site_upserted=upserted), "extendedsite-E")

    async def receive(work: Work) -> None:
        for site_id in ("S1", "S2"):
            await work.handle(STOCK, f"{site_id}|milk", Receive(20, "opening", work.now))

    await stack["stock_ledger"].runner.execute(a_cause("opening"), receive)
    await stack.settle()
    choice = order.Choice(mode_id=MODE, mode_version=1, site_id="S1")
    for n in range(BUYERS):
        line = order.OrderLine(line_id="1", sku="milk", quantity=1, choice=choice)
        placed = order.OrderPlaced(order_id=f"O{n}", lines=[line], currency="EUR")
        await stack.publish(order.OrderEvent(order_placed=placed), f"order-O{n}")
    await stack.settle()
    ledger, sourcing = stack["stock_ledger"].database.sql, stack["sourcing"].database.sql
    free = await sourcing.fetch("SELECT site_id, free FROM stock_view ORDER BY site_id")
    assert [tuple(row) for row in free] == [("S1", 0), ("S2", 0)]
    rejected = await sourcing.fetchval("SELECT count(*) FROM decision_receipt WHERE NOT is_decided")
    assert rejected == 20
    most = await sourcing.fetchval("SELECT max(revision) FROM decision_receipt")
    assert most <= 6
    for sql in (ledger, sourcing):
        assert await sql.fetchval("SELECT count(*) FROM parked") == 0
