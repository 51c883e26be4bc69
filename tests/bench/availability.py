"""Reads: asking for stock over gRPC, eight clients."""

import asyncio
import itertools
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc.aio
from oms.stock_ledger.v1 import stock_ledger_service_pb2 as wire
from oms.stock_ledger.v1 import stock_ledger_service_pb2_grpc as rpc

from tests.bench.bare import bare, fill, questions
from tests.bench.result import Result, tell
from tests.support.embedded import embedded

SITES, SKUS = 3, 300
CLIENTS = 8
_CALLS = {1: 6_000, 100: 1_600, 1_000: 400}
_TARGETS = {1: 2_000, 100: 200_000, 1_000: 200_000}
_STREAMED, _STREAMED_TARGET = 15_000, 5_000
_ROUNDS = 3

type Ask = Callable[[Any, Sequence[Any], Any, int], Awaitable[float]]


async def availability(postgres_dsn: str) -> AsyncIterator[Result]:
    """Ask for 1, 100 or 1,000 pairs of (site, sku) in a call, and for one on an open stream.

    References, called by the same clients, round by round in turn with ours: a bare grpc.aio
    server that echoes (what the transport takes), and one that does one SELECT per call.
    """
    await fill(postgres_dsn, SITES, SKUS, 100)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        async with (
            embedded(Path(folder) / "data") as system,
            bare() as echo,
            bare(postgres_dsn) as select,
            grpc.aio.insecure_channel(system.grpc_address) as channel,
        ):
            await system.api().load_chain(SITES, SKUS, 100)
            await asyncio.sleep(2)
            ours = rpc.StockLedgerServiceStub(channel)
            key = (("authorization", f"Bearer {system.key}"),)
            stubs = (("ours", ours), ("echo", echo), ("select", select))
            for pairs, calls in _CALLS.items():
                asked = questions(SITES, SKUS, pairs)
                rates = await _rates(_asked, stubs, asked, key, calls, f"{pairs} pairs a call")
                for result in _results(rates, pairs, _TARGETS[pairs], "gRPC"):
                    yield result
            asked = questions(SITES, SKUS, 1)
            rates = await _rates(_streamed, stubs, asked, key, _STREAMED, "one by one on streams")
            for result in _results(rates, 1, _STREAMED_TARGET, "gRPC, one stream per client"):
                yield result


async def _rates(
    ask: Ask,
    stubs: Sequence[tuple[str, Any]],
    asked: Sequence[Any],
    key: Any,
    calls: int,
    what: str,
) -> dict[str, float]:
    """Return calls/s of each stub: the median of the rounds, in which they take turns."""
    rates: dict[str, list[float]] = {name: [] for name, _ in stubs}
    for turn in range(_ROUNDS):
        tell(f"availability: {what}, round {turn + 1} of {_ROUNDS}")
        for name, stub in stubs:
            await ask(stub, asked, key, 200)
            rates[name].append(await ask(stub, asked, key, calls // _ROUNDS))
    return {name: _median(found) for name, found in rates.items()}


def _results(rates: dict[str, float], pairs: int, target: int, transport: str) -> Iterator[Result]:
    for name, reference in (
        ("echo", "bare grpc.aio echo"),
        ("select", "bare grpc.aio, one SELECT per call on one connection"),
    ):
        yield Result(
            "availability",
            rates["ours"] * pairs,
            "reads/s",
            reference=reference,
            reference_value=rates[name] * pairs,
            target=target,
            params={"pairs_per_call": pairs, "concurrency": CLIENTS, "transport": transport},
        )


async def _asked(stub: Any, asked: Sequence[Any], key: Any, calls: int) -> float:
    """Return calls/s."""
    each = max(calls // CLIENTS, 1)

    async def client(number: int) -> None:
        start = number * 61 % len(asked)
        for request in itertools.islice(itertools.cycle(asked), start, start + each):
            await stub.GetAvailability(request, metadata=key)

    started = time.perf_counter()
    await asyncio.gather(*map(client, range(CLIENTS)))
    return each * CLIENTS / (time.perf_counter() - started)


async def _streamed(stub: Any, asked: Sequence[Any], key: Any, calls: int) -> float:
    """Return answers/s: every client has a stream, and asks when it has the answer before."""
    each = max(calls // CLIENTS, 1)
    wrapped = [wire.AskAvailabilityRequest(question=request) for request in asked]

    async def client(number: int) -> None:
        start = number * 61 % len(wrapped)
        stream = stub.AskAvailability(metadata=key)
        for request in itertools.islice(itertools.cycle(wrapped), start, start + each):
            await stream.write(request)
            answer = await stream.read()
            assert len(answer.levels) == 1
        await stream.done_writing()

    started = time.perf_counter()
    await asyncio.gather(*map(client, range(CLIENTS)))
    return each * CLIENTS / (time.perf_counter() - started)


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
