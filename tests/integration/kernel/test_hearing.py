"""``oms verify`` names who has not heard what was said long ago."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

import pytest
from oms.order.v1.order_events_pb2 import OrderCancelled, OrderEvent

from services.kernel.adapters.database import with_database
from services.kernel.application.work import Work
from services.kernel.domain.messages import Recorded
from services.kernel.main import Kernel, Service
from services.kernel.main.hearing import unheard
from tests.support import toy
from tests.support.stack import Stack, a_cause, eventually, execute, running

pytestmark = pytest.mark.stack

IGNORED = 7


class Sink(toy.Sink):
    """Stands still when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def _hear(self, event: Any, envelope: Any, work: Work) -> None:
        await self.goes_on.wait()
        await super()._hear(event, envelope, work)


def source(_: Kernel) -> Service:
    return Service(name="order", codec=toy.CODEC, publish=_publish)


def _publish(recorded: Recorded[Any]) -> OrderEvent:
    """Say something that nobody listens for, too."""
    if recorded.event.amount == IGNORED:
        return OrderEvent(order_cancelled=OrderCancelled(order_id=recorded.key))
    return toy.publish(recorded)


type Toys = tuple[Stack, Sink, str]


@pytest.fixture
async def toys(postgres_dsn: str) -> AsyncIterator[Toys]:
    sink, prefix = Sink(), f"h{secrets.token_hex(4)}_"
    async with running(
        postgres_dsn, {"order": source, "sourcing": sink.build}, prefix=prefix
    ) as stack:
        dsn = with_database(postgres_dsn, f"{prefix}sourcing")
        for statement in toy.TABLES.split(";"):
            await execute(dsn, statement)
        yield stack, sink, dsn
        sink.goes_on.set()


async def say(stack: Stack, *amounts: int) -> None:
    for amount in amounts:

        async def use_case(work: Work, amount: int = amount) -> None:
            await work.handle(toy.COUNTER, "a", toy.Add(amount))

        await stack["order"].runner.execute(a_cause(f"c{amount}"), use_case)


async def late(stack: Stack, within_s: float) -> list[str]:
    hosts: Mapping[str, Any] = stack.runtime.hosts
    return await unheard(cast("Any", hosts), within_s, lambda *_: None)


async def test_what_was_heard_or_concerns_nobody_is_not_late(toys: Toys) -> None:
    stack, _, _ = toys
    await say(stack, 1, 2, IGNORED)
    await stack.settle()
    assert await late(stack, 0) == []


async def test_who_does_not_hear_is_named_once_it_is_too_long(toys: Toys) -> None:
    stack, sink, _ = toys
    await say(stack, IGNORED, 1)
    await stack.settle()
    sink.goes_on.clear()
    await say(stack, 2, 3)
    assert await late(stack, 60) == []
    (sentence,) = await late(stack, 0)
    assert sentence.startswith(
        "sourcing has not heard oms.order.v1.PaymentCaptured of demo/counter-a at 3, said 20"
    )
    sink.goes_on.set()
    await stack.settle()
    assert await late(stack, 0) == []


async def test_what_is_parked_is_told_elsewhere(toys: Toys) -> None:
    stack, sink, dsn = toys
    sink.poison = {2}
    await say(stack, 1, 2, 3)

    async def is_parked() -> bool:
        return len(await execute(dsn, "SELECT 1 FROM parked")) == 2

    await eventually(is_parked)
    await execute(dsn, "UPDATE watermarks SET position = 1")
    assert await late(stack, 0) == []


async def test_who_never_listened_is_named(toys: Toys) -> None:
    stack, _, dsn = toys
    await say(stack, 1)
    await stack.settle()
    await execute(dsn, "DELETE FROM watermarks")
    assert len(await late(stack, 0)) == 1


async def test_what_came_to_nothing_is_noted_at_a_stop(postgres_dsn: str) -> None:
    sink, prefix = Sink(), f"h{secrets.token_hex(4)}_"
    dsn = with_database(postgres_dsn, f"{prefix}sourcing")
    async with running(
        postgres_dsn, {"order": source, "sourcing": sink.build}, prefix=prefix
    ) as stack:
        for statement in toy.TABLES.split(";"):
            await execute(dsn, statement)
        for consumer in stack["sourcing"].consumers:
            consumer.watermarks._next_note = float("inf")
        await say(stack, 1, IGNORED)
        await stack.settle()
        assert (await execute(dsn, "SELECT position FROM watermarks"))[0][0] == 1
    assert (await execute(dsn, "SELECT position FROM watermarks"))[0][0] == 2
