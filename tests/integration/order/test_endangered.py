"""A till sells what was promised: the newest orders are prepared elsewhere, or stay and say so.

And what of an order's stock nobody needs any more.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from oms.catalog.v1 import catalog_events_pb2 as catalog
from oms.common.v1 import common_pb2 as common
from oms.order.v1 import order_service_pb2 as wire
from oms.order.v1.order_events_pb2 import Group
from oms.sourcing.v1.sourcing_events_pb2 import PlanDecided, SourcingEvent

from services.kernel.application.work import Work
from services.kernel.entrypoints.calls import CALLER, Caller
from services.kernel.main import SERVICES
from services.kernel.main.agreement import agreements
from services.order.application.catalog_facts import CatalogFacts
from services.order.application.handlers import OrderHandlers
from services.order.entrypoints.grpc_server import OrderGrpc
from services.picking.domain.pick_task import PICK_TASK
from services.picking.domain.pick_task_commands import ClaimTask, Pick, RecordLines
from services.stock_ledger.application.endangered import watch
from services.stock_ledger.domain.stock_commands import Receive, SellAtTill
from services.stock_ledger.domain.stock_item import STOCK, stock_key
from tests.support.stack import TENANT, Stack, a_cause, running

pytestmark = pytest.mark.stack
CONTEXT: Any = None
MODE = "click_and_collect"
SITES = ("S1", "S2", "S3")


class Shop:
    """All services, three sites that help each other, and what a test asks of them most."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        host = stack["order"]
        handlers = OrderHandlers(host.runner, CatalogFacts(host.reader.sql))
        self.orders = OrderGrpc(handlers, host.reader)

    async def place(self, order_id: str, quantity: int) -> None:
        choice = wire.RequestedChoice(mode_id=MODE, site_id="S1")
        answer = await self.orders.PlaceOrder(
            wire.PlaceOrderRequest(
                request_id=f"place-{order_id}",
                order_id=order_id,
                customer_id="C7",
                lines=[wire.RequestedLine(sku="milk", quantity=quantity, choice=choice)],
                wait_ms=10_000,
            ),
            CONTEXT,
        )
        assert answer.status == wire.ORDER_STATUS_ACCEPTED
        await self.stack.settle()

    async def post(self, site_id: str, *commands: Any) -> None:
        key = stock_key(site_id, "milk")

        async def unit(work: Work) -> None:
            entries = [e for command in commands for e in await work.handle(STOCK, key, command)]
            await watch(work, {key: entries})

        command_id = "-".join(command.source_id for command in commands)
        await self.stack["stock_ledger"].runner.execute(a_cause(command_id), unit)
        await self.stack.settle()

    async def receive(self, site_id: str, quantity: int) -> None:
        await self.post(site_id, Receive(quantity, f"note-{site_id}-{quantity}", _now()))

    async def sell(self, site_id: str, quantity: int, ticket: str) -> None:
        await self.post(site_id, SellAtTill(quantity, ticket, _now()))

    async def levels(self) -> dict[str, tuple[int, int, int]]:
        await self.stack.settle()
        rows = await self.stack["stock_ledger"].database.sql.fetch(
            "SELECT site_id, free, allocated, picked FROM availability"
        )
        return {row[0]: tuple(row)[1:] for row in rows}

    async def groups(self, order_id: str) -> dict[str, tuple[str, str]]:
        """Return who prepares which group, and the step it is in."""
        request = wire.GetOrderRequest(order_id=order_id)
        order = (await self.orders.GetOrder(request, CONTEXT)).order
        assert order.status == wire.ORDER_STATUS_ACCEPTED
        return {
            one.group.group_id: (one.group.source_site_id, one.current_step_id)
            for one in order.groups
        }

    async def tasks(self) -> dict[str, str]:
        rows = await self.stack["picking"].database.sql.fetch(
            "SELECT DISTINCT ON (originator_id) originator_id, topic FROM events"
            " WHERE originator_id LIKE '%/picktask-%'"
            " ORDER BY originator_id, originator_version DESC"
        )
        return {row[0].partition("picktask-")[2]: row[1].split(".")[1] for row in rows}

    async def task(self, group_id: str, *commands: Any) -> None:
        async def unit(work: Work) -> None:
            for command in commands:
                await work.handle(PICK_TASK, group_id, command)

        names = "-".join(type(command).__name__ for command in commands)
        await self.stack["picking"].runner.execute(a_cause(f"{group_id}-{names}"), unit)

    async def expect_agreement(self) -> None:
        await self.stack.settle()
        for host in self.stack.runtime.hosts.values():
            assert await host.database.sql.fetchval("SELECT count(*) FROM parked") == 0
            for name, check in host.service.checks.items():
                assert await check(host.database.sql) == [], name
        found = agreements(self.stack.runtime.hosts, lambda *_: None)
        assert {rule: sentences async for rule, sentences in found if sentences} == {}


