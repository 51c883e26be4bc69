"""What may happen to a stack while orders run, made to happen.

Each fault returns once it is over and the processes are there again; whether orders go on, and
whether anything was lost or done twice, is for the test to see.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from services.demo.domain.dice import Dice
from services.kernel.adapters.database import with_database
from services.kernel.adapters.kafka_options import (
    KafkaOptions,
    producer_arguments,
    reader_arguments,
)
from services.kernel.main.runtime import SERVICES
from services.kernel.main.service import topic_of
from services.kernel.main.stack.minding import fetch
from tests.support import report
from tests.support.api import Api
from tests.support.on_stack import OnStack

_SEED = 20_260_102
_LEADERS_LOCK = 7_235_002
_LOOK_S = 0.1
_MOVES_WITHIN_S = 120.0
_PARKS_WITHIN_S = 30.0
_UNDECIDED = 202
_ROWS_PER_CALL = 500
_CALLS_AT_ONCE = 8

type Facts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Size:
    """How hard the stack is hurt.

    Attributes:
        away_s: How long the broker is away.
        kills: How often each of ``victims`` is killed.
        victims: Names of processes; empty: every process of ours.
        cuts: How often all connections to the database are cut.
        frozen_s: How long a worker sleeps; more than a session lasts.
        sleepers: Services of which a worker sleeps.
        waiting: Events that wait to be caught up with.
        replayed: Services whose feeds are played again.
    """

    away_s: float
    kills: int
    victims: tuple[str, ...]
    cuts: int
    frozen_s: float
    sleepers: tuple[str, ...]
    waiting: int
    replayed: tuple[str, ...]


SHORT = Size(
    away_s=3.0,
    kills=1,
    victims=("order.serve", "order.work", "stock_ledger.work.3"),
    cuts=2,
    frozen_s=9.0,
    sleepers=("stock_ledger",),
    waiting=2_000,
    replayed=("order", "stock_ledger"),
)
LONG = Size(
    away_s=10.0,
    kills=10,
    victims=(),
    cuts=20,
    frozen_s=40.0,
    sleepers=("stock_ledger", "order", "sourcing"),
    waiting=200_000,
    replayed=tuple(SERVICES),
)

type Fault = Callable[[OnStack, Api, Size], Awaitable[Facts]]


async def broker_away(system: OnStack, _: Api, size: Size) -> Facts:
    """The broker is stopped, stays away, and comes back."""
    system.hold("broker")
    await system.until("broker", "held")
    await asyncio.sleep(size.away_s)
    system.release()
    await system.until("broker")
    return {"away_s": size.away_s}


async def broker_killed(system: OnStack, _: Api, __: Size) -> Facts:
    """The broker is killed with -9; what it acknowledged is in the system's memory."""
    return {"killed": [await kill(system, "broker")]}


async def processes_killed(system: OnStack, _: Api, size: Size) -> Facts:
    """Processes of ours are killed with -9, several at a time and in any order."""
    ours = sorted(system.pids().keys() - {"postgres", "broker"})
    dice = Dice(_SEED, "kills")
    killed: list[str] = []
    for turn in range(size.kills):
        left = list(size.victims or ours)
        while left:
            victims = [left.pop(dice.below(len(left))) for _ in range(min(3, len(left)))]
            killed += await asyncio.gather(*(kill(system, name) for name in victims))
            await asyncio.sleep(dice.between(200, 1_500) / 1_000)
        report.say(f"kills: turn {turn + 1} of {size.kills}")
    return {"kills": len(killed), "of": len(set(killed))}


async def postgres_killed(system: OnStack, _: Api, __: Size) -> Facts:
    """The database server is killed with -9 and started again by the keeper."""
    return {"killed": [await kill(system, "postgres")]}


