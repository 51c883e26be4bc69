"""The system: placing orders, through the doors that platforms use."""

import asyncio
import random  # noqa: TID251 - seeded load
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc.aio
from oms.order.v1 import order_service_pb2 as orders
from oms.order.v1 import order_service_pb2_grpc as orders_rpc
from oms.stock_ledger.v1 import stock_ledger_service_pb2 as stock
from oms.stock_ledger.v1.stock_ledger_events_pb2 import StockLine

from tests.bench.bare import bare, fill
from tests.bench.http import Http
from tests.bench.result import Result, percentile, tell
from tests.support.api import an_order
from tests.support.embedded import Embedded, embedded

SITES, SKUS, LINES, UNITS = 3, 300, 3, 1_000_000
CONCURRENCIES = (1, 8, 32)
ORDERS = {1: 150, 8: 1_000, 32: 3_000}
WARM_UP = 200
_ORDERS_TARGET = 200
_P99_TARGET_MS = 100
_WAIT_MS = 10_000

type Place = Callable[[str, Sequence[int], str], Awaitable[str]]


async def placement(postgres_dsn: str) -> AsyncIterator[Result]:
    """Orders of 3 random lines over 300 skus at 3 sites, answered once durable and reserved.

    Reference: a bare grpc.aio server with one conditional UPDATE of the three rows per order, in
    a transaction that is on disk when it answers; no events, no decision, no plan, no order.
    """
    await fill(postgres_dsn, SITES, SKUS, UNITS)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        async with (
            embedded(Path(folder) / "data") as system,
            bare(postgres_dsn) as stub,
            grpc.aio.insecure_channel(system.grpc_address) as channel,
        ):
            await system.api().load_chain(SITES, SKUS, UNITS)
            await asyncio.sleep(2)
            doors = {
                "gRPC": by_grpc(channel, system),
                "HTTP": by_http(Http(system.address, system.key)),
            }
            references: dict[int, tuple[float, list[float]]] = {}
            for transport, place in doors.items():
                await load(place, 8, WARM_UP)
                for concurrency in CONCURRENCIES:
                    tell(f"placement: {transport}, {concurrency} at once")
                    if concurrency not in references:
                        count = ORDERS[concurrency]
                        references[concurrency] = await load(by_update(stub), concurrency, count)
                    measured = await load(place, concurrency, ORDERS[concurrency])
                    for result in results(
                        "placement", transport, concurrency, measured, references[concurrency]
                    ):
                        yield result


def results(
    metric: str,
    transport: str,
    concurrency: int,
    measured: tuple[float, list[float]],
    reference: tuple[float, list[float]],
) -> Iterator[Result]:
    """Yield orders/s and the latencies; how the whole is judged is said of ``placement`` only."""
    is_judged = metric == "placement"
    params = {"transport": transport, "concurrency": concurrency}
    beside = "bare grpc.aio, one conditional UPDATE per order"
    yield Result(
        metric,
        measured[0],
        "orders/s",
        reference=beside,
        reference_value=reference[0],
        target=_ORDERS_TARGET if is_judged and concurrency == 32 else None,
        params=params,
    )
    for share in (0.5, 0.99):
        has_target = is_judged and concurrency == 8 and share == 0.99
        yield Result(
            metric,
            percentile(measured[1], share) * 1000,
            "ms",
            reference=beside,
            reference_value=percentile(reference[1], share) * 1000,
            target=_P99_TARGET_MS if has_target else None,
            is_less_better=True,
            params=params | {"percentile": share * 100},
        )


async def load(place: Place, concurrency: int, count: int) -> tuple[float, list[float]]:
    """Place ``count`` orders with ``concurrency`` clients; return orders/s and latencies in s."""
    run = secrets.token_hex(4)
    latencies: list[float] = []

    async def client(number: int) -> None:
        rng = random.Random(number)  # noqa: S311 - seeded load
        for n in range(count // concurrency):
            skus = rng.sample(range(1, SKUS + 1), LINES)
            started = time.perf_counter()
            status = await place(f"B{run}-{number}-{n}", skus, f"S{rng.randint(1, SITES)}")
            latencies.append(time.perf_counter() - started)
            if status != "accepted":
                raise RuntimeError(f"the order was not reserved: {status}")

    started = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(concurrency)))
    return len(latencies) / (time.perf_counter() - started), latencies


def by_grpc(channel: grpc.aio.Channel, system: Embedded, wait_ms: int = _WAIT_MS) -> Place:
    """Place by the order service's own door; answered once decided, or after ``wait_ms``."""
    stub = orders_rpc.OrderServiceStub(channel)
    metadata = (("authorization", f"Bearer {system.key}"),)

    async def place(order_id: str, skus: Sequence[int], site_id: str) -> str:
        answer = await stub.PlaceOrder(
            orders.PlaceOrderRequest(
                request_id=f"place-{order_id}",
                order_id=order_id,
                customer_id="C1",
                lines=[
                    orders.RequestedLine(
                        line_id=f"L{n}",
                        sku=f"P{sku}",
                        quantity=1,
                        choice=orders.RequestedChoice(mode_id="click_and_collect", site_id=site_id),
                    )
                    for n, sku in enumerate(skus)
                ],
                wait_ms=wait_ms,
            ),
            metadata=metadata,
        )
        return orders.OrderStatus.Name(answer.status).removeprefix("ORDER_STATUS_").lower()

    return place


def by_http(http: Http) -> Place:
    """Place by the gateway's door."""

    async def place(order_id: str, skus: Sequence[int], site_id: str) -> str:
        choice = {"mode_id": "click_and_collect", "site_id": site_id}
        _, order = await http.post(
            "/v1/orders",
            an_order(order_id, [(f"P{sku}", 1) for sku in skus], choice),
            {"idempotency-key": f"place-{order_id}", "prefer": f"wait={_WAIT_MS // 1_000}"},
        )
        return str(order.get("status"))

    return place


def by_update(stub: Any) -> Place:
    """Take the rows of a bare server instead."""

    async def place(order_id: str, skus: Sequence[int], site_id: str) -> str:
        await stub.Reserve(
            stock.ReserveRequest(
                reservation_id=order_id,
                lines=[StockLine(site_id=site_id, sku=f"P{sku}", quantity=1) for sku in skus],
            )
        )
        return "accepted"

    return place
