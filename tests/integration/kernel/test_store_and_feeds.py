"""One event from the command to another service's read model, and what may go wrong between."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.kernel.adapters.database import with_database
from services.kernel.application.runner import ConcurrentAppend
from services.kernel.application.work import Work
from services.kernel.domain.errors import Rejected
from tests.support import toy
from tests.support.stack import Stack, a_cause, eventually, execute, running

Toys = tuple[Stack, toy.Sink]


@pytest.fixture
async def toys(postgres_dsn: str) -> AsyncIterator[Toys]:
    sink = toy.Sink()
    prefix = f"toy{id(sink) % 1_000_000}_"
    async with running(
        postgres_dsn, {"order": toy.source, "sourcing": sink.build}, prefix=prefix
    ) as stack:
        yield stack, sink


@pytest.fixture(autouse=True)
async def _tables(toys: Toys, postgres_dsn: str) -> None:
    stack, _ = toys
    for name in ("order", "sourcing"):
        database = await stack[name].database.sql.fetchval("SELECT current_database()")
        for statement in toy.TABLES.split(";"):
            await execute(with_database(postgres_dsn, database), statement)


async def _add(stack: Stack, key: str, amount: int, command_id: str) -> None:
    async def use_case(work: Work) -> None:
        await work.handle(toy.COUNTER, key, toy.Add(amount))

    await stack["order"].runner.execute(a_cause(command_id), use_case)


async def _totals(stack: Stack, name: str) -> dict[str, int]:
    rows = await stack[name].database.sql.fetch("SELECT key, total FROM counter_totals")
    return {row[0]: row[1] for row in rows}


async def test_an_event_reaches_the_other_services_read_model(toys: Toys) -> None:
    stack, _ = toys
    await _add(stack, "a", 5, "c1")
    await stack.settle()
    assert await _totals(stack, "order") == {"a": 5}
    assert await _totals(stack, "sourcing") == {"a": 5}


async def test_two_hundred_writers_on_one_stream_lose_nothing(toys: Toys) -> None:
    stack, _ = toys
    await asyncio.gather(*(_add(stack, "hot", 1, f"c{n}") for n in range(200)))
    await stack.settle()
    assert await _totals(stack, "sourcing") == {"hot": 200}


async def test_the_same_command_id_for_another_command_is_refused(toys: Toys) -> None:
    stack, _ = toys
    await _add(stack, "a", 5, "c1")
    with pytest.raises(Rejected, match="IDEMPOTENCY_MISMATCH"):
        await _add(stack, "b", 7, "c1")
    await stack.settle()
    assert await _totals(stack, "order") == {"a": 5}


async def test_a_refused_neighbour_in_a_batch_harms_nobody(toys: Toys) -> None:
    stack, _ = toys
    await _add(stack, "full", toy.MOST, "c0")
    answers = await asyncio.gather(
        *(_add(stack, "full" if n % 2 else f"k{n}", 1, f"n{n}") for n in range(40)),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, Rejected) for answer in answers) == 20
    assert sum(answer is None for answer in answers) == 20


async def test_poison_is_parked_with_its_stream_and_others_go_on(toys: Toys) -> None:
    stack, sink = toys
    sink.poison = {13}
    for n, (key, amount) in enumerate([("a", 1), ("a", 13), ("a", 2), ("b", 3)]):
        await _add(stack, key, amount, f"c{n}")
    await eventually(lambda: _holds(stack, "b", 3))
    await stack.settle()
    assert await _totals(stack, "sourcing") == {"a": 1, "b": 3}
    parked = await stack["sourcing"].database.sql.fetch(
        "SELECT reason FROM parked ORDER BY position"
    )
    assert [row[0] for row in parked] == [
        "Poison: 13",
        "waits behind an earlier message of its stream",
    ]
    sink.poison = set()
    await stack["sourcing"].database.sql.execute("UPDATE parked SET redrive = true")
    await eventually(lambda: _holds(stack, "a", 16))
    assert not await stack["sourcing"].database.sql.fetch("SELECT FROM parked")
    await _add(stack, "a", 4, "c9")
    await eventually(lambda: _holds(stack, "a", 20))


async def _holds(stack: Stack, key: str, total: int) -> bool:
    return (await _totals(stack, "sourcing")).get(key) == total


async def test_a_redelivered_feed_changes_nothing(toys: Toys) -> None:
    stack, sink = toys
    for n in range(20):
        await _add(stack, f"k{n % 3}", n + 1, f"c{n}")
    await stack.settle()
    before = await _totals(stack, "sourcing")
    calls = sink.calls
    relay = stack["order"].relay
    from services.kernel.adapters.event_log import decode_rows, read_log  # noqa: PLC0415

    rows = await read_log(stack["order"].database.sql, 0, 1000)
    await relay.follow(decode_rows(toy.CODEC, rows))
    await stack.settle()
    assert sink.calls == calls
    assert await _totals(stack, "sourcing") == before


async def test_a_stale_expected_version_is_refused(toys: Toys) -> None:
    stack, _ = toys
    await _add(stack, "a", 5, "c1")
    stack["order"].appender  # noqa: B018 - the same appender that the runner uses
    events = []

    async def use_case(work: Work) -> None:
        await work.handle(toy.COUNTER, "a", toy.Add(1))
        events.extend(work.events)  # type: ignore[attr-defined]

    await stack["order"].runner.execute(a_cause("c2"), use_case)
    with pytest.raises(ConcurrentAppend):
        await stack["order"].appender.append(events)


async def test_the_application_may_not_change_events(toys: Toys) -> None:
    import asyncpg  # noqa: PLC0415

    stack, _ = toys
    await _add(stack, "a", 5, "c1")
    for statement in ("UPDATE events SET topic = 'x'", "DELETE FROM events", "TRUNCATE events"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await stack["order"].database.sql.execute(statement)
