"""An event whose public form cannot be made: its feed waits for it where everybody sees it."""

import secrets
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from oms.order.v1.order_events_pb2 import OrderEvent

from services.kernel.adapters.store_reader import StoreReader, read_only
from services.kernel.application.reading import Period
from services.kernel.application.work import Work
from services.kernel.domain.messages import Recorded
from services.kernel.main import Kernel, Service
from services.kernel.main.doctor import Examined, examine
from services.kernel.main.inspection import Inspection, drop, parked_envelopes, parked_messages
from services.kernel.settings import KernelSettings
from tests.support import toy
from tests.support.stack import Stack, a_cause, eventually, running

pytestmark = pytest.mark.stack

TOPIC = "oms.order.v1.events"


class Source:
    """Cannot say some of its events; some it says at too great length."""

    def __init__(self) -> None:
        self.unsayable: set[int] = set()
        self.endless: set[int] = set()

    def build(self, _: Kernel) -> Service:
        return Service(name="order", codec=toy.CODEC, publish=self.publish)

    def publish(self, recorded: Recorded[Any]) -> OrderEvent:
        if recorded.event.amount in self.unsayable:
            raise ValueError(f"no words for {recorded.event.amount}")
        message = toy.publish(recorded)
        if recorded.event.amount in self.endless:
            message.payment_captured.order_id = "x" * (9 << 20)
        return message


class Pair:
    """A source and who hears it, on databases that outlive them."""

    def __init__(self, dsn: str) -> None:
        self.source, self.sink = Source(), Hearer()
        self._dsn, self._prefix = dsn, f"p{secrets.token_hex(4)}_"
        self.stack: Stack

    async def run(self) -> AsyncIterator[Stack]:
        builds = {"order": self.source.build, "sourcing": self.sink.build}
        async with running(self._dsn, builds, prefix=self._prefix) as self.stack:
            yield self.stack

    @property
    def inspection(self) -> Inspection:
        return cast("Inspection", SimpleNamespace(hosts=self.stack.runtime.hosts))

    def settings(self, data_home: Path) -> KernelSettings:
        return KernelSettings(
            data_home=data_home,
            postgres_dsn=self._dsn,
            database_prefix=self._prefix,
            health_port=1,  # nobody's
        )

    async def add(self, key: str, *amounts: int) -> None:
        for amount in amounts:

            async def use_case(work: Work, amount: int = amount) -> None:
                await work.handle(toy.COUNTER, key, toy.Add(amount))

            await self.stack["order"].runner.execute(a_cause(f"{key}{amount}"), use_case)

    async def hears(self, *amounts: int) -> None:
        await eventually(lambda: self.sink.heard == list(amounts))

    async def waits(self, count: int) -> Sequence[Any]:
        found: Sequence[Any] = []

        async def do_wait() -> bool:
            nonlocal found
            found = await parked_messages(self.inspection, 10)
            return len(found) == count

        await eventually(do_wait)
        return found


