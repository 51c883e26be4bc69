"""Reading feeds without being anybody: the same events from store and broker, and nothing moved."""

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from oms.order.v1.order_events_pb2 import OrderCompleted, OrderEvent

from services.kernel.adapters.broker import Broker
from services.kernel.adapters.database import with_database
from services.kernel.adapters.kafka_bus import KafkaBus
from services.kernel.adapters.kafka_options import KafkaOptions, client_arguments
from services.kernel.adapters.kafka_reader import kafka_reader
from services.kernel.adapters.kafka_topics import ensure_topics
from services.kernel.adapters.store_reader import StoreReader, read_only
from services.kernel.application.feeds import Envelope
from services.kernel.application.reading import FeedReader, Gone, Period, Place, is_at
from services.kernel.application.work import Work
from services.kernel.domain.errors import NotFound
from services.kernel.domain.ids import derive
from services.kernel.main import KernelSettings
from services.kernel.main.export import Exported, Request, export
from services.kernel.main.reading import reading
from tests.support import toy
from tests.support.stack import Stack, a_cause, running

pytestmark = pytest.mark.stack

FEED = "oms.order.v1.events"
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


async def read_all(reader: FeedReader, begins: Place | None = None) -> list[Envelope]:
    place, end = begins or await reader.beginning(), await reader.end()
    found: list[Envelope] = []
    while not is_at(place, end):
        page = await reader.read(place, end)
        assert not page.unreadable
        found += page.envelopes
        place = page.place
    return found


async def add(stack: Stack, key: str, amount: int) -> None:
    async def use_case(work: Work) -> None:
        await work.handle(toy.COUNTER, key, toy.Add(amount))

    await stack["order"].runner.execute(a_cause(f"{key}-{amount}"), use_case)


def a_store_reader(connection: asyncpg.Connection, period: Period) -> StoreReader:
    return StoreReader(connection, FEED, toy.CODEC, toy.publish, period)


def options(bootstrap: str) -> KafkaOptions:
    return KafkaOptions(bootstrap, prefix=f"t{secrets.token_hex(4)}.", partitions=3)


def said(position: int, *, key: str = "a") -> Envelope:
    return Envelope(
        topic=FEED,
        key=f"demo/counter-{key}",
        value=OrderEvent(order_completed=OrderCompleted(order_id=key)).SerializeToString(),
        event_id=derive("said", position),
        type="oms.order.v1.OrderCompleted",
        tenant="demo",
        stream_version=position,
        position=position,
        recorded_at=NOON + timedelta(minutes=position),
        causation_id="",
        correlation_id="",
        traceparent="",
    )


async def test_store_and_broker_hold_the_same(postgres_dsn: str, kafka_bootstrap: str) -> None:
    chosen = options(kafka_bootstrap)
    prefix = f"r{secrets.token_hex(4)}_"
    builds = {"order": toy.source}
    async with running(
        postgres_dsn, builds, prefix=prefix, bus=KafkaBus(chosen, [FEED]), is_sole_writer=False
    ) as stack:
        connection = await asyncpg.connect(with_database(postgres_dsn, f"{prefix}order"))
        await connection.execute(toy.TABLES)
        await connection.close()
        for n in range(30):
            await add(stack, f"k{n % 4}", n)
        await stack.settle()
        connection = await read_only(with_database(postgres_dsn, f"{prefix}order"))
        try:
            stored = await read_all(a_store_reader(connection, Period()))
            with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
                await connection.execute("UPDATE checkpoints SET position = 0")
        finally:
            await connection.close()
        async with kafka_reader(chosen, FEED, Period()) as reader:
            travelled = await read_all(reader)
    assert [one.position for one in stored] == list(range(1, 31))
    assert sorted(travelled, key=lambda one: one.position) == stored


async def test_a_period_has_its_first_moment_and_not_its_last(
    postgres_dsn: str, kafka_bootstrap: str
) -> None:
    chosen = options(kafka_bootstrap)
    await _publish(chosen, [said(n) for n in range(1, 10)])
    period = Period(NOON + timedelta(minutes=3), NOON + timedelta(minutes=6))
    async with kafka_reader(chosen, FEED, period) as reader:
        assert [one.position for one in await read_all(reader)] == [3, 4, 5]
    after_all = Period(NOON + timedelta(hours=3))
    async with kafka_reader(chosen, FEED, after_all) as reader:
        assert await read_all(reader) == []


async def test_what_a_relay_said_twice_is_read_once(kafka_bootstrap: str) -> None:
    chosen = options(kafka_bootstrap)
    few: Sequence[Envelope] = [said(n) for n in range(1, 4)]
    await _publish(chosen, [*few, *few, said(4)])
    async with kafka_reader(chosen, FEED, Period()) as reader:
        assert [one.position for one in await read_all(reader)] == [1, 2, 3, 4]


async def test_what_is_no_event_is_named_and_passed_over(kafka_bootstrap: str) -> None:
    chosen = options(kafka_bootstrap)
    await _publish(chosen, [said(1), replace(said(2), event_id="no id"), said(3)])
    async with kafka_reader(chosen, FEED, Period()) as reader:
        place, end = await reader.beginning(), await reader.end()
        found: list[int] = []
        unreadable: list[str] = []
        while not is_at(place, end):
            page = await reader.read(place, end)
            found += [one.position for one in page.envelopes]
            unreadable += page.unreadable
            place = page.place
    assert found == [1, 3]
    (sentence,) = unreadable
    assert "header ce_id is not a UUID" in sentence


