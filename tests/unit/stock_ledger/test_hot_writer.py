"""The writer of hot products: what waits becomes one round, and one at fault hurts nobody else."""

import asyncio
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from services.kernel.application.ownership import SoleOwner
from services.kernel.application.runner import Overloaded, QueueFull, UseCase
from services.kernel.application.work import Sql, Work
from services.kernel.domain.messages import Cause
from services.stock_ledger.adapters.instruments import HotInstruments
from services.stock_ledger.application.batch_reservations import Answer, Round, Wanted
from services.stock_ledger.application.hold_expiries import expire_together
from services.stock_ledger.application.hot_writer import HotLimits, HotWriter
from services.stock_ledger.application.many_holds import Begun, ManyHolds
from services.stock_ledger.domain.reservation_events import Line
from services.stock_ledger.domain.stock_commands import Receive
from services.stock_ledger.domain.stock_item import STOCK, stock_key
from tests.unit.stock_ledger.ledger_in_memory import NOON, LedgerInMemory

MINUTE = timedelta(minutes=1)


def wanted(reservation_id: str, *needs: tuple[str, int], holder_id: str = "") -> Wanted:
    lines = tuple(Line("paris", sku, quantity) for sku, quantity in needs)
    return Wanted(
        reservation_id,
        lines,
        tuple((stock_key("paris", line.sku), line.quantity) for line in lines),
        MINUTE,
        holder_id,
    )


async def nobody(sql: Sql, tenant: str, ids: Sequence[str]) -> AbstractSet[str]:
    return frozenset()


@dataclass(frozen=True)
class Rounds(ManyHolds):
    """Holds for everybody; notes the rounds; a reservation named poison breaks its round."""

    begun: Begun = nobody
    rounds: list[tuple[str, list[str]]] = field(default_factory=list)

    async def hold(
        self, work: Work, asked: Round, *, is_owner: bool, is_first: bool
    ) -> list[Answer]:
        ids = [one.reservation_id for _, call in asked.calls for one in call]
        self.rounds.append((asked.cause.tenant, ids))
        await asyncio.sleep(0)
        if "poison" in ids:
            raise ZeroDivisionError("a bug")
        return [Answer(detail=one) for one in ids]


