"""The feeds on a real broker: the same promises as within one process, and what may go wrong."""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import CorruptRecordException
from google.protobuf.json_format import ParseDict
from oms.catalog.v1.catalog_service_pb2 import UpsertProductsRequest
from oms.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from oms.order.v1.order_events_pb2 import OrderEvent

from services.demo.adapters.http_client import HttpApi
from services.demo.application import campaign, loading
from services.demo.domain.chain import chain
from services.demo.domain.shopping import Shop
from services.kernel.adapters import kafka_options
from services.kernel.adapters import kafka_records as records
from services.kernel.adapters.broker import Broker
from services.kernel.adapters.database import with_database
from services.kernel.adapters.event_log import decode_rows, read_log
from services.kernel.adapters.kafka_bus import KafkaBus
from services.kernel.adapters.kafka_options import KafkaOptions, client_arguments
from services.kernel.adapters.kafka_topics import WrongTopic, ensure_topics
from services.kernel.adapters.local_bus import LocalBus
from services.kernel.adapters.ports import free_port
from services.kernel.application.feeds import Envelope
from services.kernel.application.work import Work
from services.kernel.domain.ids import derive
from services.kernel.entrypoints.listen import listen
from services.kernel.main import Kernel, KernelSettings, Service
from services.kernel.main.buses import ServiceBus
from services.kernel.main.embedded import running as whole_system
from tests.support import toy
from tests.support.kafka import restart
from tests.support.stack import Stack, a_cause, eventually, execute, running

pytestmark = pytest.mark.stack

FEED = "oms.order.v1.events"
PARTITIONS = 4  # what the mock cluster makes, too
ROOT = Path(__file__).parents[3]


def options(bootstrap: str, **others: object) -> KafkaOptions:
    """Fast to notice, and apart from every other test on the same broker."""
    chosen: dict[str, object] = {
        "prefix": f"t{secrets.token_hex(4)}.",
        "partitions": PARTITIONS,
        "session_ms": 6_000,
        "heartbeat_ms": 500,
        "finish_s": 5.0,
    }
    return KafkaOptions(bootstrap, **(chosen | others))  # type: ignore[arg-type]


class Toys:
    """A source and a sink on databases of their own, to be run once or again."""

    def __init__(self, postgres_dsn: str, a_bus: Callable[[], ServiceBus]) -> None:
        self.sink = toy.Sink()
        self.a_bus = a_bus
        self._dsn = postgres_dsn
        self._prefix = f"k{secrets.token_hex(4)}_"

    @asynccontextmanager
    async def run(self, *names: str) -> AsyncIterator[Stack]:
        builds = {"order": toy.source, "sourcing": self.sink.build}
        chosen = {name: builds[name] for name in names or builds}
        async with running(
            self._dsn, chosen, prefix=self._prefix, bus=self.a_bus(), is_sole_writer=False
        ) as stack:
            for name in chosen:
                for statement in toy.TABLES.split(";"):
                    await execute(with_database(self._dsn, f"{self._prefix}{name}"), statement)
            yield stack


@pytest.fixture(params=["local", "kafka"])
def either(request: pytest.FixtureRequest, postgres_dsn: str) -> Toys:
    if request.param == "local":
        return Toys(postgres_dsn, LocalBus)
    chosen = options(request.getfixturevalue("kafka_bootstrap"))
    return Toys(postgres_dsn, lambda: KafkaBus(chosen, [FEED]))


@pytest.fixture
def on_kafka(kafka_bootstrap: str, postgres_dsn: str) -> tuple[Toys, KafkaOptions]:
    chosen = options(kafka_bootstrap)
    return Toys(postgres_dsn, lambda: KafkaBus(chosen, [FEED])), chosen


async def add(stack: Stack, key: str, amount: int, command_id: str) -> None:
    async def use_case(work: Work) -> None:
        await work.handle(toy.COUNTER, key, toy.Add(amount))

    await stack["order"].runner.execute(a_cause(command_id), use_case)


