"""Hot products on a real database: many buyers, one product, nobody sold what is not there."""

import asyncio
import itertools
import random  # noqa: TID251 - seeded load
import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from oms.stock_ledger.v1 import hot_stock_service_pb2 as wire
from oms.stock_ledger.v1 import stock_ledger_service_pb2 as ledger_wire
from oms.stock_ledger.v1.hot_stock_service_pb2_grpc import (
    HotStockServiceServicer,
)
from oms.stock_ledger.v1.stock_ledger_events_pb2 import StockLine
from oms.stock_ledger.v1.stock_ledger_service_pb2_grpc import (
    StockLedgerServiceServicer,
)

from services.kernel.adapters.database import with_database
from services.kernel.application.runner import ConcurrentAppend, QueueFull
from services.kernel.entrypoints.calls import CALLER, Caller
from services.kernel.main import ServiceHost
from services.stock_ledger.read_models.verification import violations
from tests.support.stack import TENANT, Stack, eventually, execute, running

pytestmark = pytest.mark.stack
NOTHING: Any = None


class Clock:
    def __init__(self) -> None:
        self.at = datetime(2026, 3, 2, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at


def _servicer(host: ServiceHost, kind: type) -> Any:
    """Return the servicer of this kind that the service put together."""
    found: list[Any] = []

    class Catcher:
        def add_generic_rpc_handlers(self, handlers: Any) -> None: ...
        def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
            for handler in handlers.values():
                method = handler.unary_unary
                if method is not None and isinstance(method.__self__, kind):
                    found.append(method.__self__)

    catcher: Any = Catcher()
    for register in host.service.grpc:
        register(catcher)
    return found[0]


class Shop:
    """A platform that sells what the ledger has."""

    def __init__(self, stack: Stack, clock: Clock) -> None:
        self.stack = stack
        self.clock = clock
        self.host = stack["stock_ledger"]
        self.hot = _servicer(self.host, HotStockServiceServicer)
        self.ledger = _servicer(self.host, StockLedgerServiceServicer)

    async def receive(self, *stock: tuple[str, str, int]) -> None:
        for start in range(0, len(stock), 1_000):
            rows = [
                ledger_wire.MovementRow(site_id=s, sku=k, quantity=q, source_id=f"note-{s}-{k}-{q}")
                for s, k, q in stock[start : start + 1_000]
            ]
            await self.ledger.ReceiveStock(
                ledger_wire.ReceiveStockRequest(
                    request_id=f"receive-{rows[0].source_id}-{start}", rows=rows
                ),
                NOTHING,
            )

    async def reserve(
        self,
        request_id: str,
        *wanted: tuple[str, list[tuple[str, str, int]]],
        seconds: int = 0,
        holder_id: str = "",
    ) -> list[wire.BatchResult]:
        answer = await self.hot.ReserveBatch(
            wire.ReserveBatchRequest(
                request_id=request_id,
                reservations=[
                    wire.BatchReservation(
                        reservation_id=reservation_id,
                        lines=[StockLine(site_id=s, sku=k, quantity=q) for s, k, q in lines],
                        hold_seconds=seconds,
                        holder_id=holder_id,
                    )
                    for reservation_id, lines in wanted
                ],
            ),
            NOTHING,
        )
        return list(wire.ReserveBatchResponse.FromString(answer.message).results)

    async def level(self, site_id: str, sku: str) -> tuple[int, int]:
        await self.stack.settle()
        row = await self.host.database.sql.fetchrow(
            "SELECT free, held FROM availability WHERE tenant = $1 AND site_id = $2 AND sku = $3",
            *(TENANT, site_id, sku),
        )
        return row[0], row[1]

    async def status(self, reservation_id: str) -> str:
        await self.stack.settle()
        answer = await self.ledger.GetReservation(
            ledger_wire.GetReservationRequest(reservation_id=reservation_id), NOTHING
        )
        name = ledger_wire.ReservationStatus.Name(answer.reservation.status)
        return name.removeprefix("RESERVATION_STATUS_").lower()

    async def wrong(self) -> list[str]:
        """Whatever the books have wrong, once everything has settled."""
        await self.stack.settle()
        now = self.clock.now()
        found = [str(one) async for one in violations(self.host.database.sql, now)]
        for name, check in self.host.service.checks.items():
            found += [f"{name}: {one}" for one in await check(self.host.database.sql)]
        return found


@pytest.fixture(autouse=True)
def _caller() -> None:
    scopes = frozenset({"stock:write", "stock:read"})
    CALLER.set(Caller(TENANT, "key-1", scopes, "correlation-1", ""))


@pytest.fixture
async def shop(postgres_dsn: str) -> AsyncIterator[Shop]:
    clock = Clock()
    async with running(postgres_dsn, ["stock_ledger"], clock=clock) as stack:
        yield Shop(stack, clock)


def outcomes(results: list[wire.BatchResult]) -> Counter[str]:
    return Counter(
        wire.BatchOutcome.Name(one.outcome).removeprefix("BATCH_OUTCOME_").lower()
        for one in results
    )


async def test_as_many_are_sold_as_there_are(shop: Shop) -> None:
    await shop.receive(("paris", "P1", 1_000))

    async def buy(call: int) -> list[wire.BatchResult]:
        return await shop.reserve(
            f"call-{call}", *[(f"B{call}-{n}", [("paris", "P1", 1)]) for n in range(50)]
        )

    results = [one for each in await asyncio.gather(*map(buy, range(40))) for one in each]
    assert outcomes(results) == {"held": 1_000, "refused": 1_000}
    refused = next(one for one in results if one.outcome == wire.BATCH_OUTCOME_REFUSED)
    assert refused.reason == "OUT_OF_STOCK"
    assert list(refused.shortages) == [StockLine(site_id="paris", sku="P1", quantity=0)]
    assert await shop.level("paris", "P1") == (0, 1_000)
    assert await shop.wrong() == []
    # Two thousand buyers made a few entries, and no more timers than rounds.
    entries, timers = await shop.host.database.sql.fetchrow(
        "SELECT (SELECT count(*) FROM events WHERE originator_id = $1),"
        " (SELECT count(*) FROM timers)",
        f"{TENANT}/stock-paris|P1",
    )
    assert 0 < timers <= entries < 30


async def test_each_basket_is_held_whole_or_not_at_all(shop: Shop) -> None:
    await shop.receive(("paris", "P1", 5), ("lyon", "P2", 1))
    both = [("paris", "P1", 2), ("lyon", "P2", 1)]
    results = await shop.reserve("call-1", ("A", both), ("B", both), ("C", [("paris", "P1", 3)]))
    assert outcomes(results) == {"held": 2, "refused": 1}
    assert list(results[1].shortages) == [StockLine(site_id="lyon", sku="P2", quantity=0)]
    assert await shop.level("paris", "P1") == (0, 5)
    assert await shop.level("lyon", "P2") == (0, 1)
    assert await shop.wrong() == []


async def test_lines_of_one_product_are_summed_and_bad_reservations_stop_no_others(
    shop: Shop,
) -> None:
    await shop.receive(("paris", "P1", 5))
    results = await shop.reserve(
        "call-1",
        ("A", [("paris", "P1", 2), ("paris", "P1", 1)]),
        ("B", []),
        ("not an id", [("paris", "P1", 1)]),
        ("C", [("paris", "P1", 0)]),
        ("D", [("paris", "P1", 2)]),
        ("E", [("paris", "unknown", 1)]),
    )
    assert [wire.BatchOutcome.Name(one.outcome)[14:] for one in results] == [
        *("HELD", "INVALID", "INVALID", "INVALID", "HELD", "REFUSED")
    ]
    assert "reservation_id" in results[2].detail
    assert "quantity" in results[3].detail
    assert await shop.level("paris", "P1") == (0, 5)


async def test_repeats_are_answered_as_the_first_time_even_after_a_restart(
    postgres_dsn: str,
) -> None:
    clock = Clock()
    line = [("paris", "P1", 1)]
    async with running(postgres_dsn, ["stock_ledger"], prefix="hotagain_", clock=clock) as stack:
        shop = Shop(stack, clock)
        await shop.receive(("paris", "P1", 3))
        first = await shop.reserve("call-1", ("A", line), ("B", line), ("B", line), ("C", line))
        assert outcomes(first) == {"held": 4}
        clock.at += timedelta(minutes=1)
        again = await shop.reserve("call-1", ("A", line), ("B", line), ("B", line), ("C", line))
        assert again == first
    async with running(postgres_dsn, ["stock_ledger"], prefix="hotagain_", clock=clock) as stack:
        shop = Shop(stack, clock)
        # Nothing is free: who was held before must not be refused, and who was not must be.
        clock.at += timedelta(minutes=1)
        results = await shop.reserve("call-2", ("D", line), ("A", line), ("C", line))
        assert outcomes(results) == {"refused": 1, "held": 2}
        assert results[1:] == [first[0], first[3]]
        await shop.receive(("paris", "P1", 10))
        # There is enough: the guess that all are new is refused by the log, and made good.
        results = await shop.reserve("call-3", ("E", line), ("B", line))
        assert outcomes(results) == {"held": 2}
        assert results[1] == first[1]
        [other] = await shop.reserve("call-4", ("A", [("paris", "P1", 2)]))
        assert other.reason == "IDEMPOTENCY_MISMATCH"
        assert await shop.level("paris", "P1") == (9, 4)
        assert await shop.wrong() == []


async def test_what_is_held_is_a_reservation_like_any_other(shop: Shop) -> None:
    line = [("paris", "P1", 1)]
    await shop.receive(("paris", "P1", 4))
    await shop.reserve("call-1", *[(one, line) for one in "ABCD"], seconds=60)
    await shop.ledger.ConfirmReservation(
        ledger_wire.ConfirmReservationRequest(request_id="confirm", reservation_id="A"), NOTHING
    )
    await shop.ledger.ReleaseReservation(
        ledger_wire.ReleaseReservationRequest(request_id="release", reservation_id="B"), NOTHING
    )
    await shop.ledger.ExtendReservation(
        ledger_wire.ExtendReservationRequest(
            request_id="extend", reservation_id="C", hold_seconds=3_600
        ),
        NOTHING,
    )
    [ended] = await shop.reserve("call-2", ("B", line))
    assert (ended.outcome, ended.reason) == (wire.BATCH_OUTCOME_REFUSED, "STEP_CONFLICT")
    clock = shop.clock
    clock.at += timedelta(seconds=61)
    await eventually(lambda: _is(shop, "D", "expired"))
    assert [await shop.status(one) for one in "ABCD"] == [
        *("confirmed", "released", "held", "expired")
    ]
    assert await shop.level("paris", "P1") == (2, 1)
    [late] = await shop.reserve("call-3", ("D", line))
    assert (late.outcome, late.reason) == (wire.BATCH_OUTCOME_REFUSED, "RESERVATION_EXPIRED")
    clock.at += timedelta(hours=1)
    await eventually(lambda: _is(shop, "C", "expired"))
    assert await shop.level("paris", "P1") == (3, 0)
    assert await shop.wrong() == []


async def test_the_unpaid_holds_of_one_customer_are_counted_here_too(shop: Shop) -> None:
    """Also over calls at the same time, and beside single reservations."""
    line = [("paris", "P1", 1)]
    await shop.receive(("paris", "P1", 200))
    await shop.ledger.Reserve(
        ledger_wire.ReserveRequest(
            request_id="single",
            reservation_id="single",
            lines=[StockLine(site_id="paris", sku="P1", quantity=1)],
            holder_id="Ann",
        ),
        NOTHING,
    )
    answers = await asyncio.gather(
        *(
            shop.reserve(
                f"call-{call}",
                *((f"A{call}-{n}", line) for n in range(6)),
                holder_id="Ann",
                seconds=60,
            )
            for call in range(8)
        )
    )
    results = [one for each in answers for one in each]
    assert outcomes(results) == {"held": 19, "refused": 29}  # the setting says 20
    assert {one.reason for one in results} == {"", "TOO_MANY_HOLDS"}
    assert await shop.level("paris", "P1") == (180, 20)
    shop.clock.at += timedelta(seconds=61)
    await eventually(lambda: _is(shop, "A0-0", "expired"))
    again = await shop.reserve("again", *((f"B{n}", line) for n in range(20)), holder_id="Ann")
    assert outcomes(again) == {"held": 19, "refused": 1}
    assert await shop.wrong() == []


async def _is(shop: Shop, reservation_id: str, status: str) -> bool:
    return await shop.status(reservation_id) == status


async def test_a_storm_of_expiries_leaks_nothing_while_others_buy(shop: Shop) -> None:
    """The soak makes it a hundred thousand."""
    await expiry_storm(shop, 3_000)


async def expiry_storm(shop: Shop, holds: int) -> float:
    """Let many holds run out at one instant while buyers go on; nothing may be left over.

    Returns:
        Seconds until all were over.
    """
    pairs = [("paris", f"P{n}") for n in range(20)]
    await shop.receive(*[(*pair, holds) for pair in pairs])

    async def hold(start: int, seconds: int) -> None:
        wanted = [
            (f"H{seconds}-{n}", [(*pairs[n % 20], 1), (*pairs[(n + 7) % 20], 2)])
            for n in range(start, min(start + 250, holds))
        ]
        results = await shop.reserve(f"call-{seconds}-{start}", *wanted, seconds=seconds)
        assert outcomes(results) == {"held": len(wanted)}

    for start in range(0, holds, 1_000):
        await asyncio.gather(*(hold(n, 60) for n in range(start, min(start + 1_000, holds), 250)))
    shop.clock.at += timedelta(seconds=60)
    began_s = time.monotonic()
    for start in range(0, holds // 3, 250):
        await hold(start, 3_600)

    async def is_over() -> bool:
        left = await shop.host.database.sql.fetchval(
            "SELECT count(*) FROM reservation WHERE status = 'held' AND expires_at <= $1",
            shop.clock.at,
        )
        return left == 0 and not await shop.host.database.sql.fetchval(
            "SELECT count(*) FROM timers WHERE due_at <= $1", shop.clock.at
        )

    async with asyncio.timeout(60 + holds / 500):
        while not await is_over():
            await asyncio.sleep(0.1)
    took_s = time.monotonic() - began_s
    kept = -(-(holds // 3) // 250) * 250
    rows = await shop.host.database.sql.fetchrow(
        "SELECT sum(free), sum(held), sum(on_hand) FROM availability"
    )
    assert tuple(rows) == (20 * holds - 3 * kept, 3 * kept, 20 * holds)
    assert await shop.wrong() == []
    return took_s


async def test_zipf_baskets_leave_no_partial_hold(shop: Shop) -> None:
    """The bench makes it 20,000 pairs."""
    rng = random.Random(7)  # noqa: S311 - seeded load
    pairs, units = 400, 6
    await shop.receive(*[("paris", f"Z{n}", units) for n in range(pairs)])
    weights = list(itertools.accumulate((n + 1) ** -1.1 for n in range(pairs)))
    baskets = [
        [
            ("paris", sku, 1)
            for sku in sorted(
                {f"Z{n}" for n in rng.choices(range(pairs), cum_weights=weights, k=k)}
            )
        ]
        for k in (rng.randint(1, 8) for _ in range(1_500))
    ]

    async def buy(start: int) -> list[wire.BatchResult]:
        wanted = [(f"B{n}", baskets[n]) for n in range(start, start + 30)]
        return await shop.reserve(f"call-{start}", *wanted)

    calls = await asyncio.gather(*map(buy, range(0, len(baskets), 30)))
    results = [one for each in calls for one in each]
    assert set(outcomes(results)) == {"held", "refused"}
    held = Counter(
        sku
        for basket, one in zip(baskets, results, strict=True)
        if one.outcome == wire.BATCH_OUTCOME_HELD
        for _, sku, _ in basket
    )
    assert max(held.values()) == units
    await shop.stack.settle()
    rows = await shop.host.database.sql.fetch(
        "SELECT a.sku, a.held, a.free, coalesce(r.held, 0) FROM availability a LEFT JOIN"
        " (SELECT sku, sum(held)::bigint AS held FROM reserved_stock GROUP BY sku) r USING (sku)"
    )
    assert len(rows) == pairs
    for sku, promised, free, of_reservations in rows:
        assert (promised, free, of_reservations) == (held[sku], units - held[sku], held[sku])
    # A refused basket lacked something for certain.
    for basket, one in zip(baskets, results, strict=True):
        if one.outcome == wire.BATCH_OUTCOME_REFUSED:
            assert any(held[sku] == units for _, sku, _ in basket)
    assert await shop.wrong() == []


async def test_beyond_what_may_wait_calls_are_shed_and_nothing_is_recorded_of_them(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMS_STOCK_LEDGER_HOT_WAITING_LINES", "40")
    clock = Clock()
    async with running(postgres_dsn, ["stock_ledger"], clock=clock) as stack:
        shop = Shop(stack, clock)
        await shop.receive(("paris", "P1", 1_000))

        async def buy(call: int) -> int | QueueFull:
            wanted = [(f"B{call}-{n}", [("paris", "P1", 1)]) for n in range(20)]
            try:
                return outcomes(await shop.reserve(f"call-{call}", *wanted))["held"]
            except QueueFull as shed:
                return shed

        answers = await asyncio.gather(*map(buy, range(10)))
        shed = [one for one in answers if isinstance(one, QueueFull)]
        assert len(shed) == 8
        assert all(one.retry_after_ms > 0 for one in shed)
        assert await shop.level("paris", "P1") == (960, 40)


async def test_a_zombie_cannot_oversell(postgres_dsn: str) -> None:
    """Two writers: one owns the product, freezes, loses its lock, wakes and still believes."""
    clock = Clock()
    line = [("paris", "P1", 1)]
    options: dict[str, Any] = {"prefix": "zombie_", "clock": clock, "is_sole_writer": False}
    async with (
        running(postgres_dsn, ["stock_ledger"], **options) as one,
        running(postgres_dsn, ["stock_ledger"], **options) as other,
    ):
        zombie, heir = Shop(one, clock), Shop(other, clock)
        await zombie.receive(("paris", "P1", 10))
        # It owns the product, and remembers ten.
        assert outcomes(await zombie.reserve("z-1", ("Z1", line))) == {"held": 1}
        locks = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 7235003"
        [[owner]] = await heir.host.database.sql.fetch(locks)
        # While it is frozen, its connection is lost; another takes its place and sells all but 2.
        frozen = vars(zombie.host)["_ownership"]
        believed, closed = vars(frozen)["_owned"].copy(), vars(frozen)["_connection"]
        await execute(postgres_dsn, "SELECT pg_terminate_backend($1)", owner)
        await eventually(closed.is_closed)
        results = await heir.reserve("h-1", *[(f"H{n}", line) for n in range(7)])
        assert outcomes(results) == {"held": 7}
        [[heir_pid]] = await heir.host.database.sql.fetch(locks)
        assert heir_pid != owner
        # Woken up, it has not noticed: it believes that it owns, and that nine are free.
        vars(frozen)["_owned"] = believed
        vars(frozen)["_connection"] = SimpleNamespace(is_closed=lambda: False)
        results = await zombie.reserve("z-2", *[(f"Z{n}", line) for n in range(2, 7)])
        assert outcomes(results) == {"held": 2, "refused": 3}
        assert outcomes(await heir.reserve("h-2", ("H9", line))) == {"refused": 1}
        vars(frozen)["_connection"] = None
        assert await zombie.level("paris", "P1") == (0, 10)
        assert await zombie.wrong() == []


async def test_two_processes_sell_one_product_at_the_same_time(postgres_dsn: str) -> None:
    clock = Clock()
    options: dict[str, Any] = {"prefix": "twoshops_", "clock": clock, "is_sole_writer": False}
    async with (
        running(postgres_dsn, ["stock_ledger"], **options) as one,
        running(postgres_dsn, ["stock_ledger"], **options) as other,
    ):
        shops = Shop(one, clock), Shop(other, clock)
        await shops[0].receive(("paris", "P1", 150))

        async def buy(call: int) -> list[wire.BatchResult]:
            wanted = [(f"B{call}-{n}", [("paris", "P1", 1)]) for n in range(20)]
            while True:
                try:
                    return await shops[call % 2].reserve(f"call-{call}", *wanted)
                except ConcurrentAppend:  # told to come again; the ids make it count once
                    await asyncio.sleep(0.01)

        results = [one for each in await asyncio.gather(*map(buy, range(20))) for one in each]
        assert outcomes(results) == {"held": 150, "refused": 250}
        assert await shops[0].level("paris", "P1") == (0, 150)
        assert await shops[0].wrong() == []


async def test_a_cold_load_of_a_long_stream_reads_what_follows_its_closed_book(
    postgres_dsn: str,
) -> None:
    clock = Clock()
    stream = f"{TENANT}/stock-paris|P1"
    async with running(postgres_dsn, ["stock_ledger"], prefix="books_", clock=clock) as stack:
        shop = Shop(stack, clock)
        await shop.receive(*[("paris", "P1", n) for n in range(1, 260)])
        await shop.reserve("call-1", *[(f"B{n}", [("paris", "P1", 2)]) for n in range(300)])

        async def closed() -> int:
            found = await shop.host.database.sql.fetchval(
                "SELECT originator_version FROM closed_books WHERE originator_id = $1", stream
            )
            return int(found or 0)

        await eventually(closed)
        assert await closed() >= 256
        log = await shop.host.database.sql.fetchval(
            "SELECT max(originator_version) FROM events WHERE originator_id = $1", stream
        )
        assert await shop.wrong() == []
    async with running(postgres_dsn, ["stock_ledger"], prefix="books_", clock=clock) as stack:
        shop = Shop(stack, clock)
        # What the book covers is not read: were it, this would be a fault.
        owner = with_database(postgres_dsn, "books_stock_ledger")
        await execute(
            owner,
            "UPDATE events SET topic = 'unknown.v1' WHERE originator_id = $1"
            " AND originator_version <= 256",
            stream,
        )
        [repeat, new] = await shop.reserve(
            "call-2", ("B7", [("paris", "P1", 2)]), ("C", [("paris", "P1", 1)])
        )
        assert (repeat.outcome, new.outcome) == (wire.BATCH_OUTCOME_HELD,) * 2
        version = await shop.host.database.sql.fetchval(
            "SELECT max(originator_version) FROM events WHERE originator_id = $1", stream
        )
        assert version == log + 1
        await execute(
            owner,
            "UPDATE events SET topic = 'stock.entry_posted.v1' WHERE originator_id = $1",
            stream,
        )
        assert await shop.level("paris", "P1") == (259 * 260 // 2 - 601, 601)
        assert await shop.wrong() == []
        # A book that was tampered with is told; without any, everything is as before.
        await execute(
            owner,
            "UPDATE closed_books SET state = convert_to(replace(convert_from(state, 'UTF8'),"
            " '\"free\":', '\"free\":1'), 'UTF8')",
        )
        assert any("closed book" in one for one in await shop.wrong())
        await execute(owner, "DELETE FROM closed_books")
        assert await shop.wrong() == []
