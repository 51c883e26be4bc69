"""Reservations and baskets of the past: what was answered then is answered as of then."""

import asyncio
import contextlib
import random  # noqa: TID251 - a seeded one
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from oms.common.v1.common_pb2 import SkuQuantity
from oms.stock_ledger.v1 import hot_stock_service_pb2 as hot_wire
from oms.stock_ledger.v1 import stock_ledger_service_pb2 as wire
from oms.stock_ledger.v1.hot_stock_service_pb2_grpc import HotStockServiceServicer
from oms.stock_ledger.v1.stock_ledger_events_pb2 import StockLine

from services.kernel.domain.errors import Invalid, NotFound, Rejected
from services.kernel.entrypoints.calls import CALLER, Caller
from services.stock_ledger.application.handlers import Reservations
from services.stock_ledger.application.recording import record
from services.stock_ledger.domain.stock_commands import Pick, Receive, SellAtTill
from services.stock_ledger.domain.stock_item import stock_key
from services.stock_ledger.entrypoints.grpc_server import StockLedgerGrpc
from services.stock_ledger.read_models.availability import alternatives
from tests.integration.stock_ledger.test_hot_products import _servicer
from tests.support.stack import TENANT, Stack, a_cause, running

pytestmark = pytest.mark.stack
NOTHING: Any = None
PAIRS = [(site_id, sku) for site_id in ("paris", "lyon") for sku in ("milk", "tea")]
IDS = ("R1", "R2", "R3")


class Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251 - the database says when it recorded


