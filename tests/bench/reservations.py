"""Hot products: many buyers of one pair, and many baskets over many pairs."""

import asyncio
import itertools
import random  # noqa: TID251 - seeded load
import secrets
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import asyncpg
import grpc.aio
from oms.stock_ledger.v1 import hot_stock_service_pb2 as wire
from oms.stock_ledger.v1 import stock_ledger_service_pb2 as stock
from oms.stock_ledger.v1.hot_stock_service_pb2_grpc import HotStockServiceStub
from oms.stock_ledger.v1.stock_ledger_events_pb2 import StockLine
from oms.stock_ledger.v1.stock_ledger_service_pb2_grpc import StockLedgerServiceStub

from services.kernel.adapters.database import with_database
from tests.bench.bare import fill
from tests.bench.ledger import METADATA, ledger
from tests.bench.result import Result, percentile, tell

IN_FLIGHT, CONNECTIONS, MOST_PER_CALL = 512, 4, 128
_UNITS, _BUYERS = 10_000, 50_000
_REFERENCE_UNITS, _REFERENCE_BUYERS, _REFERENCE_POOL = 2_000, 10_000, 32
_PAIRS, _BASKETS, _SKEW, _MOST_LINES = 20_000, 30_000, 1.1, 8
_RATE_TARGET, _RATIO_TARGET, _P99_TARGET_MS = 20_000, 10, 50

type Lines = Sequence[tuple[str, str, int]]
type Buy = Callable[[int], Awaitable[bool]]


@dataclass
class Platform:
    """The shop's front: buyers who come at the same time share a call, each waits for his own."""

    channels: Sequence[grpc.aio.Channel]
    waiting: deque[tuple[wire.BatchReservation, "asyncio.Future[wire.BatchResult]"]] = field(
        default_factory=deque
    )
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _ids: "itertools.count[int]" = field(default_factory=itertools.count)
    _run: str = field(default_factory=lambda: secrets.token_hex(4))

    async def reserve(self, wanted: wire.BatchReservation) -> wire.BatchResult:
        answer: asyncio.Future[wire.BatchResult] = asyncio.get_running_loop().create_future()
        self.waiting.append((wanted, answer))
        self._woken.set()
        return await answer

    async def carry(self, channel: grpc.aio.Channel) -> None:
        """Carry calls over one connection, one at a time, until cancelled."""
        stub = HotStockServiceStub(channel)
        while True:
            batch = [self.waiting.popleft() for _ in range(min(MOST_PER_CALL, len(self.waiting)))]
            if not batch:
                self._woken.clear()
                await self._woken.wait()
                continue
            request = wire.ReserveBatchRequest(
                request_id=f"call-{self._run}-{next(self._ids)}",
                reservations=[one for one, _ in batch],
            )
            response = await stub.ReserveBatch(request, metadata=METADATA, timeout=30)
            for (_, answer), result in zip(batch, response.results, strict=True):
                answer.set_result(result)


async def reservations(postgres_dsn: str) -> AsyncIterator[Result]:
    """50,000 buyers of 10,000 units, 512 of them waiting at any time; then baskets over many pairs.

    Once through a platform that carries them over four connections, once over 512 of their own.

    Reference: one conditional UPDATE of the pair's row per buyer, on disk when it returns, by 512
    buyers over a pool of 32 connections; no events, no idempotence, no expiry, no network but the
    database's.
    """
    reference = await _by_update(postgres_dsn)
    tell(f"reservations: one UPDATE each, {reference[0]:.0f}/s")
    async with ledger(postgres_dsn, IN_FLIGHT) as (channels, name):
        dsn = with_database(postgres_dsn, name)
        few = channels[:CONNECTIONS]
        platform = Platform(few)
        carriers = [asyncio.create_task(platform.carry(channel)) for channel in few]
        try:
            await receive(channels[0], [("hot", f"P{n}", units) for n, units in _SALES.items()])
            await _sale(platform, 0, 5_000)
            for sale, (case, buyers) in enumerate(_CASES, 1):
                rate, latencies, held = await _sale(platform, sale, buyers)
                sold = min(buyers, _SALES[sale])
                if held != sold:
                    raise RuntimeError(f"{held} sold of {sold}")
                await _expect_settled(dsn, f"P{sale}", _SALES[sale] - sold, sold)
                for result in _results(case, buyers, rate, latencies, reference):
                    yield result
            for result in await _each_by_himself(channels, dsn):
                yield result
            async for result in _baskets(platform, channels[0], dsn):
                yield result
        finally:
            for carrier in carriers:
                carrier.cancel()


_SALES = {0: 10_000, 1: _UNITS, 2: 1_000_000, 3: _UNITS}
_CASES = (("10,000 units for 50,000 buyers", _BUYERS), ("enough for everybody", 20_000))