async def totals(stack: Stack) -> dict[str, int]:
    rows = await stack["sourcing"].database.sql.fetch("SELECT key, total FROM counter_totals")
    return {row[0]: row[1] for row in rows}


async def holds(stack: Stack, expected: dict[str, int]) -> bool:
    return await totals(stack) == expected


async def reasons(stack: Stack) -> list[str]:
    rows = await stack["sourcing"].database.sql.fetch(
        "SELECT reason FROM parked ORDER BY stream, position"
    )
    return [row[0] for row in rows]


async def republish(stack: Stack) -> None:
    """Play the whole feed again, as a relay does that lost its place."""
    rows = await read_log(stack["order"].database.sql, 0, 1000)
    await stack["order"].relay.follow(decode_rows(toy.CODEC, rows))


class SlowSink(toy.Sink):
    """It takes its time over each message, while somebody waits."""

    def __init__(self) -> None:
        super().__init__()
        self.is_urgent = True

    async def _hear(self, event: OrderEvent, envelope: Envelope, work: Work) -> None:
        await super()._hear(event, envelope, work)
        await asyncio.sleep(0.4)


# The promises that hold on every bus.


async def test_an_event_reaches_the_other_service(either: Toys) -> None:
    async with either.run() as stack:
        await add(stack, "a", 5, "c1")
        await stack.settle()
        assert await totals(stack) == {"a": 5}


async def test_a_crowd_of_writers_loses_nothing(either: Toys) -> None:
    async with either.run() as stack:
        await asyncio.gather(*(add(stack, f"k{n % 5}", 1, f"c{n}") for n in range(200)))
        await stack.settle()
        assert await totals(stack) == {f"k{n}": 40 for n in range(5)}


async def test_poison_is_parked_with_its_stream_and_driven_again(either: Toys) -> None:
    async with either.run() as stack:
        either.sink.poison = {13}
        for n, (key, amount) in enumerate([("a", 1), ("a", 13), ("a", 2), ("b", 3)]):
            await add(stack, key, amount, f"c{n}")
        await eventually(lambda: holds(stack, {"a": 1, "b": 3}))
        await stack.settle()
        assert await reasons(stack) == [
            "Poison: 13",
            "waits behind an earlier message of its stream",
        ]
        either.sink.poison = set()
        await stack["sourcing"].database.sql.execute("UPDATE parked SET redrive = true")
        await eventually(lambda: holds(stack, {"a": 16, "b": 3}))
        assert await reasons(stack) == []
        await add(stack, "a", 4, "c9")
        await eventually(lambda: holds(stack, {"a": 20, "b": 3}))


async def test_a_message_does_not_wait_behind_one_that_was_dropped_meanwhile(either: Toys) -> None:
    async with either.run() as stack:
        either.sink.poison = {13}
        await add(stack, "a", 13, "c1")
        await eventually(lambda: reasons(stack))
        await stack.settle()
        # Between two looks, somebody gives up what is parked, and the next message arrives.
        (consumer,) = stack["sourcing"].consumers
        consumer._next_redrive = asyncio.get_running_loop().time() + 0.5
        await stack["sourcing"].database.sql.execute("DELETE FROM parked")
        await add(stack, "a", 2, "c2")
        await add(stack, "a", 3, "c3")
        await eventually(lambda: holds(stack, {"a": 5}))
        assert await reasons(stack) == []


async def test_a_feed_played_again_changes_nothing(either: Toys) -> None:
    async with either.run() as stack:
        for n in range(20):
            await add(stack, f"k{n % 3}", n + 1, f"c{n}")
        await stack.settle()
        before, calls = await totals(stack), either.sink.calls
        await republish(stack)
        await stack.settle()
        assert either.sink.calls == calls
        assert await totals(stack) == before