class Memory:
    """The service, and every answer that it gave at a time."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.host = stack["stock_ledger"]
        promises = Reservations(timedelta(minutes=15), alternatives)
        self.grpc = StockLedgerGrpc(self.host.runner, self.host.reader, Clock(), promises)
        self.hot: Any = _servicer(self.host, HotStockServiceServicer)
        self.calls = 0

    async def answers(self, **when: Any) -> dict[str, Any]:
        """Return what is said of every reservation, of what is open, and of a basket."""
        found: dict[str, Any] = {}
        for one in IDS:
            request = wire.GetReservationRequest(reservation_id=one, **when)
            try:
                said = (await self.grpc.GetReservation(request, NOTHING)).reservation
            except NotFound:
                continue
            kept = [line for line in said.lines if line.held + line.allocated + line.picked]
            del said.lines[:]
            said.lines.extend(kept)
            found[one] = said
        for site_id, sku in PAIRS:
            listing = wire.ListOpenReservationsRequest(site_id=site_id, sku=sku, **when)
            found[f"{site_id}|{sku}"] = await self.grpc.ListOpenReservations(listing, NOTHING)
        basket = [SkuQuantity(sku="milk", quantity=5), SkuQuantity(sku="tea", quantity=2)]
        asked = wire.GetBasketAvailabilityRequest(
            lines=basket, site_ids=["paris", "lyon", "nice"], **when
        )
        found["basket"] = await self.grpc.GetBasketAvailability(asked, NOTHING)
        return found

    async def do(self, rng: random.Random) -> None:
        self.calls += 1
        one, (site_id, sku) = rng.choice(IDS), rng.choice(PAIRS)
        key, now, name = stock_key(site_id, sku), Clock().now(), f"call-{self.calls}"
        lines = [StockLine(site_id=s, sku=k, quantity=rng.randint(1, 6)) for s, k in PAIRS[:3]]
        ids: dict[str, Any] = {"request_id": name, "reservation_id": one}
        calls: list[Any] = [
            lambda: self._post(key, Receive(rng.randint(1, 9), name, now)),
            lambda: self._post(key, SellAtTill(1, name, now)),
            lambda: self._post(key, Pick(one, 1, name, now)),
            lambda: self.grpc.Reserve(
                wire.ReserveRequest(lines=lines, takes_what_there_is=True, holder_id="C", **ids),
                NOTHING,
            ),
            lambda: self._reserve_many(rng, name),
            lambda: self.grpc.ExtendReservation(
                wire.ExtendReservationRequest(hold_seconds=3_600, **ids), NOTHING
            ),
            lambda: self.grpc.ConfirmReservation(wire.ConfirmReservationRequest(**ids), NOTHING),
            lambda: self.grpc.MoveReservation(
                wire.MoveReservationRequest(from_site_id="paris", to_site_id="lyon", **ids),
                NOTHING,
            ),
            lambda: self.grpc.ReleaseReservation(wire.ReleaseReservationRequest(**ids), NOTHING),
        ]
        weights = [6, 1, 1, 6, 3, 2, 2, 3, 1]
        with contextlib.suppress(Rejected, NotFound):  # most of what is drawn is out of place
            await rng.choices(calls, weights)[0]()
        await self.stack.settle()

    async def _reserve_many(self, rng: random.Random, name: str) -> None:
        """Hold for several at once: their entry names none of them, only its shares do."""
        reservations = [
            hot_wire.BatchReservation(
                reservation_id=one, lines=[StockLine(site_id="paris", sku="milk", quantity=1)]
            )
            for one in (*IDS, f"other-{name}-1", f"other-{name}-2")
        ]
        request = hot_wire.ReserveBatchRequest(request_id=name, reservations=reservations)
        await self.hot.ReserveBatch(request, NOTHING)

    async def _post(self, key: str, movement: Any) -> None:
        cause = a_cause(f"post-{movement.source_id}")
        await self.host.runner.execute(cause, lambda work: record(work, [(key, movement)]))


@pytest.fixture
async def memory(postgres_dsn: str) -> AsyncIterator[Memory]:
    async with running(postgres_dsn, ["stock_ledger"]) as stack:
        yield Memory(stack)


@pytest.fixture(autouse=True)
def _caller() -> None:
    """Fixtures and tests run in different contexts."""
    CALLER.set(Caller(TENANT, "key-1", frozenset({"stock:write"}), "correlation", ""))


def stamp(at: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(at)
    return made


@pytest.mark.parametrize("seed", [1, 2])
async def test_what_was_answered_then_is_answered_now(memory: Memory, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - a test
    told: list[tuple[datetime, dict[str, Any]]] = []
    note = Receive(30, "note-0", Clock().now())
    await memory._post(stock_key("paris", "milk"), note)
    lines = [StockLine(site_id="paris", sku=sku, quantity=2) for sku in ("milk", "tea")]
    first = wire.ReserveRequest(
        request_id="first", reservation_id="R1", lines=lines, takes_what_there_is=True
    )
    await memory.grpc.Reserve(first, NOTHING)
    for _ in range(40):
        await memory.do(rng)
        told.append((Clock().now(), await memory.answers()))
        await asyncio.sleep(0.002)
    assert {"R1", "R2", "R3"} <= told[-1][1].keys()
    assert any(answer[one].lacking for _, answer in told for one in IDS if one in answer)
    shared = "SELECT count(*) FROM events WHERE convert_from(state, 'UTF8') LIKE '%\"shares\":[{%'"
    assert await memory.host.database.sql.fetchval(shared) > 0
    for at, then in told:
        for when in ({"as_of": stamp(at)}, {"known_at": stamp(at)}):
            now = await memory.answers(**when)
            assert now == then, (at, when)


async def test_a_late_report_changes_what_was_true_and_not_what_was_known(memory: Memory) -> None:
    key = stock_key("paris", "milk")
    before = Clock().now()
    await memory._post(key, Receive(9, "note-1", before - timedelta(hours=2)))
    await memory.stack.settle()
    known = Clock().now()
    await memory._post(key, SellAtTill(6, "ticket-1", before - timedelta(hours=1)))
    await memory.stack.settle()

    async def lacks(**when: Any) -> list[int]:
        request = wire.GetBasketAvailabilityRequest(
            lines=[SkuQuantity(sku="milk", quantity=9)], **when
        )
        sites = (await memory.grpc.GetBasketAvailability(request, NOTHING)).sites
        return [one.quantity for site in sites for one in site.missing]

    assert await lacks() == [6]
    assert await lacks(known_at=stamp(known)) == []
    assert await lacks(as_of=stamp(before - timedelta(minutes=90))) == []
    assert await lacks(as_of=stamp(before - timedelta(minutes=30))) == [6]
    both = {"as_of": stamp(before - timedelta(minutes=30)), "known_at": stamp(known)}
    assert await lacks(**both) == []
    assert await lacks(as_of=stamp(before - timedelta(hours=3))) == [9]


async def test_questions_of_the_past_have_limits(memory: Memory) -> None:
    now = stamp(Clock().now())
    listing = wire.ListOpenReservationsRequest(site_id="paris", as_of=now)
    with pytest.raises(Invalid, match="sku"):
        await memory.grpc.ListOpenReservations(listing, NOTHING)
    basket = wire.GetBasketAvailabilityRequest(
        lines=[SkuQuantity(sku=f"s{n}", quantity=1) for n in range(100)],
        site_ids=[f"p{n}" for n in range(51)],
        as_of=now,
    )
    with pytest.raises(Invalid, match="5000"):
        await memory.grpc.GetBasketAvailability(basket, NOTHING)
    nobody = wire.GetReservationRequest(reservation_id="R1", known_at=Timestamp(seconds=2**60))
    with pytest.raises(Invalid, match="known_at"):
        await memory.grpc.GetReservation(nobody, NOTHING)