def _wanted(reservation_id: str, lines: Lines) -> wire.BatchReservation:
    """Return what a buyer asks for, made beforehand: clients share the machine with the server."""
    return wire.BatchReservation(
        reservation_id=reservation_id,
        lines=[StockLine(site_id=s, sku=k, quantity=q) for s, k, q in lines],
    )


async def _sale(platform: Platform, sale: int, buyers: int) -> tuple[float, list[float], int]:
    held = 0

    wanted = [_wanted(f"S{sale}-{n}", [("hot", f"P{sale}", 1)]) for n in range(buyers)]

    async def buy(n: int) -> bool:
        nonlocal held
        answer = await platform.reserve(wanted[n])
        held += answer.outcome == wire.BATCH_OUTCOME_HELD
        return True

    rate, latencies = await _crowd(buy, buyers)
    return rate, latencies, held


async def _each_by_himself(channels: Sequence[grpc.aio.Channel], dsn: str) -> list[Result]:
    """The same sale without a platform: 512 connections, on each one buyer at a time, in a call."""
    sale, held = 3, 0
    tell(f"reservations: {_BUYERS} buyers over {len(channels)} connections")
    free = deque([HotStockServiceStub(channel) for channel in channels])

    async def buy(n: int) -> bool:
        nonlocal held
        stub = free.popleft()
        request = wire.ReserveBatchRequest(
            request_id=f"alone-{n}",
            reservations=[_wanted(f"S{sale}-{n}", [("hot", f"P{sale}", 1)])],
        )
        response = await stub.ReserveBatch(request, metadata=METADATA, timeout=30)
        free.append(stub)
        held += response.results[0].outcome == wire.BATCH_OUTCOME_HELD
        return True

    rate, latencies = await _crowd(buy, _BUYERS)
    if held != _UNITS:
        raise RuntimeError(f"{held} sold of {_UNITS}")
    await _expect_settled(dsn, f"P{sale}", 0, _UNITS)
    params = {
        "case": "10,000 units for 50,000 buyers, a connection each, one reservation a call",
        "buyers": _BUYERS,
        "in_flight": IN_FLIGHT,
        "connections": len(channels),
        "most_per_call": 1,
    }
    p99 = percentile(latencies, 0.99) * 1000
    return [
        Result("reservations", rate, "reservations/s", params=params),
        Result("reservations", p99, "ms", params=params | {"percentile": 99}),
    ]


async def _crowd(buy: Buy, buyers: int) -> tuple[float, list[float]]:
    """Let everybody buy once, 512 of them at any time; return buyers/s and latencies in s."""
    latencies: list[float] = []
    numbers = iter(range(buyers))

    async def one_after_the_other() -> None:
        for n in numbers:
            started = time.perf_counter()
            await buy(n)
            latencies.append(time.perf_counter() - started)

    started = time.perf_counter()
    await asyncio.gather(*(one_after_the_other() for _ in range(IN_FLIGHT)))
    return buyers / (time.perf_counter() - started), latencies


def _results(
    case: str,
    buyers: int,
    rate: float,
    latencies: Sequence[float],
    reference: tuple[float, Sequence[float]],
) -> list[Result]:
    is_judged = buyers == _BUYERS
    params = {
        "case": case,
        "buyers": buyers,
        "in_flight": IN_FLIGHT,
        "connections": CONNECTIONS,
        "most_per_call": MOST_PER_CALL,
    }
    beside = "one conditional UPDATE per reservation, asyncpg"
    return [
        Result(
            "reservations",
            rate,
            "reservations/s",
            target=_RATE_TARGET if is_judged else None,
            params=params,
        ),
        Result(
            "reservations",
            rate,
            "reservations/s",
            reference=beside,
            reference_value=reference[0],
            target=_RATIO_TARGET if is_judged else None,
            is_target_on_ratio=True,
            params=params,
        ),
        *(
            Result(
                "reservations",
                percentile(latencies, share) * 1000,
                "ms",
                reference=beside,
                reference_value=percentile(reference[1], share) * 1000,
                target=_P99_TARGET_MS if is_judged and share == 0.99 else None,
                is_less_better=True,
                params=params | {"percentile": share * 100},
            )
            for share in (0.5, 0.99)
        ),
    ]