class Runner:
    """Runs each round at once, on nothing."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    async def execute[T](self, cause: Cause, use_case: UseCase[T]) -> T:
        if self.error is not None:
            raise self.error
        work: Any = None
        return await use_case(work)


def writer(
    holds: ManyHolds,
    runner: Runner | None = None,
    *,
    lines: int = 4,
    waiting: int = 100,
    registry: CollectorRegistry | None = None,
) -> HotWriter:
    ids = count(1)
    return HotWriter(
        runner or Runner(),
        holds,
        SoleOwner(),
        lambda: f"round-{next(ids)}",
        HotLimits(lines, waiting),
        HotInstruments(registry or CollectorRegistry()),
    )


def call(n: int, tenant: str = "demo") -> Cause:
    return Cause(tenant, f"call-{n}")


async def test_what_waits_makes_rounds_of_one_tenant_and_bounded_size() -> None:
    holds = Rounds()
    hot = writer(holds)
    tenants = ["a", "b", "a", "a", "b"]
    answers = await asyncio.gather(
        *(
            hot.reserve(call(n, tenant), [wanted(f"{n}.{k}", ("P1", 1)) for k in range(2)])
            for n, tenant in enumerate(tenants)
        )
    )
    assert [[one.detail for one in each] for each in answers] == [
        [f"{n}.0", f"{n}.1"] for n in range(5)
    ]
    assert holds.rounds == [
        ("a", ["0.0", "0.1", "2.0", "2.1"]),
        ("b", ["1.0", "1.1", "4.0", "4.1"]),
        ("a", ["3.0", "3.1"]),
    ]


async def test_a_call_that_breaks_its_round_is_told_alone() -> None:
    holds = Rounds()
    hot = writer(holds, lines=10)
    first, broken, last = await asyncio.gather(
        hot.reserve(call(1), [wanted("A", ("P1", 1))]),
        hot.reserve(call(2), [wanted("poison", ("P1", 1))]),
        hot.reserve(call(3), [wanted("B", ("P1", 1))]),
        return_exceptions=True,
    )
    assert isinstance(broken, ZeroDivisionError)
    assert (first, last) == ([Answer(detail="A")], [Answer(detail="B")])


async def test_an_outage_is_told_to_everybody_at_once_and_the_writer_goes_on() -> None:
    runner = Runner(Overloaded("the database is away", 500))
    hot = writer(Rounds(), runner, lines=10)
    told = await asyncio.gather(
        *(hot.reserve(call(n), [wanted(str(n), ("P1", 1))]) for n in range(3)),
        return_exceptions=True,
    )
    assert told == [runner.error] * 3
    runner.error = None
    assert await hot.reserve(call(4), [wanted("A", ("P1", 1))]) == [Answer(detail="A")]


async def test_more_than_may_wait_is_shed_but_a_large_call_alone_is_taken() -> None:
    registry = CollectorRegistry()
    hot = writer(Rounds(), waiting=2, registry=registry)
    many = [wanted(str(n), ("P1", 1)) for n in range(5)]
    large, shed = await asyncio.gather(
        hot.reserve(call(1), many),
        hot.reserve(call(2), [wanted("A", ("P1", 1))]),
        return_exceptions=True,
    )
    assert isinstance(large, list)
    assert len(large) == 5
    assert isinstance(shed, QueueFull)
    told = generate_latest(registry).decode()
    for line in (
        *(
            "oms_hot_shed_calls_total 1.0",
            "oms_hot_waiting_lines 0.0",
            "oms_hot_races_lost_total 0.0",
        ),
        *("oms_hot_round_lines_sum 5.0", "oms_hot_round_seconds_count 1.0"),
    ):
        assert line in told


async def test_who_goes_away_before_his_turn_is_passed_over() -> None:
    holds = Rounds()
    hot = writer(holds, lines=1)
    staying = asyncio.create_task(hot.reserve(call(1), [wanted("A", ("P1", 1))]))
    leaving = asyncio.create_task(hot.reserve(call(2), [wanted("B", ("P1", 1))]))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await staying
    await hot.reserve(call(3), [wanted("C", ("P1", 1))])
    assert [ids for _, ids in holds.rounds] == [["A"], ["C"]]


# The use case itself, on streams in memory.


async def a_ledger(**units: int) -> LedgerInMemory:
    ledger = LedgerInMemory()
    for sku, quantity in units.items():
        receipt = Receive(quantity, f"note-{sku}", NOON)
        await ledger.handle(STOCK, stock_key("paris", sku), receipt)
    return ledger


async def held(ledger: LedgerInMemory, round_id: str, *calls: Sequence[Wanted]) -> list[str]:
    asked = Round(
        Cause("demo", round_id, round_id), [(call(n), each) for n, each in enumerate(calls)]
    )
    answers = await ManyHolds(nobody, 2).hold(ledger, asked, is_owner=True, is_first=True)
    return [answer.reason or "held" for answer in answers]


async def test_first_come_first_served_and_a_small_need_may_pass_a_large_one() -> None:
    ledger = await a_ledger(P1=5)
    calls = (
        [wanted("A", ("P1", 3)), wanted("B", ("P1", 3))],
        [wanted("C", ("P1", 2)), wanted("A", ("P1", 3)), wanted("A", ("P1", 1))],
    )
    assert await held(ledger, "round-1", *calls) == [
        *("held", "OUT_OF_STOCK", "held", "held", "IDEMPOTENCY_MISMATCH")
    ]
    buckets = ledger.states["stock-paris|P1"].state.buckets
    assert (buckets.free, buckets.held) == (0, 5)
    assert await held(ledger, "round-2", *calls) == [
        *("held", "OUT_OF_STOCK", "held", "held", "IDEMPOTENCY_MISMATCH")
    ]
    assert ledger.states["stock-paris|P1"].state.buckets == buckets


async def test_one_timer_ends_a_round_and_an_early_one_is_set_again() -> None:
    ledger = await a_ledger(P1=5)
    await held(ledger, "round-1", [wanted("A", ("P1", 1)), wanted("B", ("P1", 2))])
    assert ledger.timers == {"holds_expiry-round-1.0": NOON + MINUTE}
    ledger.timers.clear()
    await expire_together("round-1.0", ledger)
    assert ledger.timers == {"holds_expiry-round-1.0": NOON + MINUTE}
    ledger.at = NOON + MINUTE
    for _ in range(2):
        await expire_together("round-1.0", ledger)
        assert ledger.states["stock-paris|P1"].state.buckets.free == 5
        assert ledger.states["reservation-A"].state.status == "expired"


async def test_a_holder_has_no_more_than_he_may_however_he_asks() -> None:
    ledger = await a_ledger(P1=10)

    def by(holder_id: str, *ids: str) -> list[Wanted]:
        return [wanted(one, ("P1", 1), holder_id=holder_id) for one in ids]

    calls = (by("Ann", "A1", "A2", "A1", "A3"), [*by("Ben", "B1"), *by("Ann", "A4"), *by("", "N")])
    told = [*("held", "held", "held", "TOO_MANY_HOLDS"), *("held", "TOO_MANY_HOLDS", "held")]
    assert await held(ledger, "round-1", *calls) == told
    assert await held(ledger, "round-2", *calls) == told
    assert ledger.states["holder-Ann"].state.held == {"A1", "A2"}
    assert ledger.states["stock-paris|P1"].state.buckets.free == 6
    assert await held(ledger, "round-3", by("Ben", "A1")) == ["IDEMPOTENCY_MISMATCH"]
    ledger.at = NOON + MINUTE
    await expire_together("round-1.0", ledger)
    assert ledger.states["holder-Ann"].state.held == frozenset()
    assert await held(ledger, "round-4", by("Ann", "A3")) == ["held"]


@settings(max_examples=60, deadline=None)
@for_all(
    rounds=st.lists(
        st.lists(
            st.tuples(st.integers(0, 12), st.integers(0, 2), st.integers(1, 3)),
            min_size=1,
            max_size=8,
        ),
        max_size=6,
    ),
    free=st.integers(1, 12),
)
async def test_no_rounds_give_a_holder_or_a_product_too_much(
    rounds: list[list[tuple[int, int, int]]], free: int
) -> None:
    ledger = await a_ledger(P1=free)
    for n, asked in enumerate(rounds):
        calls = [
            wanted(f"R{one}", ("P1", quantity), holder_id=f"H{holder}" if holder else "")
            for one, holder, quantity in asked
        ]
        await held(ledger, f"round-{n}", calls)
        item = ledger.states["stock-paris|P1"].state
        assert item.buckets.free == free - sum(has.held for _, has in item.open.items()) >= 0
        theirs: dict[str, set[str]] = {}
        for reservation_id in dict(item.open.items()):
            holder_id = ledger.states[f"reservation-{reservation_id}"].state.holder_id
            theirs.setdefault(holder_id, set()).add(reservation_id)
        for holder_id in theirs.keys() - {""}:
            assert ledger.states[f"holder-{holder_id}"].state.held == theirs[holder_id]
            assert len(theirs[holder_id]) <= 2
