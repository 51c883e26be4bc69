"""One batch is one transaction: what is left when its owner dies, is replaced, or hears it again.

No bus is involved: batches are handed to the consumers of processes that share one database.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import asyncpg
import pytest
from oms.common.v1.common_pb2 import Money
from oms.order.v1.order_events_pb2 import OrderEvent, PaymentCaptured

from services.kernel.adapters.consumer import Consumer
from services.kernel.adapters.database import with_database
from services.kernel.adapters.local_bus import LOCAL_PARTITION
from services.kernel.adapters.watermarks import Part
from services.kernel.application.feeds import Envelope
from services.kernel.application.work import Work
from services.kernel.domain.ids import derive
from services.kernel.entrypoints.listen import listen
from services.kernel.main import Kernel, Service
from tests.support import toy
from tests.support.stack import eventually, execute, running

pytestmark = pytest.mark.stack


class Died(BaseException):
    """The process is gone: nothing that it would do on a failure happens."""


class Group:
    """Writes one row and records one event per message; nothing of its own makes either unique."""

    def __init__(self) -> None:
        self.dies_at = 0

    def build(self, _: Kernel) -> Service:
        return Service(
            name="sourcing",
            codec=toy.CODEC,
            publish=lambda _: None,
            subscriptions=(
                listen(OrderEvent, group="group", hears=("payment_captured",), hear=self._hear),
            ),
        )

    async def _hear(self, event: OrderEvent, envelope: Envelope, work: Work) -> None:
        if envelope.position == self.dies_at:
            raise Died
        await work.sql.execute("INSERT INTO heard VALUES ($1)", envelope.position)
        await work.handle(toy.COUNTER, event.payment_captured.order_id, toy.Add(1))


class Rows(Group):
    """Rows alone: no event's id betrays a repetition."""

    async def _hear(self, _: OrderEvent, envelope: Envelope, work: Work) -> None:
        if envelope.position == self.dies_at:
            raise Died
        await work.sql.execute("INSERT INTO heard VALUES ($1)", envelope.position)


class Records(Group):
    """Events alone: the unit is one statement."""

    async def _hear(self, event: OrderEvent, envelope: Envelope, work: Work) -> None:
        if envelope.position == self.dies_at:
            raise Died
        await work.handle(toy.COUNTER, event.payment_captured.order_id, toy.Add(1))


KINDS = [Group, Rows, Records]


class Processes:
    """Processes of one service, on one database."""

    def __init__(self, postgres_dsn: str) -> None:
        self._dsn = postgres_dsn
        self._prefix = f"u{secrets.token_hex(4)}_"

    @asynccontextmanager
    async def one_more(self, group: Group, *, statement_s: float = 5.0) -> AsyncIterator[Consumer]:
        async with running(
            self._dsn,
            {"sourcing": group.build},
            prefix=self._prefix,
            is_sole_writer=False,
            statement_s=statement_s,
        ) as stack:
            await self.sql(
                "CREATE TABLE IF NOT EXISTS heard (position bigint); GRANT ALL ON heard TO oms_app"
            )
            yield stack["sourcing"].consumers[0]

    @property
    def dsn(self) -> str:
        return with_database(self._dsn, f"{self._prefix}sourcing")

    async def heard(self) -> list[int]:
        return [row[0] for row in await self.sql("SELECT position FROM heard ORDER BY 1")]

    async def events(self) -> int:
        return int((await self.sql("SELECT count(*) FROM events"))[0][0])

    async def watermark(self) -> int:
        return int((await self.sql("SELECT position FROM watermarks"))[0][0])

    async def sql(self, statements: str) -> list[tuple[int, ...]]:
        rows: list[tuple[int, ...]] = []
        for statement in statements.split(";"):
            rows = await execute(self.dsn, statement)
        return rows


@pytest.fixture
def processes(postgres_dsn: str) -> Processes:
    return Processes(postgres_dsn)


def a_batch(*positions: int) -> Sequence[Envelope]:
    return [_envelope(position) for position in positions]