async def _by_update(postgres_dsn: str) -> tuple[float, list[float]]:
    await fill(postgres_dsn, 1, 1, _REFERENCE_UNITS)
    sold = 0
    async with asyncpg.create_pool(
        postgres_dsn, min_size=_REFERENCE_POOL, max_size=_REFERENCE_POOL
    ) as pool:

        async def buy(_: int) -> bool:
            nonlocal sold
            done = await pool.execute(
                "UPDATE bare_stock SET free = free - 1, version = version + 1"
                " WHERE site_id = 'S1' AND sku = 'P1' AND free >= 1"
            )
            sold += done == "UPDATE 1"
            return True

        measured = await _crowd(buy, _REFERENCE_BUYERS)
    if sold != _REFERENCE_UNITS:
        raise RuntimeError(f"the reference sold {sold} of {_REFERENCE_UNITS}")
    return measured


async def receive(channel: grpc.aio.Channel, rows: Sequence[tuple[str, str, int]]) -> None:
    stub = StockLedgerServiceStub(channel)
    for start in range(0, len(rows), 1_000):
        await stub.ReceiveStock(
            stock.ReceiveStockRequest(
                request_id=f"receive-{rows[start][1]}",
                rows=[
                    stock.MovementRow(site_id=s, sku=k, quantity=q, source_id=f"note-{k}")
                    for s, k, q in rows[start : start + 1_000]
                ],
            ),
            metadata=METADATA,
            timeout=30,
        )


async def _expect_settled(dsn: str, sku: str, free: int, held: int) -> None:
    """Wait until the read models show it; whoever shows more than there is has oversold."""
    connection = await asyncpg.connect(dsn)
    try:
        async with asyncio.timeout(120):
            while True:
                shown = await connection.fetchrow(
                    "SELECT free, held, (SELECT count(*) FROM reserved_stock r"
                    " WHERE r.sku = a.sku AND r.held > 0) FROM availability a WHERE sku = $1",
                    sku,
                )
                if shown is not None and shown[0] < 0:
                    raise RuntimeError(f"oversold: {shown}")
                if shown is not None and tuple(shown) == (free, held, held):
                    return
                await asyncio.sleep(0.1)
    finally:
        await connection.close()


async def _baskets(
    platform: Platform, channel: grpc.aio.Channel, dsn: str
) -> AsyncIterator[Result]:
    """Baskets of 1 to 8 lines over 20,000 pairs; the n-th is wanted n^-1.1 times as often."""
    tell(f"reservations: {_BASKETS} baskets over {_PAIRS} pairs")
    rng = random.Random(1)  # noqa: S311 - seeded load
    weights = list(itertools.accumulate((n + 1) ** -_SKEW for n in range(_PAIRS)))
    units = 20
    await receive(channel, [("zipf", f"Z{n}", units) for n in range(_PAIRS)])
    baskets = [
        sorted(
            {
                ("zipf", f"Z{n}", 1)
                for n in rng.choices(
                    range(_PAIRS), cum_weights=weights, k=rng.randint(1, _MOST_LINES)
                )
            }
        )
        for _ in range(_BASKETS)
    ]
    outcomes: Counter[int] = Counter()
    needed: Counter[str] = Counter()

    wanted = [_wanted(f"Z-{n}", basket) for n, basket in enumerate(baskets)]

    async def buy(n: int) -> bool:
        answer = await platform.reserve(wanted[n])
        outcomes[answer.outcome] += 1
        if answer.outcome == wire.BATCH_OUTCOME_HELD:
            needed.update(sku for _, sku, _ in baskets[n])
        return True

    rate, latencies = await _crowd(buy, _BASKETS)
    if max(needed.values()) > units:
        raise RuntimeError("oversold")
    await _expect_settled_all(dsn, sum(needed.values()))
    params = {
        "case": "zipf 1.1 over 20,000 pairs, 1 to 8 lines",
        "buyers": _BASKETS,
        "held": outcomes[wire.BATCH_OUTCOME_HELD],
        "refused": outcomes[wire.BATCH_OUTCOME_REFUSED],
        "in_flight": IN_FLIGHT,
    }
    yield Result("reservations", rate, "baskets/s", params=params)
    p99 = percentile(latencies, 0.99) * 1000
    yield Result("reservations", p99, "ms", params=params | {"percentile": 99})


async def _expect_settled_all(dsn: str, held: int) -> None:
    """Wait until every line of every held basket is shown, and nothing else: no partial holds."""
    connection = await asyncpg.connect(dsn)
    try:
        async with asyncio.timeout(120):
            while True:
                [(low, shown, lines)] = await connection.fetch(
                    "SELECT min(free), sum(held), (SELECT coalesce(sum(held), 0)"
                    " FROM reserved_stock WHERE site_id = 'zipf')"
                    " FROM availability WHERE site_id = 'zipf'"
                )
                if low is not None and low < 0:
                    raise RuntimeError("oversold")
                if shown == lines == held:
                    return
                await asyncio.sleep(0.1)
    finally:
        await connection.close()
