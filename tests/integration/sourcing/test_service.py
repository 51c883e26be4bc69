"""The sourcing service on a real PostgreSQL: from a placed order to a plan, and back again."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from oms.catalog.v1 import catalog_events_pb2 as catalog
from oms.common.v1 import common_pb2 as common
from oms.order.v1 import order_events_pb2 as order
from oms.sourcing.v1 import sourcing_service_pb2 as wire
from oms.stock_ledger.v1 import stock_ledger_events_pb2 as ledger

from services.kernel.application.work import Work
from services.kernel.domain.errors import Invalid, NotFound
from services.kernel.entrypoints.calls import CALLER, Caller
from services.kernel.read_models.remark import Remark
from services.sourcing.application.handlers import Decisions
from services.sourcing.application.spoken_for import SpokenFor
from services.sourcing.domain.decision_events import PlanDecided, PlanRejected
from services.sourcing.domain.policy import Policy
from services.sourcing.domain.receipt import ALGORITHM
from services.sourcing.domain.sourcing_decision import DECISION
from services.sourcing.entrypoints.grpc_server import SourcingGrpc
from services.sourcing.entrypoints.subscribers import Subscribers
from services.sourcing.read_models import receipts
from services.sourcing.read_models.network_view import NetworkView, named_by_content
from services.sourcing.read_models.replay_check import replay_violations
from services.sourcing.read_models.stock_view import shelves
from tests.support.stack import TENANT, Stack, a_cause, running

pytestmark = pytest.mark.stack

MODE = "click_and_collect"


@pytest.fixture
async def stack(postgres_dsn: str) -> AsyncIterator[Stack]:
    async with running(postgres_dsn, ["sourcing"]) as running_stack:
        await _network(running_stack)
        await running_stack.settle()
        yield running_stack


async def _network(stack: Stack) -> None:
    for n, site_id in enumerate(("S1", "S2", "S3")):
        site = catalog.Site(
            site_id=site_id,
            time_zone="Europe/Paris",
            position=common.Position(latitude_e6=48_800_000 + n * 20_000, longitude_e6=2_300_000),
            capabilities=[
                catalog.SiteCapability(
                    mode_id=MODE,
                    can_prepare=True,
                    can_hand_over=True,
                    temperatures=[common.TEMPERATURE_CLASS_AMBIENT],
                    preparation_cost=common.Money(amount_minor=200, currency="EUR"),
                    lead_time_minutes=60,
                )
            ],
            is_active=True,
        )
        event = catalog.CatalogEvent(site_upserted=catalog.SiteUpserted(site=site))
        await stack.publish(event, f"site-{site_id}")
    for extended_id, members in (("E1", ["S1", "S2"]), ("E2", ["S3"])):
        extended = catalog.ExtendedSite(
            extended_site_id=extended_id, anchor_site_id=members[0], member_site_ids=members
        )
        upserted = catalog.ExtendedSiteUpserted(extended_site=extended)
        await stack.publish(
            catalog.CatalogEvent(extended_site_upserted=upserted), f"extendedsite-{extended_id}"
        )
    zone = catalog.SalesZone(sales_zone_id="Z", extended_site_ids=["E1", "E2"])
    await stack.publish(
        catalog.CatalogEvent(sales_zone_upserted=catalog.SalesZoneUpserted(sales_zone=zone)),
        "saleszone-Z",
    )
    product = catalog.Product(
        sku="milk", weight_g=1000, temperature=common.TEMPERATURE_CLASS_AMBIENT
    )
    await stack.publish(
        catalog.CatalogEvent(product_upserted=catalog.ProductUpserted(product=product)),
        "product-milk",
    )


async def _stock(stack: Stack, site_id: str, free: int, version: int, sku: str = "milk") -> None:
    changed = ledger.StockChanged(site_id=site_id, sku=sku, free=free, version=version)
    await stack.publish(ledger.StockLedgerEvent(stock_changed=changed), f"stock-{site_id}|{sku}")


def _placed(order_id: str, quantity: int, site_id: str = "S1") -> order.OrderEvent:
    choice = order.Choice(mode_id=MODE, mode_version=1, site_id=site_id)
    line = order.OrderLine(line_id="1", sku="milk", quantity=quantity, choice=choice)
    return order.OrderEvent(
        order_placed=order.OrderPlaced(order_id=order_id, lines=[line], currency="EUR")
    )


async def _place(stack: Stack, order_id: str, quantity: int) -> None:
    await stack.publish(_placed(order_id, quantity), f"order-{order_id}")
    await stack.settle()


async def _decisions(stack: Stack, order_id: str) -> list[PlanDecided | PlanRejected]:
    return await receipts.of_order(TENANT, order_id, stack["sourcing"].database.sql)


def _refused(order_id: str, revision: int, site_id: str, free: int) -> ledger.StockLedgerEvent:
    return ledger.StockLedgerEvent(
        reservation_refused=ledger.ReservationRefused(
            reservation_id=order_id,
            order_id=order_id,
            plan_revision=revision,
            shortages=[ledger.StockLine(site_id=site_id, sku="milk", quantity=free)],
        )
    )


async def test_a_placed_order_is_planned_at_the_chosen_site(stack: Stack) -> None:
    await _stock(stack, "S1", 10, 1)
    await stack.settle()
    await _place(stack, "O1", 3)
    (decided,) = await _decisions(stack, "O1")
    assert isinstance(decided, PlanDecided)
    assert [group.source_site_id for group in decided.groups] == ["S1"]
    assert [group.group_id for group in decided.groups] == ["O1.1"]
    assert decided.cost.total_minor == 200


async def test_the_sales_zone_helps_when_the_extended_site_cannot(stack: Stack) -> None:
    await _stock(stack, "S3", 10, 1)
    await stack.settle()
    await _place(stack, "O1", 3)
    (decided,) = await _decisions(stack, "O1")
    assert isinstance(decided, PlanDecided)
    (group,) = decided.groups
    assert (group.source_site_id, group.handover_site_id) == ("S3", "S1")
    assert group.tier == "sales_zone"
    assert group.cost.transfer_minor > 0


async def test_a_refused_plan_is_made_again_around_what_the_ledger_said(stack: Stack) -> None:
    await _stock(stack, "S1", 10, 1)
    await _stock(stack, "S2", 10, 1)
    await stack.settle()
    await _place(stack, "O1", 3)
    await stack.publish(_refused("O1", 1, "S1", 0), "reservation-O1")
    await stack.settle()
    first, second = await _decisions(stack, "O1")
    assert isinstance(first, PlanDecided)
    assert isinstance(second, PlanDecided)
    assert [group.source_site_id for group in second.groups] == ["S2"]
    assert second.groups[0].group_id == "O1.1-2"


async def test_nothing_left_anywhere_is_refused_with_alternatives(stack: Stack) -> None:
    await _stock(stack, "S1", 2, 1)
    await _stock(stack, "S2", 1, 1)
    await stack.settle()
    await _place(stack, "O1", 5)
    (rejected,) = await _decisions(stack, "O1")
    assert isinstance(rejected, PlanRejected)
    assert rejected.reason == "OUT_OF_STOCK"
    assert [(a.site_id, a.available) for a in rejected.alternatives] == [("S1", 2), ("S2", 1)]


async def test_an_accepted_order_is_not_planned_again(stack: Stack) -> None:
    await _stock(stack, "S1", 10, 1)
    await stack.settle()
    await _place(stack, "O1", 3)
    accepted = order.OrderEvent(order_accepted=order.OrderAccepted(order_id="O1"))
    await stack.publish(accepted, "order-O1")
    await stack.settle()
    await stack.publish(_refused("O1", 1, "S1", 0), "reservation-O1")
    await stack.settle()
    assert len(await _decisions(stack, "O1")) == 1


async def test_only_the_newest_stock_counts_whatever_order_it_is_written_in(stack: Stack) -> None:
    await _stock(stack, "S1", 5, 7)
    await _stock(stack, "S1", 9, 6)
    await stack.settle()
    seen = await shelves(TENANT, ["milk"], stack["sourcing"].database.sql)
    assert seen.stock["milk"]["S1"] == 5
    assert seen.products["milk"].weight_g == 1000


async def test_orders_of_one_moment_do_not_all_run_to_the_same_shelf(stack: Stack) -> None:
    await _stock(stack, "S1", 3, 1)
    await _stock(stack, "S2", 3, 1)
    await stack.settle()
    for order_id in ("O1", "O2"):
        await stack.publish(_placed(order_id, 3), f"order-{order_id}")
    await stack.settle()
    sources = []
    for order_id in ("O1", "O2"):
        (decided,) = await _decisions(stack, order_id)
        assert isinstance(decided, PlanDecided)
        sources += [group.source_site_id for group in decided.groups]
    assert sorted(sources) == ["S1", "S2"]


class _Clock:
    def now(self) -> datetime:
        return datetime(2026, 3, 2, 9, tzinfo=UTC)


def _grpc(stack: Stack) -> SourcingGrpc:
    policy = named_by_content(Policy())
    host: Any = stack["sourcing"]
    return SourcingGrpc(host.reader, _Clock(), NetworkView(policy), policy)


async def test_a_batch_that_is_tried_again_does_not_plan_around_its_first_try(
    stack: Stack,
) -> None:
    """What it spoke for then came to nothing; a repeat goes to the same shelf."""
    await _stock(stack, "S1", 4, 1)
    changed = ledger.StockChanged(site_id="S2", sku="milk", free=9, version=1)
    any_envelope = await stack.publish(
        ledger.StockLedgerEvent(stock_changed=changed), "stock-S2|milk"
    )
    await stack.settle()
    host = stack["sourcing"]
    decisions = Decisions(Policy(), SpokenFor(timedelta(minutes=1), 100))
    subscribers = Subscribers(decisions, NetworkView(named_by_content(Policy())))
    placed = [(_placed(order_id, 2), any_envelope) for order_id in ("O1", "O2")]
    tries: list[list[str]] = []

    async def batch(work: Work) -> None:
        await subscribers.prepare_orders(placed, work)
        for event, envelope in placed:
            await subscribers.hear_order(event, envelope, work)
        plans = [(await work.state(DECISION, order_id)).state for order_id in ("O1", "O2")]
        tries.append([plan.groups[0].source_site_id for plan in plans])
        raise LookupError("this try is lost")

    for number in range(2):
        with pytest.raises(LookupError):
            await host.runner.execute(a_cause(f"try-{number}"), batch)
    assert tries == [["S1", "S1"], ["S1", "S1"]]


async def test_an_order_that_kept_its_groups_is_planned_elsewhere_from_where_it_is(
    stack: Stack,
) -> None:
    for site_id in ("S1", "S2", "S3"):
        await _stock(stack, site_id, 10, 1)
    await stack.settle()
    await _place(stack, "O1", 3)
    accepted = order.OrderEvent(order_accepted=order.OrderAccepted(order_id="O1", plan_revision=1))
    await stack.publish(accepted, "order-O1")
    await stack.settle()
    gone = ledger.ReservationEndangered(
        reservation_id="O1", order_id="O1", lines=[ledger.StockLine(site_id="S1", sku="milk")]
    )
    endangered = ledger.StockLedgerEvent(reservation_endangered=gone)
    for revision in (2, 3):
        await stack.publish(endangered, "reservation-O1")
        await stack.settle()
        kept = order.GroupsKept(order_id="O1", plan_revision=revision)
        await stack.publish(order.OrderEvent(groups_kept=kept), "order-O1")
        await stack.settle()
    decided = await _decisions(stack, "O1")
    assert [[group.group_id for group in each.replaces] for each in decided] == [
        [],
        ["O1.1"],
        ["O1.1"],
    ]


async def test_receipts_are_read_and_replayed(stack: Stack) -> None:
    CALLER.set(Caller(TENANT, "key", frozenset(), "c", ""))
    server: Any = _grpc(stack)
    await _stock(stack, "S1", 10, 1)
    await stack.settle()
    await _place(stack, "O1", 3)
    await _place(stack, "O2", 300)
    for order_id in ("O1", "O2"):
        listed = await server.ListDecisions(wire.ListDecisionsRequest(order_id=order_id), None)
        (decision,) = listed.decisions
        by_id = wire.GetDecisionRequest(decision_id=decision.decision_id)
        assert (await server.GetDecision(by_id, None)).decision == decision
        replay = wire.ReplayDecisionRequest(decision_id=decision.decision_id)
        replayed = await server.ReplayDecision(replay, None)
        assert replayed.is_equal, replayed.differences
        assert replayed.is_comparable
        assert replayed.algorithm_version == decision.algorithm_version == ALGORITHM
        assert replayed.snapshot_hash == decision.snapshot_hash


async def test_a_decision_of_another_version_is_not_compared(stack: Stack) -> None:
    """An older algorithm may have found another plan; that is no fault of the decision."""
    CALLER.set(Caller(TENANT, "key", frozenset(), "c", ""))
    server: Any = _grpc(stack)
    await _stock(stack, "S1", 10, 1)
    await stack.settle()
    for order_id in ("O1", "O2", "O3"):
        await _place(stack, order_id, 3)
    sql = stack["sourcing"].database.sql
    assert await replay_violations(sql) == []
    # As they were stored before versions were: another plan, at another cost.
    await sql.execute(
        "UPDATE decision_receipt SET body = (body::jsonb #- '{receipt,algorithm}'"
        " || '{\"cost\": {}}')::json WHERE order_id = 'O1'"
    )
    (old,) = (await server.ListDecisions(wire.ListDecisionsRequest(order_id="O1"), None)).decisions
    assert old.algorithm_version == 0
    replay = wire.ReplayDecisionRequest(decision_id=old.decision_id)
    replayed = await server.ReplayDecision(replay, None)
    assert (replayed.is_comparable, replayed.is_equal) == (False, False)
    assert "Version 0 " in replayed.differences[0]
    (remark,) = await replay_violations(sql)
    assert isinstance(remark, Remark)
    assert remark.startswith("1 of 3 decisions")
    # The same difference within the version is a violation.
    await sql.execute(
        "UPDATE decision_receipt SET body = (body::jsonb || '{\"cost\": {}}')::json"
        " WHERE order_id = 'O2'"
    )
    found = await replay_violations(sql)
    assert [isinstance(each, Remark) for each in found] == [False, True]
    assert "order O2" in found[0]
    assert "cost" in found[0]


async def test_another_tenant_sees_nothing(stack: Stack) -> None:
    await _stock(stack, "S1", 10, 1)
    await stack.settle()
    await _place(stack, "O1", 3)
    CALLER.set(Caller("other", "key", frozenset(), "c", ""))
    server: Any = _grpc(stack)
    with pytest.raises(NotFound):
        await server.ListDecisions(wire.ListDecisionsRequest(order_id="O1"), None)


async def test_a_quote_promises_without_recording(stack: Stack) -> None:
    CALLER.set(Caller(TENANT, "key", frozenset(), "c", ""))
    server: Any = _grpc(stack)
    await _stock(stack, "S1", 10, 1)
    await _stock(stack, "S3", 10, 1)
    await stack.settle()
    choice = order.Choice(mode_id=MODE, mode_version=1, site_id="S1")
    line = wire.QuoteLine(line_id="1", sku="milk", quantity=3, choice=choice)
    quote = await server.Quote(wire.QuoteRequest(lines=[line]), None)
    assert quote.is_feasible
    assert quote.cost.total_minor == 200
    assert [offer.source_site_id for offer in quote.offers] == ["S1", "S3"]
    line.quantity = 30
    refused = await server.Quote(wire.QuoteRequest(lines=[line]), None)
    assert not refused.is_feasible
    assert refused.reason == "OUT_OF_STOCK"
    with pytest.raises(Invalid):
        await server.Quote(wire.QuoteRequest(), None)
    count = await stack["sourcing"].database.sql.fetchval("SELECT count(*) FROM events")
    assert count == 0


async def test_a_burst_of_opening_stock_is_taken_in(stack: Stack) -> None:
    await asyncio.gather(
        *(_stock(stack, f"S{n % 3 + 1}", n, 1, sku=f"P{n // 3}") for n in range(3_000))
    )
    await stack.settle()
    count = await stack["sourcing"].database.sql.fetchval("SELECT count(*) FROM stock_view")
    assert count == 3_000
