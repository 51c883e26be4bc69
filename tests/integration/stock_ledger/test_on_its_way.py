"""What is shipped, or advised, is expected where it goes until it comes, in whatever parts."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from oms.stock_ledger.v1 import promise_service_pb2 as promises
from oms.stock_ledger.v1 import stock_feed_service_pb2 as wire
from oms.stock_ledger.v1.stock_ledger_service_pb2 import MovementRow

from services.kernel.entrypoints.calls import CALLER, Caller
from services.stock_ledger.application.handlers import Reservations
from services.stock_ledger.entrypoints.feed_files.importing import Report, import_file
from services.stock_ledger.entrypoints.feed_files.options import Options
from services.stock_ledger.entrypoints.feed_server import StockFeedGrpc
from services.stock_ledger.entrypoints.promise_server import PromiseGrpc
from services.stock_ledger.read_models.availability import alternatives
from tests.integration.stock_ledger.test_feeds import NOON, NOTHING, Clock, stamp
from tests.support.stack import TENANT, Stack, running

pytestmark = pytest.mark.stack
TOMORROW, IN_TWO_DAYS = NOON + timedelta(days=1), NOON + timedelta(days=2)


class Roads:
    """The service on its stack: feeds in, promises out; also a channel that files are sent by."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        host = stack["stock_ledger"]
        self.sql = host.database.sql
        reservations = Reservations(timedelta(minutes=15), alternatives)
        self.feeds = StockFeedGrpc(host.runner, host.reader, Clock(), reservations)
        self.promises = PromiseGrpc(host.runner, host.reader, Clock())
        self.calls = 0

    async def expected(self, sku: str, until: datetime, site_id: str = "paris") -> int:
        await self.stack.settle()
        answer = await self.promises.GetPromises(
            promises.GetPromisesRequest(
                pairs=[promises.PromisePair(site_id=site_id, sku=sku)], until=stamp(until)
            ),
            NOTHING,
        )
        return answer.promises[0].inbound

    async def transport(self, *rows: dict[str, Any]) -> wire.FeedOutcome:
        self.calls += 1
        made = [wire.TransportRow(**row) for row in rows]
        request = wire.PostTransportRequest(request_id=f"call-{self.calls}", rows=made)
        return (await self.feeds.PostTransport(request, NOTHING)).outcome

    async def receive(self, *rows: MovementRow) -> wire.FeedOutcome:
        self.calls += 1
        request = wire.PostReceiptsRequest(request_id=f"call-{self.calls}", rows=rows)
        return (await self.feeds.PostReceipts(request, NOTHING)).outcome

    async def import_text(
        self, folder: Path, name: str, text: str, kind: str, **zones: Any
    ) -> Report:
        path = folder / name
        path.write_text(text)
        codes = {"5456789000024": "paris", "5456789000031": "depot", "5412345000105": "milk"}
        return await import_file(path, kind, self, Options(folder / "bad.csv", codes, **zones))

    def unary_unary(self, path: str, **_: Any) -> Any:
        """Be a channel to the servicers."""
        method = path.rpartition("/")[2]
        servicer = self.feeds if "StockFeedService" in path else self.promises

        async def call(request: Any, **_: Any) -> Any:
            return await getattr(servicer, method, None)(request, NOTHING)  # type: ignore[misc]

        return call

    def unary_stream(self, path: str, **_: Any) -> None:
        """No import watches anything."""

    def stream_stream(self, path: str, **_: Any) -> None:
        """No import asks question after question."""


@pytest.fixture
async def roads(postgres_dsn: str) -> AsyncIterator[Roads]:
    async with running(postgres_dsn, ["stock_ledger"]) as stack:
        yield Roads(stack)


@pytest.fixture(autouse=True)
def _caller() -> None:
    """Fixtures and tests run in different contexts."""
    CALLER.set(Caller(TENANT, "key-1", frozenset({"stock:write"}), "correlation", ""))


def shipped(source_id: str, quantity: int, **more: Any) -> dict[str, Any]:
    return {
        "site_id": "depot",
        "sku": "milk",
        "quantity": quantity,
        "source_id": source_id,
        "stage": wire.TRANSPORT_STAGE_SHIPPED,
        "to_site_id": "paris",
        "due_at": stamp(TOMORROW),
        "despatch_id": "D-1",
        **more,
    }


def received(source_id: str, quantity: int, **more: Any) -> dict[str, Any]:
    return {
        "site_id": "paris",
        "sku": "milk",
        "quantity": quantity,
        "source_id": source_id,
        "stage": wire.TRANSPORT_STAGE_RECEIVED,
        "despatch_id": "D-1",
        **more,
    }


