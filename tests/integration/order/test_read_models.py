"""Read models take each event twice and stale ones, and show the same."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.kernel.adapters.event_log import NewEvent, append, encode_cause
from services.kernel.domain.ids import derive
from services.kernel.domain.messages import Cause, Recorded
from services.order.adapters.event_codec import CODEC
from services.order.domain import basket, basket_line
from services.order.domain.mode import Choice
from services.order.domain.order import ORDER
from services.order.domain.order_commands import NoteShort, RefundOrder
from services.order.domain.order_events import Event
from services.order.read_models import basket_view, order_summary, order_timeline
from services.order.read_models.order_detail import detail_of
from tests.support.stack import TENANT, Stack, running
from tests.unit.order.examples import NOON, PLACED
from tests.unit.order.test_order import (
    ACCEPT,
    DELIVERED_2,
    HANDED_1,
    PICKED_1,
    PICKED_2,
    READY_1,
    SENT_2,
)

pytestmark = pytest.mark.stack


@pytest.fixture
async def stack(postgres_dsn: str) -> AsyncIterator[Stack]:
    async with running(postgres_dsn, ["order"]) as started:
        yield started


def recorded(stream: str, events: list[Any]) -> list[Recorded[Any]]:
    return [
        Recorded(f"{TENANT}/{stream}", n, n, event, f"e{n}", NOON, Cause(TENANT, f"c{n}"))
        for n, event in enumerate(events, start=1)
    ]


def a_life() -> list[Event]:
    history: list[Event] = [PLACED]
    for command in (
        *(ACCEPT, NoteShort("O-1.1", "1", 1, "NOT_FOUND", 4), PICKED_1, READY_1, HANDED_1),
        *(PICKED_2, SENT_2, DELIVERED_2, RefundOrder("RET-1", "EUR", 120)),
    ):
        history += ORDER.decide(command, ORDER.fold(history))
    return history


async def test_an_order_is_shown_the_same_however_its_events_are_batched(stack: Stack) -> None:
    sql = stack["order"].database.sql
    life = recorded("order-O-1", a_life())

    for event in life:
        await order_summary.project([event], sql)
    one_by_one = await order_summary.latest(sql, tenant=TENANT)
    for batch in (life, life[:3], life[5:]):
        await order_summary.project(batch, sql)
    assert await order_summary.latest(sql, tenant=TENANT) == one_by_one
    await sql.execute("DELETE FROM order_summary")
    await order_summary.project(life, sql)
    assert await order_summary.latest(sql, tenant=TENANT) == one_by_one
    [row] = await order_summary.latest(sql, tenant=TENANT)
    assert (row.status, row.version) == (order_summary.COMPLETED, len(life))
    assert row.refunded_minor == 120


async def test_an_order_of_many_events_is_read_whole_page_by_page(stack: Stack) -> None:
    life = a_life()
    host = stack["order"]
    cause = Cause(TENANT, "c1", actor="clerk", causation_id="e0")
    events = [
        NewEvent(
            f"{TENANT}/order-O-1", n, *CODEC.encode(event), derive(f"e{n}"), encode_cause(cause)
        )
        for n, event in enumerate(life, start=1)
    ]
    await append(host.database.sql, [events])
    for at_once in (1, len(life) - 1, len(life), len(life) + 1):
        entries = await order_timeline.entries_of(
            host.reader, tenant=TENANT, order_id="O-1", at_once=at_once
        )
        assert [entry.fact.event for entry in entries] == life
        assert [entry.fact.version for entry in entries] == list(range(1, len(life) + 1))
        assert {(entry.actor, entry.causation_id) for entry in entries} == {("clerk", "e0")}
    page = await order_timeline.entries_after(
        host.reader, tenant=TENANT, order_id="O-1", version=2, limit=2
    )
    assert [entry.fact.version for entry in page] == [3, 4]
    for tenant, order_id in ((TENANT, "O-2"), ("other", "O-1"), (TENANT, "O")):
        assert not await order_timeline.entries_of(host.reader, tenant=tenant, order_id=order_id)


def test_the_partition_of_a_line_is_exact_after_every_event() -> None:
    life = recorded("order-O-1", a_life())
    for read in range(1, len(life) + 1):
        facts = [order_timeline.entry_of(one).fact for one in life[:read]]
        for line in detail_of(facts).lines:
            units = line.quantities
            parts = (
                *(units.open, units.allocated, units.picked, units.in_transit),
                *(units.delivered, units.shorted, units.cancelled),
            )
            assert sum(parts) == line.line.quantity
            assert min(parts) >= 0


async def test_a_basket_is_folded_once(stack: Stack) -> None:
    sql = stack["order"].database.sql
    drive = Choice("drive", 0, "LILLE", wanted_at=NOON)
    events = recorded(
        "basket-B-1",
        [
            basket.BasketCreated("customer-7"),
            basket.BasketLineAdded("1", "WATER", 6, ()),
            basket.BasketChoiceMade(drive),
            basket.BasketLineChanged("1", 9, (basket_line.Part(9, drive),)),
            basket.BasketCheckedOut("O-1"),
        ],
    )
    for batch in (events[:2], events, events[2:4]):
        await basket_view.project(batch, sql)
    known = await basket_view.basket_of(sql, tenant=TENANT, basket_id="B-1")
    assert known is not None
    assert known.version == 5
    assert known.state == basket.BASKET.fold(event.event for event in events)
