"""The past of the stock ledger: one question about a long stream, and a large image."""

import asyncio
import contextlib
import random  # noqa: TID251 - seeded load
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from oms.stock_ledger.v1 import stock_ledger_service_pb2 as wire

from services.kernel.application.clock import SystemClock
from services.kernel.application.work import Sql, Work
from services.kernel.domain.messages import Cause, stream_id
from services.kernel.entrypoints.calls import CALLER, Caller
from services.kernel.main.collector import calm_collector
from services.stock_ledger.application.handlers import Reservations
from services.stock_ledger.application.recording import record
from services.stock_ledger.domain.stock_commands import Movement, Receive, SellAtTill
from services.stock_ledger.domain.stock_item import stock_key
from services.stock_ledger.entrypoints.grpc_server import StockLedgerGrpc
from services.stock_ledger.read_models.availability import alternatives
from services.stock_ledger.read_models.past import levels
from tests.bench.result import Result, percentile, tell
from tests.support.stack import TENANT, Stack, running

ENTRIES = 10_000
PAIRS = 100_000
_QUESTIONS = 300
_NAIVE_QUESTIONS = 20
_AS_OF_TARGET_MS = 10
_IMAGE_TARGET_S = 20
_BATCH = 1_000
_CLIENTS = 4
_MOST_WAITS = 20
_NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)

type Ask = Callable[[datetime], Awaitable[object]]


async def as_of(postgres_dsn: str) -> AsyncIterator[Result]:
    """What was on hand at a time, of one product at one site with 10,000 entries.

    Reported in the order in which they occurred, and in any order. Reference: a fold of the whole
    stream, read and decoded for the question.
    """
    rng = random.Random(5)  # noqa: S311 - seeded load
    async with running(postgres_dsn, ["stock_ledger"]) as stack:
        sql = stack["stock_ledger"].database.sql
        for sku, order in (("tidy", "in order"), ("untidy", "any order")):
            tell(f"as_of: {ENTRIES} entries, {order}")
            minutes = list(range(ENTRIES))
            if sku == "untidy":
                rng.shuffle(minutes)
            await _post(stack, sku, minutes)
            recorded = await _recorded(sql, sku)

            async def quick(at: datetime, sku: str = sku) -> object:
                return await levels(sql, TENANT, [("paris", sku)], at, None)

            async def known(at: datetime, sku: str = sku, times: Any = recorded) -> object:
                return await levels(sql, TENANT, [("paris", sku)], at, rng.choice(times))

            async def naive(at: datetime, sku: str = sku) -> object:
                return await _folded(stack, sku, at)

            reference = percentile(await _timed(naive, rng, _NAIVE_QUESTIONS), 0.5) * 1000
            for clocks, ask in (("as_of", quick), ("as_of and known_at", known)):
                taken = await _timed(ask, rng, _QUESTIONS)
                for share in (0.5, 0.99):
                    yield Result(
                        "as_of",
                        percentile(taken, share) * 1000,
                        "ms",
                        reference="fold of the stream, median",
                        reference_value=reference,
                        target=_AS_OF_TARGET_MS,
                        is_less_better=True,
                        params={
                            "entries": ENTRIES,
                            "occurred": order,
                            "clocks": clocks,
                            "percentile": share * 100,
                        },
                    )


async def _post(stack: Stack, sku: str, minutes: Sequence[int]) -> None:
    key = stock_key("paris", sku)
    for start in range(0, len(minutes), 500):
        movements: list[tuple[str, Movement]] = []
        for n, minute in enumerate(minutes[start : start + 500], start):
            at = _NOON + timedelta(minutes=minute - ENTRIES)
            sold = SellAtTill(1, f"t{n}", at)
            movements.append((key, sold if n % 10 else Receive(12, f"n{n}", at)))
        cause = Cause(TENANT, f"{sku}-{start}")
        await stack["stock_ledger"].runner.execute(cause, _recording(movements))
    await stack.settle()


def _recording(movements: Sequence[tuple[str, Movement]]) -> Callable[[Work], Awaitable[object]]:
    return lambda work: record(work, movements)


