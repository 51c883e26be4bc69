"""What the same call costs with nothing of ours behind it: a bare grpc.aio server of its own.

``python -m tests.bench.bare``      answers GetAvailability with what was asked for (echo)
``python -m tests.bench.bare DSN``  answers it with one SELECT on one connection, and Reserve with
                                    one conditional UPDATE of all lines, durable when it returns
"""

import asyncio
import random  # noqa: TID251 - seeded load
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, override

import asyncpg
import grpc.aio
import uvloop
from oms.stock_ledger.v1 import stock_ledger_service_pb2 as wire
from oms.stock_ledger.v1 import stock_ledger_service_pb2_grpc as rpc

from services.kernel.main.collector import calm_collector

CONNECTIONS = 8
_DEADLOCK_TRIES = 10

_TABLE = """
DROP TABLE IF EXISTS bare_stock;
CREATE TABLE bare_stock (
    site_id text, sku text, free bigint NOT NULL, version int NOT NULL,
    PRIMARY KEY (site_id, sku)
) WITH (fillfactor = 50)
"""


class Bare(rpc.StockLedgerServiceServicer):
    def __init__(self, reading: asyncpg.Connection | None, pool: asyncpg.Pool | None) -> None:
        self._reading = reading
        self._pool = pool
        self._one_at_a_time = asyncio.Lock()

    @override
    async def GetAvailability(
        self, request: wire.GetAvailabilityRequest, context: Any
    ) -> wire.GetAvailabilityResponse:
        rows: Sequence[Any] = [(pair.site_id, pair.sku, 1, 1) for pair in request.pairs]
        if self._reading is not None:
            async with self._one_at_a_time:
                rows = await self._reading.fetch(
                    "SELECT site_id, sku, free, version FROM bare_stock"
                    " JOIN unnest($1::text[], $2::text[]) AS w (site_id, sku) USING (site_id, sku)",
                    *([row[0] for row in rows], [row[1] for row in rows]),
                )
        return wire.GetAvailabilityResponse(
            levels=[
                wire.StockLevel(site_id=row[0], sku=row[1], free=row[2], version=row[3])
                for row in rows
            ]
        )

    @override
    async def AskAvailability(
        self, request_iterator: AsyncIterator[wire.AskAvailabilityRequest], context: Any
    ) -> AsyncIterator[wire.AskAvailabilityResponse]:
        async for asked in request_iterator:
            answer = await self.GetAvailability(asked.question, context)
            yield wire.AskAvailabilityResponse(levels=answer.levels)

    @override
    async def Reserve(self, request: wire.ReserveRequest, context: Any) -> wire.ReserveResponse:
        assert self._pool is not None
        columns: tuple[Any, ...] = (
            [line.site_id for line in request.lines],
            [line.sku for line in request.lines],
            [line.quantity for line in request.lines],
        )
        for _ in range(_DEADLOCK_TRIES):
            try:
                async with self._pool.acquire() as connection, connection.transaction():
                    done = await connection.execute(
                        "UPDATE bare_stock AS s SET free = free - w.quantity, version = version + 1"
                        " FROM unnest($1::text[], $2::text[], $3::bigint[])"
                        " AS w (site_id, sku, quantity)"
                        " WHERE (s.site_id, s.sku) = (w.site_id, w.sku) AND s.free >= w.quantity",
                        *columns,
                    )
                if done != f"UPDATE {len(request.lines)}":
                    await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "out of stock")
                return wire.ReserveResponse(reservation_id=request.reservation_id)
            except asyncpg.DeadlockDetectedError:
                continue
        raise RuntimeError("deadlock after deadlock")


async def serve(dsn: str) -> None:
    """Serve until killed; print the port."""
    server = grpc.aio.server()
    reading = await asyncpg.connect(dsn) if dsn else None
    pool = (
        await asyncpg.create_pool(dsn, min_size=CONNECTIONS, max_size=CONNECTIONS) if dsn else None
    )
    bench: Any = Bare  # most of its methods stay unimplemented
    rpc.add_StockLedgerServiceServicer_to_server(bench(reading, pool), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


@asynccontextmanager
async def bare(dsn: str = "") -> AsyncIterator[Any]:
    """Run such a server for the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.bare", *([dsn] if dsn else [])),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield rpc.StockLedgerServiceStub(channel)
    finally:
        process.kill()
        await process.wait()


async def fill(dsn: str, sites: int, skus: int, units: int) -> None:
    """Make the table that the bare server reads and writes."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(_TABLE)
        await connection.execute(
            "INSERT INTO bare_stock SELECT 'S' || s, 'P' || p, $3, 1"
            " FROM generate_series(1, $1::int) AS s, generate_series(1, $2::int) AS p",
            *(sites, skus, units),
        )
    finally:
        await connection.close()


def questions(
    sites: int, skus: int, pairs: int, count: int = 500
) -> list[wire.GetAvailabilityRequest]:
    """Return seeded questions, made beforehand: clients share the machine with the server."""
    rng = random.Random(1)  # noqa: S311 - seeded load
    return [
        wire.GetAvailabilityRequest(
            pairs=[
                wire.SiteSku(site_id=f"S{rng.randint(1, sites)}", sku=f"P{rng.randint(1, skus)}")
                for _ in range(pairs)
            ]
        )
        for _ in range(count)
    ]


if __name__ == "__main__":
    calm_collector()  # as what it is compared with
    uvloop.run(serve(*sys.argv[1:] or [""]))