async def test_a_place_that_no_log_has_is_named_and_hides_nothing(kafka_bootstrap: str) -> None:
    chosen = options(kafka_bootstrap)
    lie = replace(said(2), position=4 * 10**18)
    await _publish(chosen, [said(1), lie, said(3), said(4)])
    async with kafka_reader(chosen, FEED, Period()) as reader:
        place, end = await reader.beginning(), await reader.end()
        found: list[int] = []
        unreadable: list[str] = []
        while not is_at(place, end):
            page = await reader.read(place, end)
            found += [one.position for one in page.envelopes]
            unreadable += page.unreadable
            place = page.place
    assert found == [1, 3, 4]
    (sentence,) = unreadable
    assert "too far beyond 1 to be true" in sentence


async def test_nobody_sees_that_somebody_read(kafka_bootstrap: str) -> None:
    chosen = options(kafka_bootstrap)
    await _publish(chosen, [said(1)])
    admin = AIOKafkaAdminClient(**client_arguments(chosen))
    await admin.start()
    try:
        before = {group[0] for group in await admin.list_consumer_groups()}
        async with kafka_reader(chosen, FEED, Period()) as reader:
            assert len(await read_all(reader)) == 1
        assert {group[0] for group in await admin.list_consumer_groups()} == before
    finally:
        await admin.close()


async def test_a_topic_that_is_not_there_is_not_made(kafka_bootstrap: str) -> None:
    chosen = options(kafka_bootstrap)
    with pytest.raises(NotFound, match="oms migrate"):
        async with kafka_reader(chosen, FEED, Period()):
            raise AssertionError
    assert await ensure_topics(chosen, [FEED]) == [chosen.prefix + FEED]


async def test_an_export_from_the_broker_goes_on_after_a_kill(
    any_broker: Broker, kafka_bootstrap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the settings, as the command does it; partitions are read in whatever order."""
    chosen = options(kafka_bootstrap)
    few = [said(n, key=f"k{n % 7}") for n in range(1, 41)]
    await _publish(chosen, [*few[:25], *few[10:25]])
    monkeypatch.setattr("services.kernel.adapters.kafka_reader._PAGE_RECORDS", 4)
    monkeypatch.setenv("OMS_BUS", "kafka")
    monkeypatch.setenv("OMS_KAFKA_BOOTSTRAP_SERVERS", kafka_bootstrap)
    monkeypatch.setenv("OMS_KAFKA_PREFIX", chosen.prefix)
    target = tmp_path / "order.jsonl"
    request = Request(FEED, "jsonl", "beginning", "", "", (), "bus")

    async def exporting(progress: Callable[[int, int], None]) -> Exported:
        async with reading([FEED], Period(), KernelSettings()) as readers:
            return await export(
                *(readers[0], request, Period(), target, progress, lambda _: None),
                now=NOON,
                segment_rows=1,
            )

    class Killed(Exception):
        pass

    def kill(done: int, _total: int) -> None:
        if done:
            raise Killed

    with pytest.raises(Killed):
        await exporting(kill)
    note = json.loads((tmp_path / "order.jsonl.partial/note.json").read_text())
    assert 0 < note["rows"] < 25
    # A topic made anew has other records at the same places.
    anew = options(kafka_bootstrap)
    await _publish(anew, few)
    monkeypatch.setenv("OMS_KAFKA_PREFIX", anew.prefix)
    if not any_broker.caveat:  # what stands in for Kafka gives no ids to topics
        with pytest.raises(Gone, match="remove the folder and begin anew"):
            await exporting(lambda *_: None)
    monkeypatch.setenv("OMS_KAFKA_PREFIX", chosen.prefix)
    # What is published now is behind the end that the first start settled.
    await _publish(chosen, few[25:])
    done = await exporting(lambda *_: None)
    assert done == Exported(rows=25, unreadable=0, resumed_rows=note["rows"])
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    assert sorted(row["log_position"] for row in rows) == list(range(1, 26))
    by_stream: dict[str, list[int]] = {}
    for row in rows:
        by_stream.setdefault(row["stream"], []).append(row["log_position"])
    assert all(positions == sorted(positions) for positions in by_stream.values())


async def test_what_the_broker_no_longer_keeps_is_said_to_be_gone(kafka_bootstrap: str) -> None:
    chosen = options(kafka_bootstrap)
    await _publish(chosen, [said(n) for n in range(1, 6)])
    admin = AIOKafkaAdminClient(**client_arguments(chosen))
    await admin.start()
    async with kafka_reader(chosen, FEED, Period()) as reader:
        place, end = await reader.beginning(), await reader.end()
        try:
            await admin.delete_records(
                {
                    TopicPartition(chosen.prefix + FEED, int(part)): RecordsToDelete(
                        before_offset=at
                    )
                    for part, (at, _) in end.items()
                    if at
                }
            )
        finally:
            await admin.close()
        with pytest.raises(Gone, match="no longer keeps"):
            await read_all(reader, place)


async def _publish(chosen: KafkaOptions, envelopes: Sequence[Envelope]) -> None:
    bus = KafkaBus(chosen, [FEED])
    await bus.start()
    await bus.publish(FEED, envelopes)
    await bus.stop()
