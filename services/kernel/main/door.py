"""The gateway's door: the same for the system in one process and for a process of its own."""

import asyncio
import contextlib
import importlib
from collections.abc import Mapping

import asyncpg

from services.kernel.adapters import database as databases
from services.kernel.adapters import ports
from services.kernel.adapters.telemetry import TELEMETRY
from services.kernel.application.authenticator import Authenticator
from services.kernel.settings import KernelSettings

_GATEWAY_CONNECTIONS = 4
_DRAIN_S = 10.0


async def open_gateway(
    settings: KernelSettings,
    dsn: str,
    keys: Authenticator,
    targets: Mapping[str, str],
    stack: contextlib.AsyncExitStack,
) -> None:
    """Open the gateway; ``stack`` closes it again, once it has answered what it took.

    Args:
        settings: Address and limits.
        dsn: Of its database, as the application role.
        keys: Says whose token a call carries.
        targets: gRPC address of each service.
        stack: Whatever is pushed on it is undone in reverse.

    Raises:
        OSError: The address cannot be had.
    """
    # Had before anything else is opened, and by ourselves: the HTTP server would end the process
    # from within a task, and the rest of it would wait for ever.
    sockets = ports.bound(settings.host, settings.http_port)
    for one in sockets:
        stack.callback(one.close)
    main = importlib.import_module("services.gateway.main")
    pool = await asyncpg.create_pool(
        dsn,
        min_size=2,
        max_size=_GATEWAY_CONNECTIONS,
        timeout=settings.acquire_s,
        command_timeout=settings.statement_s,
        reset=databases.leave_session,
        server_settings=main.POOL_SETTINGS,
    )
    stack.push_async_callback(pool.close)
    gateway = main.build_gateway(targets, pool, keys, main.GatewaySettings(), TELEMETRY)
    stack.push_async_callback(gateway.close)
    draining = asyncio.Event()
    door = asyncio.create_task(main.serve(gateway.app, sockets, draining=draining))
    tasks = [asyncio.create_task(task()) for task in gateway.tasks]

    async def close() -> None:
        draining.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(door, _DRAIN_S)
        for task in tasks:
            task.cancel()

    stack.push_async_callback(close)
