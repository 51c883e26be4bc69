"""Whatever arrives on a feed: it is parked with its reason, its stream waits, the others go on.

One row per kind of bad input, on the bus within the process and on a real broker. The message comes
between good ones of its stream; afterwards somebody mends the cause, by starting a version that can
hear it or by giving it up, and the stream goes on in its order.
"""

import secrets
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import DefaultRecordBase
from aiokafka.record.util import calc_crc32c
from oms.common.v1.common_pb2 import Money
from oms.order.v1.order_events_pb2 import OrderEvent, PaymentCaptured

from services.kernel.adapters import kafka_records as records
from services.kernel.adapters.database import with_database
from services.kernel.adapters.kafka_bus import KafkaBus
from services.kernel.adapters.kafka_options import KafkaOptions, client_arguments
from services.kernel.adapters.local_bus import LocalBus
from services.kernel.application.feeds import Envelope, Subscription
from services.kernel.domain.ids import derive
from services.kernel.main import Kernel, Service
from services.kernel.main.buses import ServiceBus
from services.kernel.main.inspection import Inspection, drop, redrive
from tests.support import toy
from tests.support.stack import Stack, eventually, execute, running

pytestmark = pytest.mark.stack

FEED = "oms.order.v1.events"
PARTITIONS = 3
TYPE = "oms.order.v1.PaymentCaptured"
# Field 99 of the wrapper: an event of a later contract.
NEWER = b"\x9a\x06\x02\x0a\x00"
type Headers = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Bad:
    """One kind of bad input.

    Attributes:
        name: For the report.
        spoil: A good envelope to the bad one.
        reason: What is said of it, in part, on the local bus and where Kafka says the same.
        kafka_reason: What is said of it on Kafka, where records are looked at before.
        spoil_headers: The good headers to the bad ones; on Kafka only.
        spoil_batch: The record as it travels, spoilt where no client would; on Kafka only.
        has_cure: Whether a later version can hear it; otherwise it must be given up.
    """

    name: str
    spoil: Callable[[Envelope], Envelope] = field(default=lambda envelope: envelope)
    reason: str = ""
    kafka_reason: str = ""
    spoil_headers: Callable[[Headers], Headers] = field(default=lambda headers: headers)
    spoil_batch: Callable[[bytes], bytes] | None = None
    has_cure: bool = False


def with_checksum(batch: bytes) -> bytes:
    """Return a batch of records with the checksum of what it holds now."""
    checked = calc_crc32c(batch[DefaultRecordBase.ATTRIBUTES_OFFSET :])
    at = DefaultRecordBase.CRC_OFFSET
    return batch[:at] + struct.pack(">I", checked) + batch[at + 4 :]


def without(*names: str) -> Callable[[Headers], Headers]:
    return lambda headers: [header for header in headers if header[0] not in names]


MATRIX = (
    Bad(
        "a type that is none of the feed's",
        lambda e: replace(e, type="com.example.Thing"),
        "Unheard: type 'com.example.Thing', but the value holds a " + TYPE,
    ),
    Bad(
        "a type that no contract has, without an event",
        lambda e: replace(e, type="oms.order.v1.Nothing", value=b""),
        "Unheard: type 'oms.order.v1.Nothing', but the value holds no event",
    ),
    Bad(
        "broken protobuf",
        lambda e: replace(e, value=b"\xff\xff\xff"),
        "DecodeError",
    ),
    Bad(
        "the wrong tenant",
        lambda e: replace(e, tenant="other"),
        "ValueError: stream 'demo/counter-a' is not of tenant 'other'",
    ),
    Bad(
        "a version from the future",
        lambda e: replace(e, type="oms.order.v2.PaymentCaptured"),
        "Unheard: type 'oms.order.v2.PaymentCaptured', but the value holds a " + TYPE,
        has_cure=True,
    ),
    Bad(
        "a version from the future with an event of its own",
        lambda e: replace(e, type="oms.order.v2.PaymentDreamt", value=NEWER),
        "Unheard: type 'oms.order.v2.PaymentDreamt' is not of oms.order.v1",
    ),
    Bad(
        "a body of 5 MB",
        lambda e: replace(e, value=e.value + b"\x9a\x06\x80\x80\xc0\x02" + bytes(5 << 20)),
        "Unheard: value of 5242",
        "Unreadable: value of 5242",
    ),
)
NAME = "x-name"
ONLY_ON_KAFKA = (
    Bad(
        # Brokers take it, and the client cannot parse what follows it in its partition either.
        "a header name that is not UTF-8",
        kafka_reason="Unreadable: the name of a header is not UTF-8",
        spoil_headers=lambda headers: [*headers, (NAME, b"")],
        spoil_batch=lambda batch: batch.replace(NAME.encode(), b"\xff-name"),
    ),
    Bad(
        "no headers at all",
        kafka_reason="Unreadable: header ce_specversion is missing",
        spoil_headers=lambda _: [],
    ),
    *(
        Bad(
            f"without {name}",
            kafka_reason=f"Unreadable: header {name} is missing",
            spoil_headers=without(name),
        )
        for name in ("ce_id", "ce_type", "ce_tenant", "ce_position", "ce_time")
    ),
    Bad(
        # Believed, it would make the group pass over all that follows.
        "a position far beyond the log",
        lambda e: replace(e, position=1_764_000_000_000),
        kafka_reason="Unreadable: header ce_position 1764000000000 is too far beyond",
    ),
)