async def test_a_second_start_goes_on_where_the_first_ended(either: Toys) -> None:
    async with either.run() as stack:
        await add(stack, "a", 5, "c1")
        await stack.settle()
    async with either.run() as stack:
        await add(stack, "a", 6, "c2")
        await stack.settle()
        await eventually(lambda: holds(stack, {"a": 11}))


# What only a broker between processes can do.


async def test_who_comes_later_hears_what_was_said_before(
    on_kafka: tuple[Toys, KafkaOptions],
) -> None:
    toys, _ = on_kafka
    async with toys.run("order") as source:
        for n in range(30):
            await add(source, f"k{n % 4}", 1, f"c{n}")
        await source.settle()
        # Said twice, so that one read brings each message twice.
        await republish(source)
    async with toys.run("sourcing") as sink:
        await eventually(lambda: holds(sink, {"k0": 8, "k1": 8, "k2": 7, "k3": 7}))
        assert toys.sink.calls == 30


async def test_an_offset_that_was_not_committed_brings_nothing_twice(
    on_kafka: tuple[Toys, KafkaOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The consumer dies between the commit of its database and that of its offset."""
    toys, _ = on_kafka

    async def never(*_: object) -> None:
        raise TimeoutError

    with monkeypatch.context() as patch:
        patch.setattr("aiokafka.AIOKafkaConsumer.commit", never)
        async with toys.run() as stack:
            for n in range(20):
                await add(stack, f"k{n % 3}", 1, f"c{n}")
            await stack.settle()
    calls = toys.sink.calls
    async with toys.run() as stack:
        # Even the place beside the watermark is lost: all is read again from the beginning.
        await stack["sourcing"].database.sql.execute("UPDATE watermarks SET bus_offset = -1")
        await add(stack, "k0", 1, "last")
        await stack.settle()
        await eventually(lambda: holds(stack, {"k0": 8, "k1": 7, "k2": 6}))
    assert toys.sink.calls == calls + 1


async def test_an_offset_committed_too_far_loses_nothing(
    on_kafka: tuple[Toys, KafkaOptions],
) -> None:
    """The database was set back to a copy: its watermark counts, not what the broker believes."""
    toys, _ = on_kafka
    async with toys.run() as stack:
        for n in range(20):
            await add(stack, f"k{n % 3}", 1, f"c{n}")
        await stack.settle()
        assert await totals(stack) == {"k0": 7, "k1": 7, "k2": 6}
    dsn = with_database(toys._dsn, f"{toys._prefix}sourcing")
    await execute(dsn, "TRUNCATE events, counter_totals, checkpoints, watermarks")
    async with toys.run() as stack:
        await eventually(lambda: holds(stack, {"k0": 7, "k1": 7, "k2": 6}))


async def test_topics_that_were_made_anew_are_read_from_their_beginning(
    on_kafka: tuple[Toys, KafkaOptions], kafka_bootstrap: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The broker lost its disk: the old topics' offsets say nothing about the new ones."""
    toys, _ = on_kafka
    async with toys.run() as stack:
        for n in range(30):
            await add(stack, "a", 1, f"c{n}")
        await stack.settle()
    # What is published already is not published again.
    dsn = with_database(toys._dsn, f"{toys._prefix}order")
    await execute(dsn, "UPDATE checkpoints SET position = 30 WHERE name = 'relay'")
    anew = options(kafka_bootstrap)
    toys.a_bus = lambda: KafkaBus(anew, [FEED])
    async with toys.run("order") as source:
        for n in range(3):
            await add(source, "a", 1, f"anew{n}")
        await source.settle()
    async with toys.run("sourcing") as sink:
        await eventually(lambda: holds(sink, {"a": 33}))
    assert "was made anew" in caplog.text
    async with toys.run() as stack:
        await add(stack, "a", 1, "later")
        await stack.settle()
        await eventually(lambda: holds(stack, {"a": 34}))


async def test_a_topic_made_anew_is_known_by_its_id_when_it_has_grown_beyond_the_old_one(
    on_kafka: tuple[Toys, KafkaOptions],
    real_broker: Broker,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing else tells them apart: the new one has records where reading would go on."""
    toys, _ = on_kafka
    async with toys.run() as stack:
        for n in range(10):
            await add(stack, "a", 1, f"c{n}")
        await stack.settle()
    dsn = with_database(toys._dsn, f"{toys._prefix}order")
    await execute(dsn, "UPDATE checkpoints SET position = 10 WHERE name = 'relay'")
    anew = options(real_broker.bootstrap)
    toys.a_bus = lambda: KafkaBus(anew, [FEED])
    async with toys.run("order") as source:
        for n in range(25):
            await add(source, "a", 1, f"anew{n}")
        await source.settle()
    async with toys.run("sourcing") as sink:
        await eventually(lambda: holds(sink, {"a": 35}))
    assert "was made anew" in caplog.text
    caplog.clear()
    async with toys.run() as stack:
        await add(stack, "a", 1, "later")
        await stack.settle()
        await eventually(lambda: holds(stack, {"a": 36}))
    assert "was made anew" not in caplog.text


@pytest.mark.parametrize("failure", [CorruptRecordException, ValueError])
async def test_what_a_failed_read_had_taken_already_is_read_again(
    on_kafka: tuple[Toys, KafkaOptions], monkeypatch: pytest.MonkeyPatch, failure: type[Exception]
) -> None:
    """One partition holds what the client cannot read; it had moved on in the others by then."""
    toys, _ = on_kafka
    async with toys.run("order") as source:
        for n in range(30):
            await add(source, f"k{n % 4}", 1, f"c{n}")
        await source.settle()
    read = AIOKafkaConsumer.getmany
    failed: list[object] = []

    async def failing(self: AIOKafkaConsumer, *places: object, **limits: object) -> object:
        found = await read(self, *places, **limits)
        if found and not failed:
            failed.append(found)
            raise failure("in a partition that comes after these")
        return found

    monkeypatch.setattr(AIOKafkaConsumer, "getmany", failing)
    async with toys.run("sourcing") as sink:
        await eventually(lambda: holds(sink, {"k0": 8, "k1": 8, "k2": 7, "k3": 7}), within_s=20)
        assert toys.sink.calls == 30
    assert failed


async def test_records_that_were_deleted_unread_are_told(
    on_kafka: tuple[Toys, KafkaOptions], caplog: pytest.LogCaptureFixture
) -> None:
    toys, chosen = on_kafka
    async with toys.run() as stack:
        await add(stack, "a", 1, "first")
        await stack.settle()
    async with toys.run("order") as source:
        for n in range(5):
            await add(source, "a", 1, f"c{n}")
        await source.settle()
    await _delete_records(chosen, "demo/counter-a", before=4)
    async with toys.run("sourcing") as sink:
        await eventually(lambda: "were deleted before they were read" in caplog.text)
        await eventually(lambda: holds(sink, {"a": 3}))  # the first, and what is still there


async def _delete_records(chosen: KafkaOptions, key: str, *, before: int) -> None:
    admin = AIOKafkaAdminClient(**client_arguments(chosen))
    await admin.start()
    try:
        partition = records.partition_of(key, chosen.partitions)
        place = TopicPartition(chosen.prefix + FEED, partition)
        await admin.delete_records({place: RecordsToDelete(before_offset=before)})
    finally:
        await admin.close()


@pytest.mark.usefixtures("real_broker")
async def test_what_comes_while_a_handler_is_busy_makes_nothing_wait_for_other_partitions(
    on_kafka: tuple[Toys, KafkaOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fetch for the others alone would have the next message wait until the broker answers it."""
    monkeypatch.setattr(kafka_options, "_LONGEST_FETCH_MS", 15_000)
    toys, _ = on_kafka
    toys.sink = sink = SlowSink()
    async with toys.run() as stack:
        await add(stack, "a", 1, "c1")
        await eventually(lambda: sink.calls == 1)
        await add(stack, "a", 2, "c2")
        await eventually(lambda: holds(stack, {"a": 3}))
        await add(stack, "a", 4, "c3")
        await eventually(lambda: holds(stack, {"a": 7}), within_s=8)


async def test_two_members_share_the_partitions_and_a_rebalance_loses_nothing(
    on_kafka: tuple[Toys, KafkaOptions],
) -> None:
    toys, _ = on_kafka
    expected = {f"k{n}": 20 for n in range(10)}
    async with toys.run("order") as source, toys.run("sourcing") as first:

        async def speak(start: int) -> None:
            for n in range(start, start + 50):
                await add(source, f"k{n % 10}", 1, f"c{n}")

        await speak(0)
        speaking = asyncio.create_task(speak(50))
        async with toys.run("sourcing") as second:
            await speaking
            await speak(100)
            await eventually(lambda: _partitions_of(second) and _partitions_of(first))
            held = _partitions_of(first) | _partitions_of(second)
            assert held == set(range(PARTITIONS))
            assert not _partitions_of(first) & _partitions_of(second)
            speaking = asyncio.create_task(speak(150))
        await speaking
        await eventually(lambda: holds(first, expected), within_s=30)
        assert _partitions_of(first) == set(range(PARTITIONS))
        assert await reasons(first) == []


class Deaf(toy.Sink):
    """Hears only what nobody says here."""

    def build(self, kernel: Kernel) -> Service:
        service = super().build(kernel)
        deaf = listen(OrderEvent, group="sink", hears=("order_completed",), hear=self._hear)
        return replace(service, subscriptions=(deaf,))


@pytest.mark.usefixtures("real_broker")
async def test_what_came_to_nothing_is_noted_before_the_partitions_are_given_back(
    on_kafka: tuple[Toys, KafkaOptions],
) -> None:
    toys, chosen = on_kafka
    toys.sink = Deaf()
    async with toys.run() as stack:
        (sink,) = stack["sourcing"].consumers
        await add(stack, "a", 1, "c1")
        await stack.settle()
        sink.redrive_poll_s = 60.0  # nothing is noted in passing any more
        await asyncio.sleep(0.2)
        for n in range(2, 8):
            await add(stack, f"k{n}", 1, f"c{n}")
        await stack.settle()
        await stack.runtime.bus.stop()
        marks = await stack["sourcing"].database.sql.fetch(
            "SELECT partition, position, bus_offset FROM watermarks ORDER BY partition"
        )
        assert max(row["position"] for row in marks) == 7
        assert await _committed(chosen, [row["partition"] for row in marks]) == {
            row["partition"]: row["bus_offset"] + 1 for row in marks
        }


async def _committed(chosen: KafkaOptions, partitions: Iterable[int]) -> dict[int, int]:
    """Return what the broker believes the group to have had; 0 where it was told nothing."""
    admin = AIOKafkaAdminClient(**client_arguments(chosen))
    await admin.start()
    try:
        told = await admin.list_consumer_group_offsets(f"{chosen.prefix}sink.{FEED}")
    finally:
        await admin.close()
    places = {n: TopicPartition(chosen.prefix + FEED, n) for n in partitions}
    return {n: told[place].offset if place in told else 0 for n, place in places.items()}


class Frozen(toy.Sink):
    """Falls asleep in the middle of its first batch."""

    def __init__(self) -> None:
        super().__init__()
        self.asleep, self.awake = asyncio.Event(), asyncio.Event()

    async def _hear(self, event: OrderEvent, envelope: Envelope, work: Work) -> None:
        self.asleep.set()
        await self.awake.wait()
        await super()._hear(event, envelope, work)


@pytest.mark.usefixtures("real_broker")
async def test_a_member_that_slept_through_a_rebalance_changes_nothing_twice(
    kafka_bootstrap: str, postgres_dsn: str
) -> None:
    chosen = options(kafka_bootstrap, finish_s=0.2)
    toys = Toys(postgres_dsn, lambda: KafkaBus(chosen, [FEED]))
    expected = {f"k{n}": 3 for n in range(10)}
    async with toys.run("order") as source:
        for n in range(30):
            await add(source, f"k{n % 10}", 1, f"c{n}")
        await source.settle()
    frozen = toys.sink = Frozen()
    async with toys.run("sourcing") as first:
        await frozen.asleep.wait()
        toys.sink = toy.Sink()
        async with toys.run("sourcing") as second:
            await eventually(lambda: totals(second), within_s=30)
            # Now it goes on with what it has in hand, part of which the other has done.
            frozen.awake.set()
            await eventually(lambda: holds(second, expected), within_s=30)
            await eventually(first.runtime.bus.is_idle)
            await asyncio.sleep(0.5)
            assert await totals(first) == expected
            assert await reasons(first) == []


def _partitions_of(stack: Stack) -> set[int]:
    bus = stack.runtime.bus
    assert isinstance(bus, KafkaBus)
    subscriber: Any = next(iter(bus.broker.subscribers))
    return {place.partition for place in subscriber.consumer.assignment()}


@pytest.mark.chaos
@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
async def test_a_broker_that_goes_and_comes_back_loses_nothing(
    own_broker: Broker, postgres_dsn: str, *, killed: bool
) -> None:
    chosen = options(own_broker.bootstrap)
    toys = Toys(postgres_dsn, lambda: KafkaBus(chosen, [FEED]))
    async with toys.run() as stack:
        for n in range(20):
            await add(stack, f"k{n % 4}", 1, f"c{n}")
        await stack.settle()
        gone = asyncio.create_task(restart(own_broker, killed=killed))
        for n in range(20, 60):
            await add(stack, f"k{n % 4}", 1, f"c{n}")
            await asyncio.sleep(0.02)
        await gone
        await eventually(lambda: holds(stack, {f"k{n}": 15 for n in range(4)}), within_s=60)
        assert await reasons(stack) == []


async def test_a_garbled_record_is_parked_and_the_others_go_on(
    on_kafka: tuple[Toys, KafkaOptions],
) -> None:
    toys, chosen = on_kafka
    async with toys.run() as stack:
        await add(stack, "a", 1, "c1")
        await add(stack, "b", 1, "c2")
        await stack.settle()
        async with speaking(chosen) as producer:
            topic = chosen.prefix + FEED
            headers = [("ce_id", b"\xff\xfe"), ("nothing", None)]
            for partition in range(PARTITIONS):
                await producer.send_and_wait(topic, b"", partition=partition)
            key = b"demo/counter-a"
            await producer.send_and_wait(topic, b"\x00", key=key, headers=headers)
        await add(stack, "a", 1, "c3")
        await add(stack, "b", 1, "c4")
        await eventually(lambda: holds(stack, {"a": 1, "b": 2}))
        await stack.settle()
        found = await reasons(stack)
        assert found[:2] == [
            "Unreadable: header ce_id is not UTF-8",
            "waits behind an earlier message of its stream",
        ]
        assert len(found) == 2 + PARTITIONS
    # They come again when the place beside the watermark is kept, and are parked once.
    async with toys.run() as stack:
        await add(stack, "b", 1, "c5")
        await eventually(lambda: holds(stack, {"a": 1, "b": 3}))
        assert len(await reasons(stack)) == 2 + PARTITIONS
        await stack["sourcing"].database.sql.execute(
            "DELETE FROM parked WHERE reason LIKE 'Unreadable%'"
        )
        await stack["sourcing"].database.sql.execute("UPDATE parked SET redrive = true")
        await eventually(lambda: holds(stack, {"a": 2, "b": 3}))


async def test_a_broken_value_is_parked_under_its_own_place(
    on_kafka: tuple[Toys, KafkaOptions],
) -> None:
    toys, chosen = on_kafka
    async with toys.run("sourcing") as stack:
        broken = Envelope(
            topic=FEED,
            key="demo/order-O1",
            value=b"\xff\xff\xff",
            event_id=derive("broken"),
            type="oms.order.v1.PaymentCaptured",
            tenant="demo",
            stream_version=1,
            position=7,
            recorded_at=datetime(2026, 1, 2, tzinfo=UTC),
            causation_id="",
            correlation_id="",
            traceparent="",
        )
        async with speaking(chosen) as producer:
            await producer.send_and_wait(
                chosen.prefix + FEED,
                broken.value,
                key=records.key_of(broken),
                headers=records.headers_of(broken),
            )
        await eventually(lambda: reasons(stack))
        (reason,) = await reasons(stack)
        assert "DecodeError" in reason


@asynccontextmanager
async def speaking(chosen: KafkaOptions) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(**client_arguments(chosen))
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


@pytest.mark.usefixtures("real_broker")
async def test_topics_are_made_once_and_never_by_themselves(kafka_bootstrap: str) -> None:
    chosen = options(kafka_bootstrap)
    assert await ensure_topics(chosen, [FEED]) == [chosen.prefix + FEED]
    assert await ensure_topics(chosen, [FEED]) == []
    other = options(kafka_bootstrap, prefix=chosen.prefix, partitions=PARTITIONS + 1)
    with pytest.raises(WrongTopic, match="has 4 partitions, declared are 5"):
        await ensure_topics(other, [FEED])


async def test_a_database_that_is_away_holds_the_reader_back(
    on_kafka: tuple[Toys, KafkaOptions], postgres_dsn: str
) -> None:
    toys, _ = on_kafka
    async with toys.run() as stack:
        await add(stack, "a", 1, "c0")
        await stack.settle()
        dsn = with_database(postgres_dsn, "postgres")
        name = f"{toys._prefix}sourcing"
        await execute(dsn, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        await execute(
            dsn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name
        )
        for n in range(1, 20):
            await add(stack, "a", 1, f"c{n}")
        await asyncio.sleep(1)
        await execute(dsn, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        with contextlib.suppress(OSError):
            await eventually(lambda: holds(stack, {"a": 20}), within_s=30)
        assert await reasons(stack) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_orders_pass_through_all_services_on_kafka(
    kafka_bootstrap: str, postgres_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMS_BUS", "kafka")
    monkeypatch.setenv("OMS_KAFKA_BOOTSTRAP_SERVERS", kafka_bootstrap)
    monkeypatch.setenv("OMS_KAFKA_PREFIX", f"t{secrets.token_hex(4)}.")
    monkeypatch.setenv("OMS_KAFKA_PARTITIONS", str(PARTITIONS))
    settings = KernelSettings(
        data_home=tmp_path,
        postgres_dsn=postgres_dsn,
        database_prefix=f"w{secrets.token_hex(4)}_",
        http_port=free_port(),
        grpc_port=free_port(),
        health_port=free_port(),
    )
    whole = chain(11)
    small = replace(whole, products=whole.products[:100])
    async with whole_system(settings, lambda _line: None) as system:
        assert isinstance(system.runtime.bus, KafkaBus)
        key = await system.demo_key(settings.data_home)
        async with HttpApi(system.addresses.http, key) as api:
            loaded = await loading.load(api, small, "run-1", lambda *_: None)
            assert loaded.problems == []
            shop = Shop.of(small)
            told = await campaign.run(api, shop, 8, "run-2", lambda *_: None, at_once=4)
    assert told.is_clean, told.stuck
    assert told.by_status["completed"] > 4


class Processes:
    """Services in processes of their own, on one database server and one broker."""

    def __init__(self, data_home: Path, environment: dict[str, str]) -> None:
        self.prefix = f"p{secrets.token_hex(4)}_"
        self._data_home = data_home
        self._environment = {
            **environment,
            "OMS_DATABASE_PREFIX": self.prefix,
            "OMS_DATA_HOME": str(data_home),
            "OMS_BUS": "kafka",
            "OMS_KAFKA_PREFIX": f"t{secrets.token_hex(4)}.",
            "OMS_KAFKA_PARTITIONS": str(PARTITIONS),
            "OMS_KAFKA_SESSION_MS": "6000",
            "OMS_KAFKA_HEARTBEAT_MS": "500",
        }
        self.running: list[asyncio.subprocess.Process] = []

    async def oms(self, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
        with (self._data_home / "processes.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "services.kernel", *arguments),
                env={
                    **os.environ,
                    **self._environment,
                    "PYTHONPATH": f"{ROOT}:{ROOT / 'contracts/gen'}",
                    "OMS_HEALTH_PORT": str(free_port()),
                    **environment,
                },
                stdout=log,
                stderr=log,
            )
        self.running.append(process)
        return process

    async def stop(self) -> list[int]:
        for process in self.running:
            if process.returncode is None:
                process.terminate()
        async with asyncio.timeout(60):
            return [await process.wait() for process in self.running]


@pytest.mark.usefixtures("real_broker")
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_services_run_as_processes_of_their_own_and_outlive_one_of_them(
    kafka_bootstrap: str, postgres_dsn: str, tmp_path: Path
) -> None:
    processes = Processes(
        tmp_path,
        {"OMS_POSTGRES_DSN": postgres_dsn, "OMS_KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap},
    )
    port = free_port()
    order_dsn = with_database(postgres_dsn, f"{processes.prefix}order")
    try:
        assert await (await processes.oms("migrate")).wait() == 0
        await processes.oms("serve", "catalog", OMS_GRPC_PORT=str(port))
        await processes.oms("work", "catalog")
        killed = await processes.oms("work", "order")
        await processes.oms("work", "order")
        token = json.loads((tmp_path / "secrets.json").read_text())["internal_token"]
        metadata = (("authorization", f"Bearer {token}"), ("x-oms-tenant", "demo"))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            catalog = CatalogServiceStub(channel)

            async def upsert(request_id: str, first: int, count: int) -> None:
                products = [
                    {"sku": f"P{n}", "name": "P", "categoryPath": ["a"], "unit": "UNIT_PIECE"}
                    | {"temperature": "TEMPERATURE_CLASS_AMBIENT", "priceQuantity": "1"}
                    | {"price": {"amountMinor": "100", "currency": "EUR"}}
                    for n in range(first, first + count)
                ]
                asked = {"requestId": request_id, "products": products}
                await catalog.UpsertProducts(
                    ParseDict(asked, UpsertProductsRequest()),
                    metadata=metadata,
                    wait_for_ready=True,
                    timeout=60,
                )

            async def knows(count: int) -> bool:
                rows = await execute(order_dsn, "SELECT count(*) FROM catalog_product")
                return bool(rows[0][0] == count)

            await upsert("r1", 0, 50)
            await eventually(lambda: knows(50), within_s=60)
            killed.kill()
            await upsert("r2", 50, 50)
            await eventually(lambda: knows(100), within_s=60)
        assert not await execute(order_dsn, "SELECT FROM parked")
        codes = await processes.stop()
        assert codes == [0, 0, 0, -signal.SIGKILL, 0], (tmp_path / "processes.log").read_text()
    finally:
        for process in processes.running:
            if process.returncode is None:
                process.kill()
                await process.wait()


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (("work", "order"), {"OMS_BUS": "local"}, "set OMS_BUS=kafka"),
        (("serve", "order"), {"OMS_BUS": "kafka", "OMS_POSTGRES_DSN": ""}, "set OMS_POSTGRES_DSN"),
        (("work", "orders"), {"OMS_BUS": "kafka"}, "no service 'orders'"),
    ],
)
async def test_a_process_says_what_its_settings_lack(
    tmp_path: Path, arguments: tuple[str, ...], environment: dict[str, str], said: str
) -> None:
    processes = Processes(tmp_path, {})
    process = await processes.oms(*arguments, **environment)
    assert await process.wait() == 2
    assert said in (tmp_path / "processes.log").read_text()
