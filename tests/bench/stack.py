"""The system as processes on a broker: placing orders, and how soon a customer sees them held."""

import asyncio
import random  # noqa: TID251 - seeded load
import secrets
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio
from oms.order.v1 import order_service_pb2 as orders
from oms.order.v1 import order_service_pb2_grpc as orders_rpc

from services.kernel.main.stack.state import StateFile
from tests.bench.bare import bare, fill
from tests.bench.http import Http
from tests.bench.placement import (
    LINES,
    ORDERS,
    SITES,
    SKUS,
    UNITS,
    WARM_UP,
    by_grpc,
    by_http,
    by_update,
    load,
    results,
)
from tests.bench.result import Result, percentile, tell
from tests.support.api import Api
from tests.support.on_stack import OnStack
from tests.support.stack import eventually

CONCURRENCIES = (8, 32)
_OFFERED_PER_S, _OFFERED_FOR_S = 20, 30.0
_P99_TARGET_MS = 500
_WATCH_S = 30
_SETTLES_S = 2.0
_RESERVED = orders.TIMELINE_KIND_ORDER_ACCEPTED


@asynccontextmanager
async def _stack() -> AsyncIterator[OnStack]:
    """One worker of each service, as `oms stack up` starts them, and a chain to order from."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        system = OnStack(Path(folder) / "home")
        took_s = await system.start()
        try:
            if system.caveat:
                raise RuntimeError(f"nothing is to be learned from this: {system.caveat}")
            tell(f"the stack is up after {took_s:.0f} s")
            async with system.api(retries=5) as api:
                await api.load_chain(SITES, SKUS, UNITS)
                await eventually(lambda: _is_open(api), within_s=300)
            await asyncio.sleep(_SETTLES_S)
            yield system
        finally:
            await system.stop()


async def _is_open(api: Api) -> bool:
    """Tell whether what was loaded last can be promised: the feeds have carried it everywhere."""
    choice = {"mode_id": "click_and_collect", "site_id": f"S{SITES}"}
    line = {"line_id": "1", "sku": f"P{SKUS}", "quantity": 1, "choice": choice}
    answer = await api.post("/v1/promises:quote", {"lines": [line]})
    return bool(answer.is_success and answer.json().get("promise", {}).get("is_feasible"))


def _address(system: OnStack) -> str:
    state = StateFile(system.data_home).read()
    assert state is not None
    return state.processes["order.serve"].grpc


async def stack_placement(postgres_dsn: str) -> AsyncIterator[Result]:
    """The orders of ``placement``, through twenty processes and a broker on the same machine.

    Reference: a bare grpc.aio server with one conditional UPDATE of the three rows per order, in
    a transaction that is on disk when it answers; no events, no decision, no plan, no order.
    """
    await fill(postgres_dsn, SITES, SKUS, UNITS)
    async with (
        _stack() as system,
        bare(postgres_dsn) as stub,
        grpc.aio.insecure_channel(_address(system)) as channel,
    ):
        doors = {
            "gRPC": by_grpc(channel, system),
            "HTTP": by_http(Http(system.address, system.key)),
        }
        references = {
            concurrency: await load(by_update(stub), concurrency, ORDERS[concurrency])
            for concurrency in CONCURRENCIES
        }
        for transport, place in doors.items():
            await load(place, 8, WARM_UP)
            for concurrency in CONCURRENCIES:
                tell(f"stack_placement: {transport}, {concurrency} at once")
                measured = await load(place, concurrency, ORDERS[concurrency])
                for result in results(
                    "stack_placement", transport, concurrency, measured, references[concurrency]
                ):
                    yield result


class _Shopper:
    """Places orders without waiting, and watches each timeline until the order is held."""

    def __init__(self, system: OnStack, channel: grpc.aio.Channel) -> None:
        self.placed_s: list[float] = []
        self.reserved_s: list[float] = []
        self._place = by_grpc(channel, system, wait_ms=0)
        self._stub = orders_rpc.OrderServiceStub(channel)
        self._metadata = (("authorization", f"Bearer {system.key}"),)

    async def order(self, order_id: str, skus: list[int], site_id: str) -> None:
        started = time.perf_counter()
        await self._place(order_id, skus, site_id)
        self.placed_s.append(time.perf_counter() - started)
        while not await self._is_shown(order_id):
            if time.perf_counter() - started > _WATCH_S:
                raise RuntimeError(f"{order_id} was not held within {_WATCH_S} s")
        self.reserved_s.append(time.perf_counter() - started)

    async def _is_shown(self, order_id: str) -> bool:
        """Watch; where the server says that it is behind, the caller is to watch again."""
        watching = self._stub.WatchTimeline(
            orders.WatchTimelineRequest(
                order_id=order_id, view=orders.TIMELINE_VIEW_BANNER, max_seconds=_WATCH_S
            ),
            metadata=self._metadata,
        )
        try:
            async for news in watching:
                if news.HasField("entry") and news.entry.kind == _RESERVED:
                    return True
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
        finally:
            watching.cancel()
        return False


async def end_to_end(_: str) -> AsyncIterator[Result]:
    """From sending an order until its timeline, as it is watched, shows that it is held.

    Twenty orders a second are offered, at random moments, however long they take. Beside it: how
    long it took to have such an order placed, without waiting.
    """
    async with (
        _stack() as system,
        grpc.aio.insecure_channel(_address(system)) as channel,
    ):
        shopper, warming = _Shopper(system, channel), _Shopper(system, channel)
        for number in range(WARM_UP):
            await warming.order(f"W{number}", [1 + number, 2 + number], "S1")
        rng = random.Random(20)  # noqa: S311 - seeded load
        run = secrets.token_hex(4)
        count = int(_OFFERED_PER_S * _OFFERED_FOR_S)
        tell(f"end_to_end: {count} orders, {_OFFERED_PER_S} a second")
        async with asyncio.TaskGroup() as group:
            began = time.perf_counter()
            due_s = 0.0
            for number in range(count):
                due_s += rng.expovariate(_OFFERED_PER_S)
                await asyncio.sleep(max(0.0, began + due_s - time.perf_counter()))
                skus = rng.sample(range(1, SKUS + 1), LINES)
                site_id = f"S{rng.randint(1, SITES)}"
                group.create_task(shopper.order(f"E{run}-{number}", skus, site_id))
            offered = count / (time.perf_counter() - began)
        for share in (0.5, 0.99):
            yield Result(
                "end_to_end",
                percentile(shopper.reserved_s, share) * 1000,
                "ms",
                reference="placed, not waiting",
                reference_value=percentile(shopper.placed_s, share) * 1000,
                target=_P99_TARGET_MS if share == 0.99 else None,
                is_less_better=True,
                params={
                    "offered_per_s": round(offered, 1),
                    "orders": count,
                    "percentile": share * 100,
                },
            )