async def test_what_is_shipped_is_expected_until_it_comes_or_is_lost(roads: Roads) -> None:
    lost = received("r-3", 2, stage=wire.TRANSPORT_STAGE_LOST)
    for _ in range(2):
        outcome = await roads.transport(shipped("s-1", 30), shipped("s-2", 18))
        assert not outcome.problems
        assert await roads.expected("milk", NOON) == 0
        assert await roads.expected("milk", TOMORROW) == 48
    for _ in range(2):
        await roads.transport(received("r-1", 40))
        assert await roads.expected("milk", TOMORROW) == 8
    await roads.transport(received("r-2", 6), lost)
    assert await roads.expected("milk", TOMORROW) == 0
    balances = await roads.sql.fetch("SELECT site_id, on_hand FROM availability ORDER BY 1")
    assert [tuple(row) for row in balances] == [("depot", -48), ("paris", 46)]


async def test_a_receipt_may_come_before_its_announcement(roads: Roads) -> None:
    await roads.transport(received("r-1", 20))
    await roads.transport(shipped("s-1", 30))
    assert await roads.expected("milk", TOMORROW) == 10


async def test_the_very_same_id_may_come_before_its_announcement_in_parts(roads: Roads) -> None:
    """A receipt that was heard first is taken off what is announced later, once."""
    note = MovementRow(site_id="paris", sku="milk", quantity=12, source_id="shuttle-9")
    await roads.receive(note)
    await roads.receive(note)
    for quantity in (30, 30, 40):
        await roads.transport(shipped(f"s-{quantity}", 1, site_id="lyon", to_site_id=""))
        row = promises.InboundRow(
            site_id="paris",
            sku="milk",
            source_id="shuttle-9",
            quantity=quantity,
            due_at=stamp(TOMORROW),
        )
        put = promises.PutInboundRequest(request_id=f"put-{roads.calls}", rows=[row])
        await roads.promises.PutInbound(put, NOTHING)
        assert await roads.expected("milk", TOMORROW) == quantity - 12
    await roads.transport(shipped("shuttle-8", 5, despatch_id=""))
    lost = received("shuttle-8", 5, despatch_id="", stage=wire.TRANSPORT_STAGE_LOST)
    await roads.transport(lost)
    assert await roads.expected("milk", TOMORROW) == 28
    await roads.receive(MovementRow(site_id="paris", sku="milk", quantity=2, source_id="D-6"))
    await roads.transport(received("r-6", 3, despatch_id="D-6"))
    await roads.transport(shipped("s-6", 9, despatch_id="D-6"))
    assert await roads.expected("milk", TOMORROW) == 28 + 4


async def test_the_very_same_id_needs_no_despatch(roads: Roads) -> None:
    await roads.transport(shipped("shuttle-9", 30, despatch_id=""))
    assert await roads.expected("milk", TOMORROW) == 30
    await roads.transport(received("shuttle-9", 30, despatch_id=""))
    assert await roads.expected("milk", TOMORROW) == 0


async def test_an_old_shipment_that_is_told_again_takes_back_nothing_that_was_said_since(
    roads: Roads,
) -> None:
    """The same file again changes nothing: what was put off stays so, what will not come too."""

    async def put(request_id: str, line_id: str, quantity: int) -> None:
        row = promises.InboundRow(site_id="paris", sku="milk", source_id=line_id)
        row.quantity, row.despatch_id = quantity, "D-1"
        row.due_at.CopyFrom(stamp(IN_TWO_DAYS))
        request = promises.PutInboundRequest(request_id=request_id, rows=[row])
        assert (await roads.promises.PutInbound(request, NOTHING)).changed == 1

    rows = [shipped("s-1", 30), shipped("s-2", 7)]
    await roads.transport(*rows)
    await put("later", "s-1", 30)
    await put("never", "s-2", 0)
    outcome = await roads.transport(*rows)
    assert (outcome.recorded, outcome.duplicates) == (0, 2)
    assert await roads.expected("milk", TOMORROW) == 0
    assert await roads.expected("milk", IN_TWO_DAYS) == 30


async def test_a_refused_row_announces_nothing(roads: Roads) -> None:
    await roads.transport(shipped("s-1", 30))
    outcome = await roads.transport(shipped("s-1", 31))
    assert [problem.reason for problem in outcome.problems] == ["IDEMPOTENCY_MISMATCH"]
    outcome = await roads.transport(
        {**shipped("s-2", 5), "due_at": None}, shipped("s-3", 5, despatch_id="a\nb")
    )
    assert [problem.remedy.split()[1] for problem in outcome.problems] == [
        "due_at",
        "despatch_id",
    ]
    assert await roads.expected("milk", TOMORROW) == 30