class Sink(toy.Sink):
    """Starts as it is, and later as a version that knows what was from the future."""

    knows_v2 = False

    def build(self, kernel: Kernel) -> Service:
        service = super().build(kernel)
        if not self.knows_v2:
            return service
        newer = tuple(replace(one, read=self._read(one)) for one in service.subscriptions)
        return replace(service, subscriptions=newer)

    def _read(self, older: Subscription) -> Callable[[Envelope], Any]:
        def read(envelope: Envelope) -> Any:
            if envelope.type == "oms.order.v2.PaymentCaptured":
                return OrderEvent.FromString(envelope.value)
            return older.read(envelope)

        return read


class Stand:
    """A sink on one bus, and somebody who speaks on its feed record by record."""

    def __init__(self, postgres_dsn: str, chosen: KafkaOptions | None) -> None:
        self.sink = Sink()
        self.chosen = chosen
        self._dsn = postgres_dsn
        self._prefix = f"b{secrets.token_hex(4)}_"
        self._stack: Stack
        self._producer: AIOKafkaProducer | None = None
        self._position = 0

    @asynccontextmanager
    async def run(self) -> AsyncIterator["Stand"]:
        async with AsyncExitStack() as block:
            bus: ServiceBus = KafkaBus(self.chosen, [FEED]) if self.chosen else LocalBus()
            builds = {"sourcing": self.sink.build}
            self._stack = await block.enter_async_context(
                running(
                    self._dsn, builds, prefix=self._prefix, bus=bus, is_sole_writer=False,
                    message_tries=2,
                )
            )  # fmt: skip
            for statement in toy.TABLES.split(";"):
                await execute(with_database(self._dsn, f"{self._prefix}sourcing"), statement)
            if self.chosen:
                producer = AIOKafkaProducer(
                    **client_arguments(self.chosen),
                    max_request_size=8 << 20,
                    max_batch_size=8 << 20,
                )
                await producer.start()
                block.push_async_callback(producer.stop)
                self._producer = producer
            yield self

    async def say(self, key: str, amount: int, bad: Bad | None = None) -> None:
        self._position += 1
        good = Envelope(
            topic=FEED,
            key=f"demo/counter-{key}",
            value=OrderEvent(
                payment_captured=PaymentCaptured(
                    order_id=key, amount=Money(amount_minor=amount, currency="EUR")
                )
            ).SerializeToString(),
            event_id=derive("said", self._prefix, self._position),
            type=TYPE,
            tenant="demo",
            stream_version=self._position,
            position=self._position,
            recorded_at=datetime(2026, 1, 2, tzinfo=UTC) + timedelta(seconds=self._position),
            causation_id="",
            correlation_id="",
            traceparent="",
        )
        envelope = bad.spoil(good) if bad else good
        if self._producer is None or self.chosen is None:
            await self._stack.runtime.bus.publish(FEED, [envelope])
            return
        headers = records.headers_of(envelope)
        batch = self._producer.create_batch()
        batch.append(
            timestamp=records.timestamp_ms(envelope),
            key=records.key_of(envelope),
            value=envelope.value,
            headers=bad.spoil_headers(headers) if bad else headers,
        )
        batch.close()
        if bad and bad.spoil_batch:
            batch._buffer = with_checksum(bad.spoil_batch(bytes(batch._build())))
        sent = await self._producer.send_batch(
            batch,
            self.chosen.prefix + FEED,
            partition=records.partition_of(envelope.key, PARTITIONS),
        )
        await sent

    async def heard(self, key: str) -> list[int]:
        """Return the amounts that had their effect, in the order in which they had it."""
        rows = await self._sql.fetch(
            "SELECT convert_from(state, 'UTF8')::json->>'amount' FROM events"
            " WHERE originator_id = $1 ORDER BY originator_version",
            f"demo/counter-{key}",
        )
        return [int(row[0]) for row in rows]

    async def hears(self, key: str, *amounts: int) -> None:
        await eventually(lambda: self._heard_are(key, list(amounts)))

    async def _heard_are(self, key: str, amounts: list[int]) -> bool:
        return await self.heard(key) == amounts

    async def parked(self) -> list[str]:
        rows = await self._sql.fetch("SELECT reason FROM parked ORDER BY stream, position")
        return [row[0] for row in rows]

    async def parks(self, count: int) -> None:
        await eventually(lambda: self._parked_are(count))

    async def _parked_are(self, count: int) -> bool:
        return len(await self.parked()) == count

    @property
    def inspection(self) -> Inspection:
        return cast("Inspection", SimpleNamespace(hosts=self._stack.runtime.hosts))

    @property
    def _sql(self) -> Any:
        return self._stack["sourcing"].database.sql