async def connections_cut(system: OnStack, _: Api, size: Size) -> Facts:
    """Every connection to the database is cut, again and again."""
    cut = 0
    async with _owner(system, "postgres") as connection:
        for _turn in range(size.cuts):
            cut += await connection.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
            await asyncio.sleep(0.5)
    return {"times": size.cuts, "connections": cut}


async def worker_frozen(system: OnStack, _: Api, size: Size) -> Facts:
    """The worker that publishes sleeps; others take over; it wakes and knows nothing of that.

    Where a service has several workers, another takes its partitions, and, because its lock goes
    away with its connection, another publishes: with the one that wakes there are two relays.
    """
    facts: Facts = {}
    for name in size.sleepers:
        facts[name] = await _freeze(system, name, size.frozen_s)
    return facts


async def feeds_played_again(system: OnStack, _: Api, size: Size) -> Facts:
    """Whole topics are published once more, record by record, between what is new."""
    played = {name: await _play_again(_options(system), topic_of(name)) for name in size.replayed}
    return {"records": played}


async def poison(system: OnStack, api: Api, _: Size) -> Facts:
    """Messages come that cannot be heard: some are no events, one meets a handler that fails."""
    return {"no_events": await _no_events(system), "bug": await _handler_that_fails(system, api)}


async def _no_events(system: OnStack) -> Facts:
    """Something that is no event comes by a feed; it is parked, and dropped by a person."""
    topic, stream = topic_of("order"), "faults/order-poison"
    listeners = {"notification", "sourcing", "stock_ledger", "picking", "delivery", "returns"}
    async with _producer(_options(system)) as producer:
        for value in (b"\xff\xfe no event", b"", b"x" * 1_000_000):
            await producer.send_and_wait(topic, value, key=stream.encode())
    began = time.monotonic()
    parked: set[str] = set()
    async with asyncio.timeout(_PARKS_WITHIN_S):
        while parked != listeners:
            parked = {one for one in listeners if await _parked(system, one, stream) == 3}
            await asyncio.sleep(_LOOK_S)
    took_s = time.monotonic() - began
    code, said = await system.oms("parked", "drop", stream, "--yes")
    assert (code, said.split()[0]) == (0, str(3 * len(listeners))), said
    return {"parked_by": sorted(parked), "parked_after_s": round(took_s, 1)}


async def _handler_that_fails(system: OnStack, api: Api) -> Facts:
    """Sourcing fails on one order, whatever it tries; once that is mended, it is driven again.

    What follows of the order waits behind; other orders go on meanwhile.
    """
    order_id = f"poison-{secrets.token_hex(4)}"
    stream = f"faults/order-{order_id}"
    began = time.monotonic()
    async with _owner(system, "oms_sourcing") as connection:
        await connection.execute(
            "CREATE FUNCTION a_bug() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN RAISE 'a bug'; END$$;"
            " CREATE TRIGGER a_bug BEFORE INSERT ON events FOR EACH ROW"
            f" WHEN (new.originator_id = 'faults/decision-{order_id}') EXECUTE FUNCTION a_bug()"
        )
        try:
            placed = await api.place(order_id, [("P1", 1)], wait_s=0)
            assert placed.status_code == _UNDECIDED, placed.text
            await _until_parked(system, stream, 1)
            took_s = time.monotonic() - began
            await api.done(f"/v1/orders/{order_id}:cancel", {"reason": "CHANGED_MIND"})
            await _until_parked(system, stream, 2)
        finally:
            await connection.execute("DROP TRIGGER a_bug ON events; DROP FUNCTION a_bug()")
    code, said = await system.oms("parked", "redrive", stream)
    assert code == 0, said
    await _until_parked(system, stream, 0)
    return {"parked_after_s": round(took_s, 1), "over_after_s": round(time.monotonic() - began, 1)}


async def _until_parked(system: OnStack, stream: str, count: int) -> None:
    async with asyncio.timeout(_PARKS_WITHIN_S):
        while await _parked(system, "sourcing", stream) != count:
            await asyncio.sleep(_LOOK_S)


