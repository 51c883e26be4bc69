"""Reads: asking for stock over gRPC, eight clients."""

import asyncio
import itertools
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc.aio
from oms.stock_ledger.v1 import stock_ledger_service_pb2_grpc as rpc

from tests.bench.bare import bare, fill, questions
from tests.bench.result import Result, tell
from tests.support.embedded import embedded

SITES, SKUS = 3, 300
CLIENTS = 8
_CALLS = {1: 6_000, 100: 1_600, 1_000: 400}
_TARGETS = {1: 2_000, 100: 200_000, 1_000: 200_000}
_ROUNDS = 3


async def availability(postgres_dsn: str) -> AsyncIterator[Result]:
    """Ask for 1, 100 or 1,000 pairs of (site, sku) in a call.

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
            for pairs, calls in _CALLS.items():
                asked = questions(SITES, SKUS, pairs)
                rates: dict[str, list[float]] = {"ours": [], "echo": [], "select": []}
                for turn in range(_ROUNDS):
                    tell(f"availability: {pairs} pairs a call, round {turn + 1} of {_ROUNDS}")
                    for name, stub in (("ours", ours), ("echo", echo), ("select", select)):
                        await _asked(stub, asked, key, 200)
                        rates[name].append(await _asked(stub, asked, key, calls // _ROUNDS))
                for name, reference in (
                    ("echo", "bare grpc.aio echo"),
                    ("select", "bare grpc.aio, one SELECT per call on one connection"),
                ):
                    yield Result(
                        "availability",
                        _median(rates["ours"]) * pairs,
                        "reads/s",
                        reference=reference,
                        reference_value=_median(rates[name]) * pairs,
                        target=_TARGETS[pairs],
                        params={
                            "pairs_per_call": pairs,
                            "concurrency": CLIENTS,
                            "transport": "gRPC",
                        },
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


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