def _envelope(position: int) -> Envelope:
    key = f"O{position % 3}"
    event = OrderEvent(
        payment_captured=PaymentCaptured(order_id=key, amount=Money(amount_minor=1, currency="EUR"))
    )
    return Envelope(
        topic="oms.order.v1.events",
        key=f"demo/order-{key}",
        value=event.SerializeToString(),
        event_id=derive("unit", position),
        type="oms.order.v1.PaymentCaptured",
        tenant="demo",
        stream_version=position,
        position=position,
        recorded_at=datetime.now(UTC),  # noqa: TID251 - a test is an edge
        causation_id="",
        correlation_id="test",
        traceparent="",
    )


@pytest.mark.parametrize("kind", KINDS)
async def test_an_owner_that_dies_within_a_batch_loses_none_of_it(
    processes: Processes, kind: type[Group]
) -> None:
    """The place in the feed is not noted before the effect is."""
    dying = kind()
    dying.dies_at = 3
    async with processes.one_more(dying) as consumer:
        with pytest.raises(Died):
            await consumer.consume(Part(LOCAL_PARTITION, a_batch(1, 2, 3, 4)))
    assert await processes.heard() == []
    assert await processes.events() == 0
    assert await processes.watermark() == 0
    async with processes.one_more(kind()) as consumer:
        assert consumer.watermarks[LOCAL_PARTITION] == 0
        await consumer.consume(Part(LOCAL_PARTITION, a_batch(1, 2, 3, 4)))
    if kind is not Records:
        assert await processes.heard() == [1, 2, 3, 4]
    if kind is not Rows:
        assert await processes.events() == 4
    assert await processes.watermark() == 4


@pytest.mark.parametrize("kind", KINDS)
async def test_a_second_owner_of_a_partition_changes_nothing_twice(
    processes: Processes, kind: type[Group]
) -> None:
    """Two believe that a partition is theirs: rows, events and watermark come or go together."""
    async with processes.one_more(kind()) as first, processes.one_more(kind()) as second:
        await first.consume(Part(LOCAL_PARTITION, a_batch(1, 2, 3)))
        await second.consume(Part(LOCAL_PARTITION, a_batch(1, 2, 3, 4)))
        await first.consume(Part(LOCAL_PARTITION, a_batch(4, 5)))
    if kind is not Records:
        assert await processes.heard() == [1, 2, 3, 4, 5]
    if kind is not Rows:
        assert await processes.events() == 5
    assert await processes.watermark() == 5


async def test_what_is_heard_again_from_before_the_watermark_has_the_same_ids(
    processes: Processes,
) -> None:
    """A reaction's command id follows from the message, so that the log knows it again."""
    async with processes.one_more(Records()) as consumer:
        await consumer.consume(Part(LOCAL_PARTITION, a_batch(1, 2, 3)))
    before = await processes.sql("SELECT event_id FROM events ORDER BY notification_id")
    await processes.sql("UPDATE watermarks SET position = 0")
    async with processes.one_more(Records()) as consumer:
        await consumer.consume(Part(LOCAL_PARTITION, a_batch(1, 2, 3)))
    assert await processes.sql("SELECT event_id FROM events ORDER BY notification_id") == before
    assert await processes.watermark() == 3


def the_parts(**positions: tuple[int, ...]) -> list[Part]:
    return [Part(int(name[1:]), a_batch(*those), 9) for name, those in positions.items()]


@pytest.mark.parametrize("kind", KINDS)
async def test_what_lies_on_several_partitions_is_kept_in_one_commit(
    processes: Processes, kind: type[Group]
) -> None:
    dying = kind()
    async with processes.one_more(dying) as consumer:
        for partition in (1, 2):
            await consumer.assign(partition)
        await consumer.consume_together(the_parts(p0=(1, 4), p1=(2, 5), p2=(3,)))
        commits = "SELECT count(DISTINCT xmin::text) FROM watermarks"
        assert await processes.sql(commits) == [(1,)]
        dying.dies_at = 8
        with pytest.raises(Died):
            await consumer.consume_together(the_parts(p0=(7,), p1=(8,), p2=(6,)))
    marks = "SELECT position FROM watermarks WHERE bus_offset = 9 ORDER BY partition"
    assert await processes.sql(marks) == [(4,), (5,), (3,)]
    if kind is not Records:
        assert await processes.heard() == [1, 2, 3, 4, 5]
    if kind is not Rows:
        assert await processes.events() == 5