async def backlog(system: OnStack, api: Api, size: Size) -> Facts:
    """Sourcing is away while stock changes; then it has all of them to catch up with."""
    topic, group = topic_of("stock_ledger"), "sourcing"
    system.hold("sourcing.work")
    await system.until("sourcing.work", "held")
    places = await _ends(_options(system), topic)
    await _change_stock(api, size.waiting)
    # Published is what is acknowledged by the relay, which may be a moment behind.
    ends = places
    async with asyncio.timeout(_MOVES_WITHIN_S):
        while sum(ends.values()) < sum(places.values()) + size.waiting:
            await asyncio.sleep(_LOOK_S)
            ends = await _ends(_options(system), topic)
    released = time.monotonic()
    system.release()
    await system.until("sourcing.work")
    ready = time.monotonic()
    async with asyncio.timeout(600), _owner(system, f"oms_{group}") as connection:
        behind = ends
        while behind:
            rows = await connection.fetch(
                "SELECT partition, bus_offset FROM watermarks WHERE group_name = $1 AND topic = $2",
                *(group, topic),
            )
            had = {row[0]: row[1] + 1 for row in rows}
            behind = {place: end for place, end in ends.items() if had.get(place, 0) < end}
            await asyncio.sleep(_LOOK_S)
    caught_up_s = time.monotonic() - ready
    return {
        "waiting": size.waiting,
        "ready_again_after_s": round(ready - released, 1),
        "caught_up_after_s": round(caught_up_s, 1),
        "events_per_s_at_least": round(size.waiting / max(caught_up_s, _LOOK_S)),
    }


FAULTS: dict[str, Fault] = {
    "broker-away": broker_away,
    "broker-killed": broker_killed,
    "processes-killed": processes_killed,
    "postgres-killed": postgres_killed,
    "connections-cut": connections_cut,
    "worker-frozen": worker_frozen,
    "feeds-played-again": feeds_played_again,
    "poison": poison,
    "backlog": backlog,
}
NEED_OWN_BROKER = ("broker-away", "broker-killed")


async def kill(system: OnStack, name: str) -> str:
    """Kill a process with -9 and wait until its successor is ready."""
    pid = system.pids().get(name)
    if pid is not None:  # else it is not there at this moment: it is hurt already
        os.kill(pid, signal.SIGKILL)
        await system.until_replaced(name, pid)
    return name


async def _freeze(system: OnStack, service: str, for_s: float) -> Facts:
    async with _owner(system, f"oms_{service}") as connection:
        pid = await _leader(connection)
        held = await _held(system, service)
        others = [name for name in held if system.pids()[name] != pid]
        began = time.monotonic()
        os.kill(pid, signal.SIGSTOP)
        try:
            # A host that sleeps loses its connections sooner or later: here at once.
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid IN"
                " (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = $1)"
                " AND datname = current_database()",
                _LEADERS_LOCK,
            )
            if others:
                async with asyncio.timeout(_MOVES_WITHIN_S):
                    while await _leader(connection) == pid or sum(
                        (await _held(system, service, others)).values()
                    ) < sum(held.values()):
                        await asyncio.sleep(_LOOK_S)
            moved_s = time.monotonic() - began
            await asyncio.sleep(max(0.0, for_s - moved_s))
        finally:
            os.kill(pid, signal.SIGCONT)
    facts: Facts = {"slept_s": round(time.monotonic() - began, 1)}
    if others:
        facts |= {"partitions": sum(held.values()), "moved_after_s": round(moved_s, 1)}
    return facts


async def _leader(connection: asyncpg.Connection) -> int:
    """Return the pid of the process that follows the log of the connection's database."""
    async with asyncio.timeout(_MOVES_WITHIN_S):
        while True:
            name = await connection.fetchval(
                "SELECT application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
                " WHERE l.locktype = 'advisory' AND l.objid = $1 AND l.granted"
                " AND a.datname = current_database()",
                _LEADERS_LOCK,
            )
            if name:
                return int(name.split()[-1])
            await asyncio.sleep(_LOOK_S)