@pytest.fixture
def on_local(postgres_dsn: str) -> Stand:
    return Stand(postgres_dsn, None)


@pytest.fixture
def on_kafka(postgres_dsn: str, kafka_bootstrap: str) -> Stand:
    chosen = KafkaOptions(
        kafka_bootstrap,
        prefix=f"t{secrets.token_hex(4)}.",
        partitions=PARTITIONS,
        session_ms=6_000,
        heartbeat_ms=500,
        finish_s=5.0,
    )
    return Stand(postgres_dsn, chosen)


@pytest.mark.parametrize("bad", MATRIX, ids=lambda bad: bad.name)
async def test_on_the_local_bus(on_local: Stand, bad: Bad) -> None:
    await _is_parked_and_mended(on_local, bad, bad.reason)


@pytest.mark.parametrize("bad", [*MATRIX, *ONLY_ON_KAFKA], ids=lambda bad: bad.name)
async def test_on_kafka(on_kafka: Stand, bad: Bad) -> None:
    await _is_parked_and_mended(on_kafka, bad, bad.kafka_reason or bad.reason)


async def _is_parked_and_mended(stand: Stand, bad: Bad, reason: str) -> None:
    async with stand.run():
        await stand.say("a", 1)
        await stand.say("b", 1)
        await stand.say("a", 2, bad)
        await stand.say("a", 3)
        await stand.say("b", 2)
        await stand.hears("b", 1, 2)
        await stand.parks(2)
        await stand.say("a", 4)
        await stand.say("b", 3)
        await stand.hears("b", 1, 2, 3)
        await stand.parks(3)
        assert await stand.heard("a") == [1]
        assert reason in (await stand.parked())[0]
        assert set((await stand.parked())[1:]) == {"waits behind an earlier message of its stream"}
        # Tried again without a cure, it stays where it is, and so do those behind it.
        assert await redrive(stand.inspection, "all") == 3
        await eventually(lambda: _is_tried_again(stand))
        assert await stand.heard("a") == [1]
        if not bad.has_cure:
            assert await drop(stand.inspection, "demo/counter-a", first_only=True) == 1
            await stand.hears("a", 1, 3, 4)
            await stand.parks(0)
            return
    stand.sink.knows_v2 = True
    async with stand.run():
        await redrive(stand.inspection, "demo/counter-a")
        await stand.hears("a", 1, 2, 3, 4)
        await stand.parks(0)
        await stand.say("a", 5)
        await stand.hears("a", 1, 2, 3, 4, 5)


async def _is_tried_again(stand: Stand) -> bool:
    rows = await stand._sql.fetch("SELECT redrive FROM parked ORDER BY position LIMIT 1")
    return not rows[0][0]


async def test_an_event_that_is_only_newer_passes(on_local: Stand) -> None:
    """A contract that has grown: who does not know the event does not act on it."""
    newer = Bad("newer", lambda e: replace(e, type="oms.order.v1.PaymentDreamt", value=NEWER))
    async with on_local.run():
        await on_local.say("a", 1)
        await on_local.say("a", 2, newer)
        await on_local.say("a", 3)
        await on_local.hears("a", 1, 3)
        assert await on_local.parked() == []