@pytest.mark.parametrize("kind", KINDS)
async def test_a_second_owner_of_one_of_several_partitions_changes_nothing_twice(
    processes: Processes, kind: type[Group]
) -> None:
    """What another went on with is passed over; the other partitions go on."""
    async with processes.one_more(kind()) as first, processes.one_more(kind()) as second:
        for consumer in (first, second):
            await consumer.assign(1)
        await second.consume(Part(1, a_batch(2, 5)))
        await first.consume_together(the_parts(p0=(1, 4), p1=(2, 5, 8)))
    marks = "SELECT position FROM watermarks ORDER BY partition"
    assert await processes.sql(marks) == [(4,), (8,)]
    if kind is not Records:
        assert await processes.heard() == [1, 2, 4, 5, 8]
    if kind is not Rows:
        assert await processes.events() == 5


class Fails(Records):
    """Cannot handle one message, until somebody mends it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.is_mended = False
        self.is_at_sixth, self.may_go_on = asyncio.Event(), asyncio.Event()
        self.may_go_on.set()

    async def _hear(self, event: OrderEvent, envelope: Envelope, work: Work) -> None:
        if envelope.position == 3 and not self.is_mended:
            self.calls += 1
            raise ValueError("a bug")
        if envelope.position == 6:
            self.is_at_sixth.set()
            await self.may_go_on.wait()
        await super()._hear(event, envelope, work)


async def test_a_stream_that_was_driven_again_in_vain_is_tried_once(processes: Processes) -> None:
    """Those that wait behind were asked for, too; they do not ask for ever."""
    failing = Fails()
    async with processes.one_more(failing) as consumer:
        await consumer.consume(Part(LOCAL_PARTITION, a_batch(3, 6, 9)))
        before = failing.calls
        await processes.sql("UPDATE parked SET redrive = true")
        await eventually(lambda: failing.calls > before)
        await asyncio.sleep(1)
        assert failing.calls == before + 1
        assert await processes.sql(
            "SELECT position, attempts, redrive FROM parked ORDER BY position"
        ) == [(3, 4, False), (6, 0, False), (9, 0, False)]
        failing.is_mended = True
        await processes.sql("UPDATE parked SET redrive = true")

        async def is_free() -> bool:
            return await processes.sql("SELECT 1 FROM parked") == []

        await eventually(is_free)
    assert await processes.events() == 3


async def test_what_is_parked_while_another_process_drives_its_stream_is_driven_too(
    processes: Processes,
) -> None:
    """It found somebody before it, who was gone a moment later; nobody would ask for it."""
    failing = Fails()
    async with processes.one_more(failing) as driving:
        await driving.consume(Part(LOCAL_PARTITION, a_batch(3, 6)))
        async with processes.one_more(Fails()) as owner:
            owner._next_redrive = float("inf")  # it is the other's turn
            failing.is_mended = True
            failing.may_go_on.clear()
            await processes.sql("UPDATE parked SET redrive = true")
            await failing.is_at_sixth.wait()
            await owner.consume(Part(LOCAL_PARTITION, a_batch(9)))
            failing.may_go_on.set()

            async def is_free() -> bool:
                return await processes.sql("SELECT 1 FROM parked") == []

            await eventually(is_free)
    assert await processes.events() == 3


async def test_what_came_after_the_wish_to_drive_a_long_stream_is_driven_too(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More wait than one round takes, and those behind were not there when it was asked for."""
    monkeypatch.setattr("services.kernel.adapters.parking._REDRIVE_MESSAGES", 2)
    failing = Fails()
    async with processes.one_more(failing) as consumer:
        await consumer.consume(Part(LOCAL_PARTITION, a_batch(3, 6, 9, 12, 15)))
        failing.is_mended = True
        await processes.sql("UPDATE parked SET redrive = true WHERE position <= 6")

        async def is_free() -> bool:
            return await processes.sql("SELECT 1 FROM parked") == []

        await eventually(is_free)
    assert await processes.events() == 5


class Quotes(Records):
    """Says why it cannot handle a message by quoting what is in it."""

    async def _hear(self, event: OrderEvent, envelope: Envelope, work: Work) -> None:
        if envelope.position == 3:
            raise ValueError("no such product: 'a\x00b\ud800'")
        await super()._hear(event, envelope, work)


