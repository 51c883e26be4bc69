"""The bus on a real broker: taking in what waits on a topic."""

import asyncio
import secrets
import tempfile
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from oms.common.v1.common_pb2 import Money
from oms.order.v1.order_events_pb2 import OrderEvent, PaymentCaptured

from services.kernel.adapters.broker import NoBroker
from services.kernel.adapters.database import with_database
from services.kernel.adapters.kafka_bus import KafkaBus
from services.kernel.adapters.kafka_options import KafkaOptions, reader_arguments
from services.kernel.application.feeds import Envelope
from services.kernel.domain.ids import derive
from services.kernel.main import Build
from services.kernel.main.brokers import REAL, start_broker
from tests.bench.result import Result, tell
from tests.support import toy
from tests.support.stack import execute, running

EVENTS, STREAMS, TENANT, TOPIC = 150_000, 1_000, "demo", "oms.order.v1.events"
_TARGET = 15_000
_BATCH = 2_000
_WITHIN_S = 300.0
_EXPECTED = "SELECT coalesce(sum(total), 0)::bigint FROM counter_totals"


async def kafka_consume(postgres_dsn: str) -> AsyncIterator[Result]:
    """What waits on a topic of a real broker, from there into tables, watermarks and all.

    Twice: into a table that the feed fills, in the batch's transaction, which is what the target
    means; and through a decision per message, own events and a read model of these. Reference:
    aiokafka reading the same messages and dropping them.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            broker = await asyncio.to_thread(start_broker, Path(folder), tell, REAL)
        except NoBroker as reason:
            tell(f"kafka_consume: not measured: {reason}")
            return
        try:
            options = KafkaOptions(broker.bootstrap, prefix=f"b{secrets.token_hex(4)}.")
            tell(f"kafka_consume: publishing {EVENTS} events to a broker ({broker.kind})")
            await _publish(options)
            ways: dict[str, Build] = {
                "table": toy.Table().build,
                "decision, own events, read model": toy.Sink().build,
            }
            for into, build in ways.items():
                tell(f"kafka_consume: into {into}")
                reference = await _dropped(options)
                ours = await _consumed(postgres_dsn, options, build)
                yield Result(
                    "kafka_consume",
                    ours,
                    "events/s",
                    reference="aiokafka reading and dropping",
                    reference_value=reference,
                    target=_TARGET if into == "table" else None,
                    params={"into": into, "events": EVENTS, "broker": broker.kind},
                )
        finally:
            await asyncio.to_thread(broker.stop)


async def _publish(options: KafkaOptions) -> None:
    now = datetime.now(UTC)  # noqa: TID251 - a benchmark is an edge
    bus = KafkaBus(options, [TOPIC])
    await bus.start()
    try:
        for first in range(0, EVENTS, _BATCH):
            await bus.publish(
                TOPIC, [_envelope(n, now) for n in range(first, min(first + _BATCH, EVENTS))]
            )
    finally:
        await bus.stop()


def _envelope(number: int, now: datetime) -> Envelope:
    key = f"k{number % STREAMS}"
    message = OrderEvent(
        payment_captured=PaymentCaptured(order_id=key, amount=Money(amount_minor=1, currency="EUR"))
    )
    return Envelope(
        topic=TOPIC,
        key=f"{TENANT}/counter-{key}",
        value=message.SerializeToString(),
        event_id=derive("bench", number),
        type=PaymentCaptured.DESCRIPTOR.full_name,
        tenant=TENANT,
        stream_version=1 + number // STREAMS,
        position=1 + number,
        recorded_at=now,
        causation_id=derive("command", number),
        correlation_id=derive("request", number),
        traceparent="",
    )


async def _dropped(options: KafkaOptions) -> float:
    consumer = AIOKafkaConsumer(**reader_arguments(options))
    await consumer.start()
    try:
        await asyncio.sleep(0)
        topic = options.prefix + TOPIC
        places = [TopicPartition(topic, n) for n in range(options.partitions)]
        consumer.assign(places)
        for place in places:
            consumer.seek(place, 0)
        count, started = 0, time.perf_counter()
        while count < EVENTS:
            batch = await consumer.getmany(timeout_ms=500, max_records=options.batch_messages)
            count += sum(map(len, batch.values()))
        return count / (time.perf_counter() - started)
    finally:
        await consumer.stop()


async def _consumed(postgres_dsn: str, options: KafkaOptions, build: Build) -> float:
    """Return events/s from the first that is in the table to the last: joining is not reading."""
    prefix = f"k{secrets.token_hex(4)}_"
    # A group of its own for each measurement: what another had would be passed over.
    async with running(postgres_dsn, {"sourcing": build}, prefix=prefix, is_sole_writer=True):
        pass
    owner = with_database(postgres_dsn, f"{prefix}sourcing")
    for statement in toy.TABLES.split(";"):
        await execute(owner, statement)
    bus = KafkaBus(options, [TOPIC])
    connection = await asyncpg.connect(owner)
    try:
        async with (
            asyncio.timeout(_WITHIN_S),
            running(postgres_dsn, {"sourcing": build}, prefix=prefix, bus=bus),
        ):
            first = 0
            while not first:
                first = await connection.fetchval(_EXPECTED)
                await asyncio.sleep(0.005)
            started = time.perf_counter()
            total = first
            while total < EVENTS:
                total = await connection.fetchval(_EXPECTED)
                await asyncio.sleep(0.02)
            return (EVENTS - first) / (time.perf_counter() - started)
    finally:
        await connection.close()
