"""A till sale beyond the books: accepted, published, and told to whoever was promised last."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from oms.stock_ledger.v1 import stock_ledger_service_pb2 as wire
from oms.stock_ledger.v1.stock_ledger_events_pb2 import StockLine

from services.kernel.adapters.event_log import decode_rows, read_log
from services.kernel.entrypoints.calls import CALLER, Caller
from services.kernel.main.host import ServiceHost
from services.stock_ledger.application.handlers import Reservations
from services.stock_ledger.entrypoints.grpc_server import StockLedgerGrpc
from services.stock_ledger.read_models import discrepancies
from services.stock_ledger.read_models.availability import alternatives
from services.stock_ledger.read_models.verification import violations
from tests.support.stack import TENANT, Stack, running

pytestmark = pytest.mark.stack
NOTHING: Any = None


class Now:
    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251 - a test is an edge


@asynccontextmanager
async def ledger_on(
    postgres_dsn: str,
) -> AsyncIterator[tuple[Stack, ServiceHost, StockLedgerGrpc]]:
    CALLER.set(Caller(TENANT, "test", frozenset(), "correlation", ""))
    async with running(postgres_dsn, ["stock_ledger"]) as stack:
        host = stack["stock_ledger"]
        promises = Reservations(timedelta(minutes=15), alternatives)
        yield stack, host, StockLedgerGrpc(host.runner, host.reader, Now(), promises)


def rows(*movements: tuple[str, int, str]) -> list[wire.MovementRow]:
    return [
        wire.MovementRow(site_id="paris", sku=sku, quantity=quantity, source_id=source_id)
        for sku, quantity, source_id in movements
    ]


async def test_what_the_till_sold_is_taken_from_the_newest_promises(postgres_dsn: str) -> None:
    async with ledger_on(postgres_dsn) as (stack, host, ledger):
        await ledger.ReceiveStock(
            wire.ReceiveStockRequest(request_id="receive", rows=rows(("milk", 10, "note-1"))),
            NOTHING,
        )
        for n, (name, quantity) in enumerate([("old", 3), ("kept", 3), ("new", 4)]):
            await ledger.Reserve(
                wire.ReserveRequest(
                    request_id=f"reserve-{name}",
                    reservation_id=name,
                    lines=[StockLine(site_id="paris", sku="milk", quantity=quantity)],
                    hold_seconds=100 + n,
                ),
                NOTHING,
            )
        await ledger.ConfirmReservation(
            wire.ConfirmReservationRequest(request_id="confirm", reservation_id="kept"), NOTHING
        )
        await stack.settle()
        sale = wire.RecordTillSalesRequest(request_id="sale", rows=rows(("milk", 6, "ticket-1")))
        await ledger.RecordTillSales(sale, NOTHING)
        answer = await ledger.RecordTillSales(sale, NOTHING)
        assert answer.results[0].status == wire.ROW_STATUS_DUPLICATE
        await stack.settle()

        sql = host.database.sql
        kept = await sql.fetch(
            "SELECT originator_id, topic FROM events WHERE topic IN ('discrepancy.opened.v1',"
            " 'discrepancy.closed.v1', 'reservation.expired.v1', 'reservation.endangered.v1')"
            " ORDER BY notification_id"
        )
        assert [tuple(row) for row in kept] == [
            ("demo/discrepancy-paris|milk", "discrepancy.opened.v1"),
            ("demo/reservation-new", "reservation.expired.v1"),
            ("demo/reservation-kept", "reservation.endangered.v1"),
        ]
        [question] = await discrepancies.to_count(sql, TENANT, "paris", "", 10)
        assert (question.sku, question.missing, question.closed_at) == ("milk", 6, None)
        level = await sql.fetchrow("SELECT free, held, allocated FROM availability")
        assert tuple(level) == (-2, 3, 3)

        await ledger.ReceiveStock(
            wire.ReceiveStockRequest(request_id="more", rows=rows(("milk", 2, "note-2"))), NOTHING
        )
        await stack.settle()
        [question] = await discrepancies.to_count(sql, TENANT, "paris", "", 10)
        assert question.closed_at is not None
        count = wire.AdjustmentRow(
            movement=rows(("milk", 1, "count-1"))[0], reason=wire.ADJUSTMENT_REASON_COUNT
        )
        await ledger.AdjustStock(wire.AdjustStockRequest(request_id="count", rows=[count]), NOTHING)
        await stack.settle()
        assert await discrepancies.to_count(sql, TENANT, "paris", "", 10) == []
        assert await discrepancies.unexplained(sql, 10) == []
        assert [one async for one in violations(sql, Now().now())] == []


async def test_a_sale_right_after_a_hold_finds_it(postgres_dsn: str) -> None:
    """No table shows the hold yet; the stock item does."""
    async with ledger_on(postgres_dsn) as (stack, host, ledger):
        for n in range(5):
            sku = f"milk-{n}"
            receipt = rows((sku, 5, "note-1"))
            await ledger.ReceiveStock(
                wire.ReceiveStockRequest(request_id=f"receive-{n}", rows=receipt), NOTHING
            )
            await ledger.Reserve(
                wire.ReserveRequest(
                    request_id=f"reserve-{n}",
                    reservation_id=f"R{n}",
                    lines=[StockLine(site_id="paris", sku=sku, quantity=5)],
                ),
                NOTHING,
            )
            sale = rows((sku, 5, "ticket-1"))
            await ledger.RecordTillSales(
                wire.RecordTillSalesRequest(request_id=f"sell-{n}", rows=sale), NOTHING
            )
        await stack.settle()
        sql = host.database.sql
        assert {row[0] for row in await sql.fetch("SELECT status FROM reservation")} == {"expired"}
        assert {row[0] for row in await sql.fetch("SELECT free FROM availability")} == {0}
        assert [one async for one in violations(sql, Now().now())] == []


async def test_an_image_of_before_the_sale_leaves_the_question_open(postgres_dsn: str) -> None:
    async with ledger_on(postgres_dsn) as (stack, host, ledger):
        sql, now = host.database.sql, Now().now()

        async def see(quantity: int, at: datetime, name: str) -> None:
            image = wire.ImageRow(
                site_id="paris", sku="milk", quantity=quantity, source_id=f"image-{name}"
            )
            request = wire.PostImagesRequest(
                request_id=name,
                kind=wire.IMAGE_KIND_IMAGE,
                basis=wire.IMAGE_BASIS_PHYSICAL,
                is_picked_included=True,
                rows=[image],
            )
            request.occurred_at.FromDatetime(at)
            await ledger.PostImages(request, NOTHING)
            await stack.settle()

        [sale] = rows(("milk", 4, "ticket-1"))
        sale.occurred_at.FromDatetime(now - timedelta(minutes=10))
        await ledger.RecordTillSales(
            wire.RecordTillSalesRequest(request_id="sale", rows=[sale]), NOTHING
        )
        await stack.settle()
        await see(1, now - timedelta(hours=6), "before")
        [question] = await discrepancies.to_count(sql, TENANT, "paris", "", 10)
        assert (question.closed_at, question.counted_at) == (None, None)
        assert await sql.fetchval("SELECT free FROM availability") == -3
        await see(0, now - timedelta(minutes=5), "after")
        assert await discrepancies.to_count(sql, TENANT, "paris", "", 10) == []
        assert await discrepancies.unexplained(sql, 10) == []

        await see(0, now - timedelta(minutes=4), "again")
        [live] = await sql.fetch("SELECT * FROM discrepancy")
        log = decode_rows(host.service.codec, await read_log(sql, 0, 1_000))
        await sql.execute("DELETE FROM discrepancy")
        await discrepancies.project(log, sql)
        assert await sql.fetch("SELECT * FROM discrepancy") == [live]


async def test_the_count_that_opened_a_question_answered_it(postgres_dsn: str) -> None:
    """However the log is cut into batches: its entry comes before the question."""
    async with ledger_on(postgres_dsn) as (stack, host, ledger):
        sql = host.database.sql
        count = wire.AdjustmentRow(
            movement=rows(("milk", -1, "count-1"))[0], reason=wire.ADJUSTMENT_REASON_COUNT
        )
        await ledger.AdjustStock(wire.AdjustStockRequest(request_id="count", rows=[count]), NOTHING)
        await stack.settle()
        [live] = await sql.fetch("SELECT * FROM discrepancy")
        assert live["counted_at"] == live["opened_at"]
        log = decode_rows(host.service.codec, await read_log(sql, 0, 1_000))
        await sql.execute("DELETE FROM discrepancy")
        for recorded in log:
            await discrepancies.project([recorded], sql)
        assert await sql.fetch("SELECT * FROM discrepancy") == [live]