def _now() -> Any:
    from datetime import UTC, datetime  # noqa: PLC0415

    return datetime.now(UTC)  # noqa: TID251 - a test is an edge


@pytest.fixture
async def shop(postgres_dsn: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    for service in ("DELIVERY_PICKUP_CODE", "NOTIFICATION_WEBHOOK"):
        monkeypatch.setenv(f"OMS_{service}_SECRET", "only-for-tests-" + "0123456789abcdef" * 2)
    async with running(postgres_dsn, SERVICES) as stack:
        await _open(stack)
        CALLER.set(Caller(TENANT, "key-1", frozenset(), "corr", ""))
        yield Shop(stack)


@pytest.fixture(autouse=True)
def _caller() -> None:
    """Fixtures and tests run in different contexts."""
    CALLER.set(Caller(TENANT, "key-1", frozenset(), "corr", ""))


async def _open(stack: Stack) -> None:
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
    extended = catalog.ExtendedSite(
        extended_site_id="E", anchor_site_id="S1", member_site_ids=SITES
    )
    steps = [
        common.Step(
            step_id=step_id,
            type=kind,
            completes_on=milestone,
            label=common.LocalizedText(fr=step_id, en=step_id),
            visibility=common.VISIBILITY_LABEL,
            cancellable=True,
        )
        for step_id, kind, milestone in (
            ("confirmed", common.STEP_TYPE_SYSTEM, common.MILESTONE_RESERVED),
            ("picking", common.STEP_TYPE_WORK, common.MILESTONE_PICKED),
            ("handover", common.STEP_TYPE_HANDOVER, common.MILESTONE_HANDED_OVER),
        )
    ]
    mode = catalog.Mode(mode_id=MODE, version=1, choice_kind=catalog.CHOICE_KIND_SITE, steps=steps)
    events: dict[str, dict[str, Any]] = {
        "product-milk": {"product_upserted": catalog.ProductUpserted(product=product)},
        "extendedsite-E": {
            "extended_site_upserted": catalog.ExtendedSiteUpserted(extended_site=extended)
        },
        "mode-c": {"mode_published": catalog.ModePublished(mode=mode)},
    }
    for site_id in SITES:
        site = catalog.Site(site_id=site_id, capabilities=[capability], is_active=True)
        events[f"site-{site_id}"] = {"site_upserted": catalog.SiteUpserted(site=site)}
    for key, event in events.items():
        await stack.publish(catalog.CatalogEvent(**event), key)
    await stack.settle()


async def test_an_accepted_order_is_prepared_where_its_goods_are(shop: Shop) -> None:
    await shop.receive("S1", 3)
    await shop.receive("S2", 5)
    await shop.place("O1", 3)
    assert await shop.groups("O1") == {"O1.1": ("S1", "picking")}
    await shop.sell("S1", 2, "ticket-1")
    assert await shop.groups("O1") == {"O1.1-2": ("S2", "picking")}
    assert await shop.tasks() == {"O1.1": "cancelled", "O1.1-2": "released"}
    assert await shop.levels() == {"S1": (1, 0, 0), "S2": (2, 3, 0)}
    discrepancies = await shop.stack["stock_ledger"].database.sql.fetch(
        "SELECT closed_at IS NOT NULL FROM discrepancy"
    )
    assert [row[0] for row in discrepancies] == [True]
    await shop.expect_agreement()


async def test_only_the_newest_that_are_not_covered_are_moved(shop: Shop) -> None:
    await shop.receive("S1", 6)
    await shop.receive("S2", 4)
    for order_id in ("O1", "O2", "O3"):
        await shop.place(order_id, 2)
    await shop.sell("S1", 1, "ticket-1")
    assert await shop.groups("O3") == {"O3.1-2": ("S2", "picking")}
    # One of the two that came free is sold, then more than is: the next newest goes too.
    await shop.sell("S1", 3, "ticket-2")
    assert await shop.groups("O2") == {"O2.1-2": ("S2", "picking")}
    assert await shop.groups("O1") == {"O1.1": ("S1", "picking")}
    assert await shop.levels() == {"S1": (0, 2, 0), "S2": (0, 4, 0)}
    await shop.expect_agreement()


async def test_what_nobody_has_stays_and_a_deeper_hole_is_told_again(shop: Shop) -> None:
    await shop.receive("S1", 4)
    await shop.place("O1", 2)
    await shop.place("O2", 2)
    await shop.sell("S1", 1, "ticket-1")
    assert await shop.groups("O2") == {"O2.1": ("S1", "picking")}
    rejected = await shop.stack["sourcing"].database.sql.fetchval(
        "SELECT count(*) FROM events WHERE topic = 'decision.rejected.v1'"
    )
    assert rejected == 1
    # Another site gets some; the next sale finds it, for both.
    await shop.receive("S3", 9)
    await shop.sell("S1", 3, "ticket-2")
    assert await shop.groups("O1") == {"O1.1-2": ("S3", "picking")}
    assert await shop.groups("O2") == {"O2.1-3": ("S3", "picking")}
    assert await shop.levels() == {"S1": (0, 0, 0), "S3": (5, 4, 0)}
    await shop.expect_agreement()


async def test_what_was_picked_before_the_news_stays_with_who_picked_it(shop: Shop) -> None:
    """The order has its goods; what was moved for it is given back where it went."""
    await shop.receive("S1", 3)
    await shop.receive("S2", 5)
    await shop.place("O1", 3)
    # The ledger moves the stock before it hears that it is picked: a plan spoken in sourcing's
    # place reaches it first, and the order hears of its groups' new place last.
    await shop.task("O1.1", ClaimTask("P1", "claim-1"))
    old = Group(
        group_id="O1.1", mode_id=MODE, mode_version=1, source_site_id="S1", handover_site_id="S1"
    )
    old.lines.add(line_id="1", sku="milk", quantity=3)
    order = (await shop.orders.GetOrder(wire.GetOrderRequest(order_id="O1"), CONTEXT)).order
    old.CopyFrom(order.groups[0].group)
    new = Group()
    new.CopyFrom(old)
    new.group_id, new.source_site_id = "O1.1-2", "S2"
    line_id = old.lines[0].line_id
    await shop.task("O1.1", RecordLines("P1", (Pick("a-1", line_id, 3),)))
    await shop.stack.settle()
    levels = await shop.levels()
    assert levels == {"S1": (0, 0, 3), "S2": (5, 0, 0)}
    plan = PlanDecided(order_id="O1", revision=2, groups=[new], replaces=[old])
    await shop.stack.publish(SourcingEvent(plan_decided=plan), "decision-O1-by-hand")
    await shop.stack.settle()
    # All is picked, so the ledger refuses, and nothing moves anywhere.
    assert await shop.levels() == levels
    assert list(await shop.groups("O1")) == ["O1.1"]


async def test_what_was_half_picked_is_put_back_where_it_was(shop: Shop) -> None:
    await shop.receive("S1", 4)
    await shop.receive("S2", 5)
    await shop.place("O1", 2)
    await shop.place("O2", 2)
    await shop.task("O2.1", ClaimTask("P1", "claim-1"))
    order = (await shop.orders.GetOrder(wire.GetOrderRequest(order_id="O2"), CONTEXT)).order
    line_id = order.groups[0].group.lines[0].line_id
    await shop.task("O2.1", RecordLines("P1", (Pick("a-1", line_id, 1),)))
    await shop.stack.settle()
    # O2 is the newest and has one unit left to pick; a whole group moves or none does.
    await shop.sell("S1", 1, "ticket-1")
    assert await shop.groups("O2") == {"O2.1": ("S1", "picking")}
    assert (await shop.levels())["S1"] == (-1, 3, 1)
    # A deeper hole reaches O1, which nobody has begun.
    await shop.sell("S1", 1, "ticket-2")
    assert await shop.groups("O1") == {"O1.1-2": ("S2", "picking")}
    assert await shop.levels() == {"S1": (0, 1, 1), "S2": (3, 2, 0)}
    await shop.expect_agreement()


async def test_what_weighs_less_than_ordered_is_no_shortage_and_frees_the_rest(shop: Shop) -> None:
    await shop.receive("S1", 50)
    await shop.place("O1", 20)
    await shop.place("O2", 20)
    weighed = RecordLines("paul", (Pick("a1", "1", 19),), {"1": 10})
    await shop.task("O1.1", ClaimTask("paul", "c1"), weighed)
    assert await shop.levels() == {"S1": (11, 20, 19)}
    assert await shop.tasks() == {"O1.1": "completed", "O2.1": "released"}
    assert await shop.groups("O1") == {"O1.1": ("S1", "handover")}
    order = (await shop.orders.GetOrder(wire.GetOrderRequest(order_id="O1"), CONTEXT)).order
    assert [line.quantity for line in order.groups[0].group.lines] == [19]
    units = order.lines[0].quantities
    assert (units.picked, units.lighter, units.shorted) == (19, 1, 0)
    mailbox = await shop.stack["notification"].database.sql.fetch(
        "SELECT occasion FROM mailbox WHERE order_id = 'O1'"
    )
    assert "shorted" not in {row[0] for row in mailbox}
    shown = await shop.stack["picking"].database.sql.fetchrow(
        "SELECT accounted_line_count, line_count FROM task_queue WHERE task_id = 'O1.1'"
    )
    assert tuple(shown) == (1, 1)
    await shop.expect_agreement()