async def _held(
    system: OnStack, service: str, names: Iterable[str] | None = None
) -> dict[str, int]:
    """Return how many partitions each worker of a service holds, by its own metrics."""
    found: dict[str, int] = {}
    workers = names or [n for n in system.pids() if n.startswith(f"{service}.work")]
    for name in workers:
        answer = await fetch(system.processes()[name].health, "/metrics")
        lines = answer[1].decode().splitlines() if answer is not None else []
        found[name] = sum(
            int(float(line.rpartition(" ")[2]))
            for line in lines
            if line.startswith("oms_kafka_partitions_held{")
        )
    return found


async def _play_again(options: KafkaOptions, topic: str) -> int:
    count = 0
    ends = await _ends(options, topic)
    async with _producer(options) as producer, _consumer(options) as consumer:
        for partition, end in ends.items():
            place = TopicPartition(topic, partition)
            consumer.assign([place])
            consumer.seek(place, 0)
            position = 0
            while position < end:
                records = (await consumer.getmany(place, timeout_ms=500)).get(place, [])
                for record in records:
                    await producer.send(
                        topic,
                        record.value,
                        key=record.key,
                        partition=partition,
                        timestamp_ms=record.timestamp,
                        headers=list(record.headers),
                    )
                    count += 1
                position = await consumer.position(place)
        await producer.flush()
    return count


async def _ends(options: KafkaOptions, topic: str) -> dict[int, int]:
    async with _consumer(options) as consumer:
        await consumer._client.force_metadata_update()
        partitions = consumer._client.cluster.partitions_for_topic(topic) or ()
        ends = await consumer.end_offsets([TopicPartition(topic, n) for n in partitions])
    return {place.partition: end for place, end in ends.items()}


async def _change_stock(api: Api, count: int) -> None:
    """Receive one unit, ``count`` times, of products that nobody orders."""
    calls = [
        range(first, min(first + _ROWS_PER_CALL, count))
        for first in range(0, count, _ROWS_PER_CALL)
    ]

    async def receive(numbers: Sequence[int]) -> None:
        # Fifty of a kind in a call: each a movement, and an event, of its own.
        rows = [
            {
                "site_id": "S1",
                "sku": f"W{number % 10_000}",
                "quantity": 1,
                "source_id": f"waiting-{time.time_ns()}-{number}",
                "occurred_at": "2026-01-01T06:00:00Z",
            }
            for number in numbers
        ]
        await api.done("/v1/stock/movements:batch", {"kind": "receive", "rows": rows})

    waiting = iter(calls)

    async def some() -> None:
        for numbers in waiting:
            await receive(numbers)

    await asyncio.gather(*(some() for _ in range(_CALLS_AT_ONCE)))


async def _parked(system: OnStack, service: str, stream: str) -> int:
    async with _owner(system, f"oms_{service}") as connection:
        return int(
            await connection.fetchval("SELECT count(*) FROM parked WHERE stream = $1", stream)
        )


@contextlib.asynccontextmanager
async def _owner(system: OnStack, database: str) -> AsyncIterator[asyncpg.Connection]:
    dsn = with_database(system.told["OMS_POSTGRES_DSN"], database)
    connection = await asyncpg.connect(dsn, timeout=30)
    try:
        yield connection
    finally:
        await connection.close()


def _options(system: OnStack) -> KafkaOptions:
    return KafkaOptions(system.told["OMS_KAFKA_BOOTSTRAP_SERVERS"])


@contextlib.asynccontextmanager
async def _producer(options: KafkaOptions) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(**producer_arguments(options))
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


@contextlib.asynccontextmanager
async def _consumer(options: KafkaOptions) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(**reader_arguments(options))
    await consumer.start()
    try:
        await asyncio.sleep(0)
        yield consumer
    finally:
        await consumer.stop()
