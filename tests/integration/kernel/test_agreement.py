"""``oms verify`` compares the services: silent on a healthy system, and a word for each lie.

One system carries orders of many kinds to their end. Then a discrepancy of each kind is planted, by
hand in a database, as no program of ours can, and must be named; then it is taken back.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from services.demo.adapters.http_client import HttpApi
from services.demo.application import campaign, loading
from services.demo.domain.chain import chain
from services.demo.domain.shopping import Shop
from services.kernel.adapters.database import with_database
from services.kernel.adapters.ports import free_port
from services.kernel.main import KernelSettings, ServiceHost, agreement
from services.kernel.main import agreement_outcomes as outcomes
from services.kernel.main import agreement_rules as rules
from services.kernel.main.agreement import NEVER_PLACED, RULES, agreements
from services.kernel.main.agreement_rules import Rule
from services.kernel.main.embedded import Embedded
from services.kernel.main.embedded import running as whole_system

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(300)]

ORDERS = 40


@dataclass
class System:
    """A running system that has carried orders, and its databases as their owner."""

    embedded: Embedded
    prefix: str
    dsn: str
    data_home: Path

    @property
    def hosts(self) -> Mapping[str, ServiceHost]:
        return self.embedded.runtime.hosts

    async def differences(self) -> dict[str, tuple[str, ...]]:
        found = agreements(self.hosts, lambda *_: None)
        return {rule: sentences async for rule, sentences in found if sentences}

    @asynccontextmanager
    async def planted(self, lie: "Lie") -> AsyncIterator[None]:
        """Change databases for the block, past every right and rule."""
        async with AsyncExitStack() as stack:
            for service, statements in lie.told.items():
                await stack.enter_async_context(self._changed(service, statements))
            yield

    @asynccontextmanager
    async def _changed(self, service: str, statements: Sequence[str]) -> AsyncIterator[None]:
        tables = ["events", *(["reserved_stock"] if service == "stock_ledger" else [])]
        connection = await asyncpg.connect(with_database(self.dsn, f"{self.prefix}{service}"))
        try:
            for table in tables:
                await connection.execute(f"CREATE TABLE kept_{table} AS SELECT * FROM {table}")
            for statement in statements:
                done = await connection.execute(statement)
                assert not done.endswith(" 0"), statement
            yield
        finally:
            for table in tables:
                await connection.execute(f"TRUNCATE {table}")
                await connection.execute(f"INSERT INTO {table} SELECT * FROM kept_{table}")
                await connection.execute(f"DROP TABLE kept_{table}")
            await connection.close()


@dataclass(frozen=True)
class Lie:
    """One discrepancy.

    Attributes:
        rule: That must name it.
        word: What its sentence must hold.
        told: Statements by service.
    """

    rule: Rule | str
    word: str
    told: Mapping[str, Sequence[str]]


def delete(topic: str) -> str:
    """Take away the first event of a kind."""
    return (
        "DELETE FROM events WHERE notification_id ="
        f" (SELECT min(notification_id) FROM events WHERE topic = '{topic}')"
    )


def delete_stream(topic: str) -> str:
    """Take away the whole stream that has the last event of a kind."""
    return (
        "DELETE FROM events WHERE originator_id = (SELECT originator_id FROM events"
        f" WHERE topic = '{topic}' ORDER BY notification_id DESC LIMIT 1)"
    )


def alter(topic: str, path: str, value: str) -> str:
    """Let the first event of a kind say something else."""
    return (
        "UPDATE events SET state = convert_to(jsonb_set(convert_from(state, 'UTF8')::jsonb,"
        f" '{path}', '{value}')::text, 'UTF8') WHERE notification_id ="
        f" (SELECT min(notification_id) FROM events WHERE topic = '{topic}')"
    )


def instead_of_completed(topic: str, state: str) -> str:
    """Let the first completed order look as if something else had happened to it.

    Nothing new is written to the log: the running system would publish it.
    """
    return (
        f"UPDATE events SET topic = '{topic}', state = '{state}' WHERE notification_id ="
        " (SELECT min(notification_id) FROM events WHERE topic = 'order.completed.v1')"
    )


CANCELLED = instead_of_completed("order.cancelled.v1", '{"reason": "asked", "reservation_id": ""}')
REFUNDED = instead_of_completed(
    "order.refunded.v1",
    '{"return_id": "R-none", "currency": "EUR", "amount_minor": 100, "refunded_total_minor": 100}',
)
NO_STEP_STARTED = (
    "DELETE FROM events WHERE topic = 'order.step_started.v1' AND originator_id ="
    " (SELECT min(originator_id) FROM events WHERE topic = 'order.step_started.v1')"
)
NO_STEP_COMPLETED = (
    "DELETE FROM events WHERE topic IN ('order.step_completed.v1', 'order.group_completed.v1')"
    " AND originator_id ="
    " (SELECT min(originator_id) FROM events WHERE topic = 'order.group_completed.v1')"
)
LIES = {
    "a decision is gone": Lie(
        rules.planned,
        "sourcing never decided",
        {"sourcing": [delete_stream("decision.decided.v1")]},
    ),
    "nothing was decided": Lie(
        rules.planned,
        "sourcing has no decision",
        {
            "sourcing": [delete_stream("decision.decided.v1")],
            "order": ["DELETE FROM events WHERE topic NOT IN ('order.placed.v1')"],
        },
    ),
    "a group leaves from elsewhere": Lie(
        rules.planned,
        "'elsewhere'",
        {"order": [alter("order.accepted.v1", "{groups,0,source_site_id}", '"elsewhere"')]},
    ),
    "more is held than planned": Lie(
        rules.reserved,
        "held 999999 of",
        {"stock_ledger": [alter("reservation.held.v1", "{lines,0,quantity}", "999999")]},
    ),
    "nothing was held": Lie(
        rules.confirmed, "never held", {"stock_ledger": [delete("reservation.held.v1")]}
    ),
    "nothing was confirmed": Lie(
        rules.confirmed, "never confirmed", {"stock_ledger": [delete("reservation.confirmed.v1")]}
    ),
    "an ended order keeps stock": Lie(
        rules.confirmed,
        "keeps",
        {"order": [CANCELLED], "stock_ledger": ["UPDATE reserved_stock SET allocated = 3"]},
    ),
    "nobody has the task": Lie(
        rules.carried_out,
        "picking has no task",
        {"picking": [delete_stream("picktask.completed.v1")]},
    ),
    "nobody asked for the task": Lie(
        rules.carried_out,
        "nobody asked",
        {"order": [NO_STEP_STARTED]},
    ),
    "a milestone that nobody said": Lie(
        rules.milestones, "never said", {"delivery": [delete("handover.made_ready.v1")]}
    ),
    "a milestone that was not believed": Lie(
        rules.milestones,
        "its step is not complete",
        {"order": [NO_STEP_COMPLETED]},
    ),
    "a short that the order does not know": Lie(
        rules.shorts, "does not know", {"order": [delete("order.line_shorted.v1")]}
    ),
    "a short that picking does not know": Lie(
        rules.shorts, "to picking", {"picking": [delete("picktask.line_shorted.v1")]}
    ),
    "picked goods that are nowhere": Lie(
        rules.moved,
        "picked to the ledger",
        {"stock_ledger": ["UPDATE reserved_stock SET picked = picked + 1"]},
    ),
    "more goes out than was picked": Lie(
        outcomes.handed_over,
        "0 picked",
        {"picking": ["DELETE FROM events WHERE topic = 'picktask.line_picked.v1'"]},
    ),
    "delivered and not handed over": Lie(
        outcomes.handed_over,
        "handed over by delivery",
        {"delivery": [delete("handover.handed_over.v1")]},
    ),
    "what was delivered is unknown to returns": Lie(
        outcomes.handed_over,
        "returns does not know",
        {"returns": [delete_stream("returnable.group_delivered.v1")]},
    ),
    "handed over and not captured": Lie(
        outcomes.captured, "never captured", {"order": [delete("order.payment_captured.v1")]}
    ),
    "captured and not handed over": Lie(
        outcomes.captured, "never handed it over", {"delivery": [delete("handover.handed_over.v1")]}
    ),
    "refunded and not validated": Lie(
        outcomes.refunded, "returns never validated", {"order": [REFUNDED]}
    ),
    "nobody was told": Lie(
        outcomes.told, "no message", {"notification": [delete_stream("message.queued.v1")]}
    ),
    "an order that was never placed": Lie(
        NEVER_PLACED, "never placed", {"order": [delete_stream("order.completed.v1")]}
    ),
}


async def carry(system: Embedded, data_home: Path, count: int, run: str) -> None:
    whole = chain(11)
    small = replace(whole, products=whole.products[:100])
    key = await system.demo_key(data_home)
    async with HttpApi(system.addresses.http, key) as api:
        loaded = await loading.load(api, small, "run-1", lambda *_: None)
        assert loaded.problems == []
        told = await campaign.run(api, Shop.of(small), count, run, lambda *_: None, at_once=4)
        assert told.is_clean, told.stuck


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(
    postgres_dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    data_home = tmp_path_factory.mktemp("agreement")
    prefix = f"a{secrets.token_hex(4)}_"
    settings = KernelSettings(
        data_home=data_home,
        postgres_dsn=postgres_dsn,
        database_prefix=prefix,
        http_port=free_port(),
        grpc_port=free_port(),
        health_port=free_port(),
    )
    async with whole_system(settings, lambda _line: None) as embedded:
        await carry(embedded, data_home, ORDERS, "run-2")
        yield System(embedded, prefix, postgres_dsn, data_home)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "PAGE_ORDERS", 7)
    monkeypatch.setattr(agreement, "_PAUSE_S", 0.01)


def test_every_rule_has_a_lie_that_it_names() -> None:
    assert {lie.rule for lie in LIES.values()} == {*RULES.values(), NEVER_PLACED}


@pytest.mark.asyncio(loop_scope="module")
async def test_services_that_carried_orders_agree(system: System) -> None:
    steps: list[tuple[int, int]] = []
    found = agreements(system.hosts, lambda _, done, total: steps.append((done, total)))
    assert [rule async for rule, sentences in found if sentences] == []
    orders = [step for step in steps if step[1] == ORDERS]
    assert orders[0] == (7, ORDERS)
    assert orders[-1] == (ORDERS, ORDERS)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", LIES)
async def test_a_lie_is_named(system: System, name: str) -> None:
    lie = LIES[name]
    named = (
        lie.rule
        if isinstance(lie.rule, str)
        else next(said for said, rule in RULES.items() if rule is lie.rule)
    )
    async with system.planted(lie):
        differences = await system.differences()
    assert any(lie.word in sentence for sentence in differences.get(named, ())), differences


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_in_flight_is_no_difference(system: System) -> None:
    """Who has not heard of it yet need not know: the watermark says how far he is."""
    lie = LIES["nobody was told"]
    back = "UPDATE watermarks SET position = 0 WHERE group_name = 'notification'"
    sql = system.hosts["notification"].database.sql
    position = await sql.fetchval("SELECT max(position) FROM watermarks")
    async with system.planted(Lie("", "", {"notification": [*lie.told["notification"], back]})):
        assert await system.differences() == {}
        await sql.execute("UPDATE watermarks SET position = $1", position)
        assert await system.differences() != {}


@pytest.mark.asyncio(loop_scope="module")
async def test_nothing_is_said_while_orders_run(system: System) -> None:
    carrying = asyncio.create_task(carry(system.embedded, system.data_home, 12, "run-3"))
    looks = 0
    while not carrying.done():
        assert await system.differences() == {}
        looks += 1
    await carrying
    assert looks
    assert await system.differences() == {}