class Hearer(toy.Sink):
    """Notes what it hears, in the order in which it hears it."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[int] = []

    async def _hear(self, event: Any, envelope: Any, work: Work) -> None:
        await super()._hear(event, envelope, work)
        self.heard.append(event.payment_captured.amount.amount_minor)

    def build(self, kernel: Kernel) -> Service:
        service = super().build(kernel)
        return Service(
            name="sourcing",
            codec=toy.CODEC,
            publish=lambda _: None,
            subscriptions=service.subscriptions,
        )


@pytest.fixture
def pair(postgres_dsn: str) -> Pair:
    return Pair(postgres_dsn)


async def test_what_lies_before_it_is_published_and_it_is_listed_with_its_reason(
    pair: Pair,
) -> None:
    pair.source.unsayable = {2}
    async for _ in pair.run():
        await pair.add("a", 1, 2, 3)
        await pair.add("b", 4)
        await pair.hears(1)
        (held,) = await pair.waits(1)
        assert (held.service, held.group, held.topic) == ("order", "relay", TOPIC)
        assert (held.stream, held.position, held.type) == ("demo/counter-a", 2, "Added")
        assert "ValueError: no words for 2" in held.reason
        assert "services/order/adapters/publications.py" in held.reason
        (envelope,) = await parked_envelopes(pair.inspection, "demo/counter-a")
        assert (envelope.position, envelope.stream_version) == (2, 2)
        # Mended: all go out, in the order of the log, and nothing is left to look at.
        pair.source.unsayable = set()
        await pair.hears(1, 2, 3, 4)
        await pair.waits(0)


async def test_the_doctor_names_the_feed_that_is_held(pair: Pair, tmp_path: Path) -> None:
    async def feeds() -> list[Examined]:
        seen = await examine(pair.settings(tmp_path))
        return [one for one in seen if one.what.startswith("feed")]

    pair.source.unsayable = {2}
    async for _ in pair.run():
        await pair.add("a", 1, 2)
        await pair.waits(1)
        (held,) = await feeds()
        assert (held.what, held.state) == (f"feed {TOPIC}", "broken")
        assert "held at demo/counter-a" in held.detail
        assert "no words for 2" in held.detail
        pair.source.unsayable = set()
        await pair.waits(0)
        (fine,) = await feeds()
        assert fine.state == "fine"


async def test_an_event_too_large_for_a_feed_is_listed_too(pair: Pair) -> None:
    pair.source.endless = {2}
    async for _ in pair.run():
        await pair.add("a", 1, 2, 3)
        (held,) = await pair.waits(1)
        assert "a feed takes at most 8323072" in held.reason
        pair.source.endless = set()
        pair.source.unsayable = {3}
        await pair.hears(1, 2)
        (held,) = await pair.waits(1)
        assert held.position == 3


async def test_one_that_was_mended_by_another_version_leaves_the_list(pair: Pair) -> None:
    pair.source.unsayable = {1}
    async for _ in pair.run():
        await pair.add("a", 1)
        await pair.waits(1)
    pair.source.unsayable = set()
    async for _ in pair.run():
        await pair.waits(0)
        await pair.hears(1)


async def test_one_that_is_given_up_is_passed_over_for_good(pair: Pair) -> None:
    pair.source.unsayable = {2, 4}
    async for _ in pair.run():
        await pair.add("a", 1, 2, 3)
        await pair.add("b", 4, 5)
        await pair.waits(1)
        assert await drop(pair.inspection, "demo/counter-a") == 1
        await pair.hears(1, 3)
        (held,) = await pair.waits(1)
        assert held.position == 4
        assert await drop(pair.inspection, "demo/counter-b", first_only=True) == 1
        await pair.hears(1, 3, 5)
        await pair.waits(0)
    # Nobody's watermark is beyond the last one that was given up, and it is met again.
    pair.source.unsayable = {2, 4, 6}
    async for _ in pair.run():
        await pair.add("b", 6)
        await pair.waits(1)
        await drop(pair.inspection, "demo/counter-b")
        await pair.waits(0)
    async for stack in pair.run():
        await stack.settle()
        assert await pair.waits(0) == []
        await pair.add("b", 7)
        await pair.hears(1, 3, 5, 7)


async def test_who_reads_the_log_is_told_of_it_and_reads_on(pair: Pair) -> None:
    pair.source.unsayable = {2}
    dsn = ""
    async for stack in pair.run():
        await pair.add("a", 1, 2, 3)
        dsn = stack["order"]._dsn
    connection = await read_only(dsn)
    try:
        reader = StoreReader(connection, TOPIC, toy.CODEC, pair.source.publish, Period())
        page = await reader.read(await reader.beginning(), None)
    finally:
        await connection.close()
    assert [envelope.position for envelope in page.envelopes] == [1, 3]
    assert page.unreadable == ["position 2 cannot be published: ValueError: no words for 2"]
