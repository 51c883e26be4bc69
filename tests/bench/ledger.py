"""The stock ledger alone in a process of its own, behind its guard, at the server of a DSN."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc.aio
import uvloop

from services.kernel.adapters.telemetry import TELEMETRY
from services.kernel.entrypoints.grpc_limits import Limits, ServiceToken
from services.kernel.entrypoints.grpc_server import grpc_server
from services.kernel.main.collector import calm_collector
from tests.support.stack import TENANT, running

_TOKEN = "only-for-the-bench-0123456789abcdef"  # noqa: S105 - of a server that lives for one run
METADATA = (("authorization", f"Bearer {_TOKEN}"), ("x-oms-tenant", TENANT))


async def serve(postgres_dsn: str) -> None:
    """Serve until killed; print the port and the name of the database."""
    nobody: Any = None
    async with running(postgres_dsn, ["stock_ledger"]) as stack:
        host = stack["stock_ledger"]
        server = grpc_server(
            [host.service],
            authenticator=nobody,
            telemetry=TELEMETRY,
            limits=Limits(concurrent_calls=1_024),
            service_token=ServiceToken(_TOKEN, frozenset({"stock:read", "stock:write"})),
        )
        port = await server.start("127.0.0.1:0")
        name = await host.database.sql.fetchval("SELECT current_database()")
        calm_collector()
        print(port, name, flush=True)
        await asyncio.Event().wait()


@asynccontextmanager
async def ledger(
    postgres_dsn: str, connections: int
) -> AsyncIterator[tuple[Sequence[grpc.aio.Channel], str]]:
    """Run it for the block; yield channels, each a connection, and its database's name."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.ledger", postgres_dsn), stdout=asyncio.subprocess.PIPE
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(process.wait)
        stack.callback(process.kill)
        assert process.stdout is not None
        port, name = (await process.stdout.readline()).decode().split()
        channels = [
            await stack.enter_async_context(
                grpc.aio.insecure_channel(
                    f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)]
                )
            )
            for _ in range(connections)
        ]
        yield channels, name


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
