"""The platform's three questions, over real HTTP."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from services.kernel.adapters.telemetry import Metrics
from services.kernel.entrypoints.health import Condition, HealthEndpoint, Heartbeat


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


async def broken() -> bool:
    raise ConnectionResetError


async def never() -> bool:
    await asyncio.sleep(60)
    return True


@asynccontextmanager
async def served(
    ready: dict[str, Condition] | None = None, condition_s: float = 0.1, **options: Any
) -> AsyncIterator[tuple[HealthEndpoint, httpx.AsyncClient, int]]:
    metrics = Metrics()
    endpoint = HealthEndpoint(
        ready=ready or {}, metrics=metrics.exposition, condition_s=condition_s, **options
    )
    port = await endpoint.start("127.0.0.1", 0, metrics.loop_lag_seconds.set)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        yield endpoint, client, port
    await endpoint.stop()


async def test_ready_only_when_every_condition_holds() -> None:
    for conditions, status, body in (
        ({}, 200, {"serving": True}),
        ({"database": yes}, 200, {"serving": True, "database": True}),
        (
            {"database": yes, "schema": no},
            503,
            {"serving": True, "database": True, "schema": False},
        ),
        ({"database": broken}, 503, {"serving": True, "database": False}),
        ({"database": never}, 503, {"serving": True, "database": False}),
    ):
        async with served(dict(conditions)) as (_, client, _):
            answer = await client.get("/ready")
            assert (answer.status_code, answer.json()) == (status, body)


async def test_draining_makes_unready_but_not_dead() -> None:
    async with served({"database": yes}) as (endpoint, client, _):
        endpoint.drain()
        assert (await client.get("/ready")).status_code == 503
        assert (await client.get("/live")).status_code == 200


async def test_live_asks_no_dependency() -> None:
    asked: list[str] = []

    async def database() -> bool:
        asked.append("database")
        return True

    async with served({"database": database}) as (_, client, _):
        assert (await client.get("/live")).status_code == 200
        assert asked == []
        assert (await client.get("/ready")).status_code == 200
        assert asked == ["database"]


async def test_dead_when_consumers_make_no_progress() -> None:
    async with served(alive=lambda: False) as (_, client, _):
        assert (await client.get("/live")).status_code == 503


async def test_a_loop_that_stood_still_is_dead_until_it_beats_again() -> None:
    late: list[float] = []
    heartbeat = Heartbeat(every_s=0.01, dead_after_s=0.1, report=late.append)
    beating = asyncio.create_task(heartbeat.beat())
    await asyncio.sleep(0.05)
    assert heartbeat.is_alive()
    time.sleep(0.15)  # noqa: ASYNC251 - this is the fault
    assert not heartbeat.is_alive()
    await asyncio.sleep(0.03)
    assert heartbeat.is_alive()
    assert max(late) > 0.1
    beating.cancel()


async def test_metrics_come_in_prometheus_format() -> None:
    async with served() as (_, client, _):
        answer = await client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        assert "# TYPE oms_rpc_seconds histogram" in answer.text
        assert "oms_loop_lag_seconds" in answer.text


async def test_everything_else_is_refused() -> None:
    async with served() as (_, client, port):
        assert (await client.get("/")).status_code == 404
        assert (await client.post("/live")).status_code == 405
        assert (await client.head("/ready")).status_code == 200
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x" * 20_000 + b"\r\n\r\n")
        assert await reader.read() == b""
        writer.close()


async def test_many_probes_at_once_are_answered() -> None:
    async with served({"database": yes}, condition_s=10) as (_, client, _):
        answers = await asyncio.gather(*(client.get("/ready") for _ in range(20)))
        assert {json.dumps(one.json()) for one in answers} == {
            '{"serving": true, "database": true}'
        }
