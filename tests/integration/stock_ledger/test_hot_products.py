"""Hot products on a real database: many buyers, one product, nobody sold what is not there."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import grpc.aio
import pytest
from oms.stock_ledger.v1 import hot_stock_service_pb2 as wire
from oms.stock_ledger.v1 import stock_ledger_service_pb2 as ledger_wire
from oms.stock_ledger.v1.hot_stock_service_pb2_grpc import (
    HotStockServiceServicer,
)
from oms.stock_ledger.v1.stock_ledger_events_pb2 import StockLine
from oms.stock_ledger.v1.stock_ledger_service_pb2_grpc import (
    StockLedgerServiceServicer,
)

from services.kernel.entrypoints.calls import CALLER, Caller
from services.kernel.main import ServiceHost
from services.stock_ledger.read_models.verification import violations
from tests.support.stack import TENANT, Stack, running

pytestmark = pytest.mark.stack
NOTHING: Any = None


class Clock:
    def __init__(self) -> None:
        self.at = datetime(2026, 3, 2, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at


class _Servicers(grpc.aio.Server):
    """Catches the servicers that a service would add to its server."""


def _servicer(host: ServiceHost, kind: type) -> Any:
    """Return the servicer of this kind that the service put together."""
    found: list[Any] = []

    class Catcher:
        def add_generic_rpc_handlers(self, handlers: Any) -> None: ...
        def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
            for handler in handlers.values():
                method = handler.unary_unary
                if method is not None and isinstance(method.__self__, kind):
                    found.append(method.__self__)

    catcher: Any = Catcher()
    for register in host.service.grpc:
        register(catcher)
    return found[0]


class Shop:
    """A platform that sells what the ledger has."""

    def __init__(self, stack: Stack, clock: Clock) -> None:
        self.stack = stack
        self.clock = clock
        self.host = stack["stock_ledger"]
        self.hot = _servicer(self.host, HotStockServiceServicer)
        self.ledger = _servicer(self.host, StockLedgerServiceServicer)

    async def receive(self, *stock: tuple[str, str, int]) -> None:
        for start in range(0, len(stock), 1_000):
            rows = [
                ledger_wire.MovementRow(site_id=s, sku=k, quantity=q, source_id=f"note-{s}-{k}-{q}")
                for s, k, q in stock[start : start + 1_000]
            ]
            await self.ledger.ReceiveStock(
                ledger_wire.ReceiveStockRequest(
                    request_id=f"receive-{rows[0].source_id}-{start}", rows=rows
                ),
                NOTHING,
            )

    async def reserve(
        self, request_id: str, *wanted: tuple[str, list[tuple[str, str, int]]], seconds: int = 0
    ) -> list[wire.BatchResult]:
        answer = await self.hot.ReserveBatch(
            wire.ReserveBatchRequest(
                request_id=request_id,
                reservations=[
                    wire.BatchReservation(
                        reservation_id=reservation_id,
                        lines=[StockLine(site_id=s, sku=k, quantity=q) for s, k, q in lines],
                        hold_seconds=seconds,
                    )
                    for reservation_id, lines in wanted
                ],
            ),
            NOTHING,
        )
        return list(wire.ReserveBatchResponse.FromString(answer.message).results)

    async def level(self, site_id: str, sku: str) -> tuple[int, int]:
        await self.stack.settle()
        row = await self.host.database.sql.fetchrow(
            "SELECT free, held FROM availability WHERE tenant = $1 AND site_id = $2 AND sku = $3",
            *(TENANT, site_id, sku),
        )
        return row[0], row[1]

    async def wrong(self) -> list[str]:
        """Whatever the books have wrong, once everything has settled."""
        await self.stack.settle()
        now = self.clock.now()
        found = [str(one) async for one in violations(self.host.database.sql, now)]
        for name, check in self.host.service.checks.items():
            found += [f"{name}: {one}" for one in await check(self.host.database.sql)]
        return found


@pytest.fixture(autouse=True)
def _caller() -> None:
    scopes = frozenset({"stock:write", "stock:read"})
    CALLER.set(Caller(TENANT, "key-1", scopes, "correlation-1", ""))


@pytest.fixture
async def shop(postgres_dsn: str) -> AsyncIterator[Shop]:
    clock = Clock()
    async with running(postgres_dsn, ["stock_ledger"], clock=clock) as stack:
        yield Shop(stack, clock)


def outcomes(results: list[wire.BatchResult]) -> Counter[str]:
    return Counter(
        wire.BatchOutcome.Name(one.outcome).removeprefix("BATCH_OUTCOME_").lower()
        for one in results
    )


async def test_as_many_are_sold_as_there_are(shop: Shop) -> None:
    await shop.receive(("paris", "P1", 1_000))

    async def buy(call: int) -> list[wire.BatchResult]:
        return await shop.reserve(
            f"call-{call}", *[(f"B{call}-{n}", [("paris", "P1", 1)]) for n in range(50)]
        )

    results = [one for each in await asyncio.gather(*map(buy, range(40))) for one in each]
    assert outcomes(results) == {"held": 1_000, "refused": 1_000}
    assert await shop.level("paris", "P1") == (0, 1_000)
    assert await shop.wrong() == []