async def test_a_suppliers_goods_are_taken_off_by_receipts_of_other_ids(roads: Roads) -> None:
    row = promises.InboundRow(
        site_id="paris",
        sku="milk",
        source_id="line-1",
        quantity=100,
        due_at=stamp(IN_TWO_DAYS),
        despatch_id="D-7",
    )
    put = promises.PutInboundRequest(request_id="put", rows=[row])
    assert (await roads.promises.PutInbound(put, NOTHING)).changed == 1
    assert await roads.expected("milk", TOMORROW) == 0
    assert await roads.expected("milk", IN_TWO_DAYS) == 100
    receipt = MovementRow(
        site_id="paris", sku="milk", quantity=60, source_id="note-1", despatch_id="D-7"
    )
    for _ in range(2):
        await roads.receive(receipt)
        assert await roads.expected("milk", IN_TWO_DAYS) == 40


DESADV = """UNB+UNOA:3+5456789000017:14+3323456007896:14+260302:1000+REF3'
UNH+ME000001+DESADV:D:01B:UN:EAN007'
BGM+351+DES587441+9'
DTM+11:20260301:102'
DTM+17:202603031200:203'
NAD+SF+5456789000031::9'
NAD+ST+5456789000024::9'
CPS+1'
LIN+1++5412345000105:SRV'
QTY+12:400'
UNT+10+ME000001'
UNZ+1+REF3'
"""
RECADV = """UNB+UNOA:3+5456789000024:14+3323456007896:14+260303:1000+REF4'
UNH+ME000001+RECADV:D:01B:UN:EAN007'
BGM+632+REC77+9'
DTM+50:20260302093000:204'
RFF+AAK:DES587441'
NAD+DP+5456789000024::9'
CPS+1'
LIN+1++5412345000105:SRV'
QTY+48:390'
QVR+-10:21+BP'
UNT+10+ME000001'
UNZ+1+REF4'
"""


@pytest.mark.parametrize("kind", ["receipt", "transport"])
async def test_a_document_is_known_after_its_sites_zone_was_changed(
    roads: Roads, tmp_path: Path, kind: str
) -> None:
    """Its times say no zone: they are the same times, whatever zone they are read in now."""
    await roads.transport(shipped("s-1", 999))

    async def again(name: str, **zones: Any) -> tuple[int, int]:
        report = await roads.import_text(tmp_path, name, RECADV, kind, **zones)
        return report.recorded, report.quarantined

    paris = {"paris": "Europe/Paris"}
    rows = 1 if kind == "receipt" else 2
    assert await again("1.edi", zone="Europe/Athens") == (rows, 0)
    assert await again("2.edi", zone="Europe/Athens", zones=paris) == (0, 0)
    assert await again("3.edi", zones=paris) == (0, 1), "lines in quarantine"
    assert await again("4.edi", zones=paris, former=["Europe/Athens"]) == (0, 0)
    later = RECADV.replace("0302093000", "0302103000")
    assert later != RECADV
    report = await roads.import_text(tmp_path, "5.edi", later, kind, zone="Europe/Athens")
    assert report.quarantined == 1


@pytest.mark.parametrize("kind", ["transport", "in_transit"])
async def test_a_despatch_advice_announces_and_its_receiving_advice_takes_off(
    roads: Roads, tmp_path: Path, kind: str
) -> None:
    for number in range(2):
        report = await roads.import_text(tmp_path, f"out-{number}.edi", DESADV, kind)
        assert (report.rows, report.recorded, report.quarantined) == (1, 1 - number, 0)
        assert await roads.expected("milk", NOON) == 0
        assert await roads.expected("milk", TOMORROW) == 400
    back, left = ("transport", 0) if kind == "transport" else ("receipt", 10)
    for number in range(2):
        report = await roads.import_text(tmp_path, f"in-{number}.edi", RECADV, back)
        assert report.quarantined == 0
        assert await roads.expected("milk", TOMORROW) == left
    on_hand = await roads.sql.fetchval("SELECT on_hand FROM availability WHERE site_id = 'paris'")
    assert on_hand == 390


async def test_a_despatch_without_a_date_is_shipped_and_not_announced(
    roads: Roads, tmp_path: Path
) -> None:
    undated = DESADV.replace("DTM+17:202603031200:203'\n", "").replace("UNT+10", "UNT+9")
    report = await roads.import_text(tmp_path, "out.edi", undated, "transport")
    assert (report.recorded, report.quarantined) == (1, 0)
    assert await roads.expected("milk", IN_TWO_DAYS) == 0
    assert await roads.sql.fetchval("SELECT count(*) FROM inbound") == 0