async def test_a_reason_that_no_table_can_hold_parks_its_message_all_the_same(
    processes: Processes,
) -> None:
    async with processes.one_more(Quotes()) as consumer:
        async with asyncio.timeout(10):
            await consumer.consume(Part(LOCAL_PARTITION, a_batch(1, 3, 5)))
        ((reason,),) = await processes.sql("SELECT reason FROM parked")
    assert str(reason) == "ValueError: no such product: 'a\\x00b\\ud800'"
    assert await processes.events() == 2


class TooMuch(Records):
    """Manages two messages at a time within the limit of a statement."""

    def build(self, _: Kernel) -> Service:
        return Service(
            name="sourcing",
            codec=toy.CODEC,
            publish=lambda _: None,
            subscriptions=(
                listen(
                    OrderEvent,
                    group="group",
                    hears=("payment_captured",),
                    hear=self._hear,
                    prepare=self._prepare,
                ),
            ),
        )

    async def _prepare(self, batch: Sequence[tuple[OrderEvent, Envelope]], _: Work) -> None:
        if len(batch) > 2:
            raise TimeoutError


async def test_a_batch_that_is_too_much_for_a_busy_server_is_taken_in_parts(
    processes: Processes,
) -> None:
    """It looks like a server that is away; waiting for it would never end."""
    async with processes.one_more(TooMuch()) as consumer:
        async with asyncio.timeout(30):
            await consumer.consume(Part(LOCAL_PARTITION, a_batch(1, 2, 3, 4, 5, 6, 7)))
    assert await processes.events() == 7
    assert await processes.watermark() == 7


class Slow(Records):
    """Asks for more than a statement may take, for one message; slow to record, or slow to ask."""

    def __init__(self) -> None:
        super().__init__()
        self.slow_at = 3
        self.calls = 0

    async def _hear(self, event: OrderEvent, envelope: Envelope, work: Work) -> None:
        if envelope.position == self.slow_at:
            self.calls += 1
            await work.sql.execute("INSERT INTO heard SELECT 3 FROM pg_sleep(20)")
        await super()._hear(event, envelope, work)


async def test_a_message_that_alone_takes_longer_than_a_statement_may_is_parked(
    processes: Processes,
) -> None:
    """It looks like a server that is away, but the server answers others at once."""
    slow = Slow()
    async with processes.one_more(slow, statement_s=0.4) as consumer:
        async with asyncio.timeout(60):
            await consumer.consume(Part(LOCAL_PARTITION, a_batch(1, 2, 3, 4, 5, 6)))
        assert await processes.watermark() == 6
        assert await processes.events() == 4  # 3 and what waits behind it are not among them
        rows = await processes.sql("SELECT reason, attempts FROM parked ORDER BY position")
        assert [row[1] for row in rows] == [3, 0]
        assert "longer than 0.4 s" in str(rows[0][0])
        assert "OMS_STATEMENT_S" in str(rows[0][0])
        assert slow.calls > 5
        # Driven again in vain it is put back, and so holds up no other that was asked for.
        calls = slow.calls
        await processes.sql("UPDATE parked SET redrive = true WHERE position = 3")

        async def is_put_back() -> bool:
            return await processes.sql("SELECT 1 FROM parked WHERE redrive") == []

        await eventually(is_put_back)
        assert slow.calls == calls + 1
        slow.slow_at = 0
        await processes.sql("UPDATE parked SET redrive = true WHERE position = 3")

        async def is_free() -> bool:
            return await processes.sql("SELECT 1 FROM parked") == []

        await eventually(is_free)
    assert await processes.events() == 6


async def test_a_message_is_not_parked_while_nobody_can_write_to_the_log(
    processes: Processes,
) -> None:
    """Its statements take too long, but so would everybody's: it waits for as long as it takes."""
    async with processes.one_more(Records(), statement_s=0.3) as consumer:
        locked = await asyncpg.connect(processes.dsn)
        try:
            await locked.execute("SELECT pg_advisory_lock(7235001)")
            consuming = asyncio.create_task(consumer.consume(Part(LOCAL_PARTITION, a_batch(1))))
            await asyncio.sleep(8)
            assert not consuming.done()
        finally:
            await locked.close()
        async with asyncio.timeout(20):
            await consuming
        assert await processes.sql("SELECT 1 FROM parked") == []
    assert await processes.events() == 1