async def _recorded(sql: Sql, sku: str) -> list[datetime]:
    rows = await sql.fetch(
        "SELECT DISTINCT recorded_at FROM events WHERE originator_id = $1",
        stream_id(TENANT, "stock", stock_key("paris", sku)),
    )
    return [row[0] for row in rows]


async def _folded(stack: Stack, sku: str, at: datetime) -> int:
    host = stack["stock_ledger"]
    rows = await host.database.sql.fetch(
        "SELECT topic, state FROM events WHERE originator_id = $1 ORDER BY originator_version",
        stream_id(TENANT, "stock", stock_key("paris", sku)),
    )
    entries = [host.service.codec.decode(topic, state) for topic, state in rows]
    return sum(
        posting.quantity
        for entry in entries
        for posting in entry.postings
        if entry.occurred_at <= at and posting.account == "free"
    )


async def _timed(ask: Ask, rng: random.Random, count: int) -> list[float]:
    taken = []
    for _ in range(count):
        at = _NOON - timedelta(minutes=rng.randrange(ENTRIES))
        started = time.perf_counter()
        await ask(at)
        taken.append(time.perf_counter() - started)
    return taken


async def image(postgres_dsn: str) -> AsyncIterator[Result]:
    """An image of 100,000 pairs of which half have moved since: call to answer, all durable."""
    CALLER.set(Caller(TENANT, "bench", frozenset({"stock:write"}), "bench", ""))
    async with running(postgres_dsn, ["stock_ledger"]) as stack:
        host = stack["stock_ledger"]
        grpc = StockLedgerGrpc(
            host.runner,
            host.reader,
            SystemClock(),
            Reservations(timedelta(minutes=15), alternatives),
        )
        tell("image: stocking half of the pairs")
        await _all(grpc.ReceiveStock, [_received(n) for n in range(0, PAIRS // 2, _BATCH)])
        await _settled(stack)
        calm_collector()
        tell(f"image: {PAIRS} pairs")
        started = time.perf_counter()
        await _all(grpc.PostImages, [_image(n) for n in range(0, PAIRS, _BATCH)])
        yield Result(
            "image",
            time.perf_counter() - started,
            "s",
            target=_IMAGE_TARGET_S,
            is_less_better=True,
            params={"pairs": PAIRS, "moved_since": PAIRS // 2, "clients": _CLIENTS},
        )


async def _settled(stack: Stack) -> None:
    """Wait until what was posted before has had its effect, however long that takes."""
    for _ in range(_MOST_WAITS):
        with contextlib.suppress(TimeoutError):
            await stack.settle()
            return
    raise TimeoutError("the read models do not catch up")


async def _all(call: Callable[[Any, Any], Awaitable[Any]], requests: Sequence[Any]) -> None:
    async def client(number: int) -> None:
        for request in requests[number::_CLIENTS]:
            answer = await call(request, None)
            if any(row.status != wire.ROW_STATUS_RECORDED for row in answer.results):
                raise RuntimeError(f"a row was not recorded: {answer.results[0]}")

    await asyncio.gather(*(client(number) for number in range(_CLIENTS)))


def _received(first: int) -> wire.ReceiveStockRequest:
    request = wire.ReceiveStockRequest(request_id=f"receive-{first}")
    for n in range(first, first + _BATCH):
        row = request.rows.add(site_id=f"S{n % 20}", sku=f"P{n // 20}", quantity=9, source_id="n")
        row.occurred_at.FromDatetime(_NOON + timedelta(minutes=1))
    return request


def _image(first: int) -> wire.PostImagesRequest:
    request = wire.PostImagesRequest(
        request_id=f"image-{first}",
        kind=wire.IMAGE_KIND_IMAGE,
        basis=wire.IMAGE_BASIS_PHYSICAL,
        is_picked_included=True,
    )
    request.occurred_at.FromDatetime(_NOON)
    for n in range(first, first + _BATCH):
        request.rows.add(site_id=f"S{n % 20}", sku=f"P{n // 20}", quantity=n % 7, source_id="w")
    return request
