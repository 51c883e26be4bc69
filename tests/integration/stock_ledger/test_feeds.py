"""Every feed as a batch call: what it posts, that it counts once, what goes into quarantine."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from oms.stock_ledger.v1 import stock_feed_service_pb2 as wire
from oms.stock_ledger.v1.stock_ledger_service_pb2 import MovementRow

from services.kernel.domain.errors import Invalid, Rejected
from services.kernel.entrypoints.calls import CALLER, Caller
from services.stock_ledger.application.handlers import Reservations
from services.stock_ledger.entrypoints.feed_server import StockFeedGrpc
from services.stock_ledger.entrypoints.translation import page_token
from services.stock_ledger.read_models.availability import alternatives
from services.stock_ledger.read_models.discrepancies import unexplained
from services.stock_ledger.read_models.verification import violations
from tests.support.stack import TENANT, Stack, running

pytestmark = pytest.mark.stack
NOTHING: Any = None
# Enums as plain numbers, known or not.
a: Any = wire
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Clock:
    def now(self) -> datetime:
        return NOON


def stamp(at: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(at)
    return made


class Feeds:
    """The service on its stack, and what a test asks of it most."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.sql = stack["stock_ledger"].database.sql
        host = stack["stock_ledger"]
        promises = Reservations(timedelta(minutes=15), alternatives)
        self.grpc = StockFeedGrpc(host.runner, host.reader, Clock(), promises)

    async def received(self, *rows: tuple[str, int, str]) -> wire.FeedOutcome:
        answer = await self.grpc.PostReceipts(
            wire.PostReceiptsRequest(request_id="receive", rows=movements(*rows)), NOTHING
        )
        return answer.outcome

    async def level(self, sku: str) -> tuple[int, ...]:
        await self.stack.settle()
        row = await self.sql.fetchrow(
            "SELECT free, held, allocated, picked, on_hand FROM availability WHERE sku = $1", sku
        )
        return tuple(row)

    async def quarantine(self) -> list[wire.QuarantinedRow]:
        answer = await self.grpc.ListQuarantinedRows(
            wire.ListQuarantinedRowsRequest(page_size=200), NOTHING
        )
        return list(answer.rows)

    async def is_right(self) -> bool:
        await self.stack.settle()
        wrong = [one async for one in violations(self.sql, NOON)]
        return not wrong and not await unexplained(self.sql, 10)


def any_of(*numbers: int) -> list[Any]:
    """Numbers of an enum, known or not."""
    return list(numbers)


def movements(*rows: tuple[str, int, str]) -> list[MovementRow]:
    return [
        MovementRow(site_id="paris", sku=sku, quantity=quantity, source_id=source_id)
        for sku, quantity, source_id in rows
    ]


@pytest.fixture
async def feeds(postgres_dsn: str) -> AsyncIterator[Feeds]:
    async with running(postgres_dsn, ["stock_ledger"]) as stack:
        yield Feeds(stack)


@pytest.fixture(autouse=True)
def _caller() -> None:
    CALLER.set(Caller(TENANT, "key-1", frozenset({"stock:write"}), "correlation", ""))


def told(outcome: wire.FeedOutcome) -> tuple[int, int, list[str]]:
    return outcome.recorded, outcome.duplicates, [each.reason for each in outcome.problems]


async def test_every_kind_posts_what_its_rule_says_and_counts_once(feeds: Feeds) -> None:
    at = stamp(NOON - timedelta(hours=1))
    assert told(await feeds.received(("milk", 20, "n-1"), ("milk", 10, "n-2"))) == (2, 0, [])
    losses = [
        a.ShrinkageRow(
            site_id="paris", sku="milk", quantity=1, source_id=f"loss-{reason}", reason=reason
        )
        for reason in any_of(1, 2, 3, 4)
    ]
    sales = wire.PostTillSalesRequest(
        request_id="s", rows=movements(("milk", 3, "t-1"), ("milk", -1, "t-2"), ("milk", 2, "t-3"))
    )
    for row in sales.rows:
        row.occurred_at.CopyFrom(at)
    returned = [
        a.ReturnRow(site_id="paris", sku="milk", quantity=2, source_id=f"r-{how}", disposition=how)
        for how in any_of(1, 2, 3, 7)
    ]
    shipped = [
        a.TransportRow(site_id="paris", sku="milk", quantity=4, source_id=f"x-{stage}", stage=stage)
        for stage in any_of(1, 2, 4)
    ]
    steps = [
        a.OnlineRow(
            site_id="paris",
            sku="milk",
            quantity=5,
            source_id=f"w-{step}",
            step=step,
            reservation_id="web-1",
        )
        for step in any_of(1, 2, 3, 4)
    ]
    wanted = [
        a.ReservationRow(site_id="paris", sku=sku, quantity=2, reservation_id=name, action=1)
        for name, sku in (("R-1", "milk"), ("R-2", "milk"), ("R-2", "bread"))
    ]
    confirm = a.ReservationRow(reservation_id="R-1", action=2)
    first: list[tuple[int, int, list[str]]] = []
    for is_first in (True, False):
        answers: list[Any] = [
            await feeds.grpc.PostShrinkage(
                wire.PostShrinkageRequest(request_id="l", rows=losses), NOTHING
            ),
            await feeds.grpc.PostTillSales(sales, NOTHING),
            await feeds.grpc.PostReturns(
                wire.PostReturnsRequest(request_id="b", rows=returned), NOTHING
            ),
            await feeds.grpc.PostTransport(
                wire.PostTransportRequest(request_id="x", rows=shipped), NOTHING
            ),
            await feeds.grpc.PostOnlineMovements(
                wire.PostOnlineMovementsRequest(request_id="w", rows=steps), NOTHING
            ),
            await feeds.grpc.PostReservations(
                wire.PostReservationsRequest(request_id="v", rows=[*wanted, confirm]), NOTHING
            ),
        ]
        results = [told(answer.outcome) for answer in answers]
        if is_first:
            first = results
        else:
            assert [(0, recorded, why) for recorded, _, why in first] == results
    assert first == [
        (4, 0, []),
        (3, 0, []),
        (4, 0, []),
        (3, 0, []),
        (4, 0, []),
        (2, 0, ["OUT_OF_STOCK", "OUT_OF_STOCK"]),
    ]
    # 30 received, 4 lost, 4 sold, 2 back, 4 out and 4 in, 5 online, 2 allocated.
    assert await feeds.level("milk") == (17, 0, 2, 0, 19)
    assert await feeds.is_right()
    entries = await feeds.sql.fetch(
        "SELECT cause, quantities FROM stock_entry WHERE cause IN ('goods_receipt', 'till_sale')"
        " ORDER BY version"
    )
    assert [tuple(row) for row in entries] == [
        ("goods_receipt", [30, -30]),
        ("till_sale", [4, -4]),
    ]


async def test_a_call_sent_again_posts_what_has_become_possible(feeds: Feeds) -> None:
    def row(sku: str, source_id: str, disposition: Any) -> wire.ReturnRow:
        return wire.ReturnRow(
            site_id="paris", sku=sku, quantity=2, source_id=source_id, disposition=disposition
        )

    async def post(request_id: str, *rows: wire.ReturnRow) -> tuple[int, int, list[str]]:
        request = wire.PostReturnsRequest(request_id=request_id, rows=rows)
        return told((await feeds.grpc.PostReturns(request, NOTHING)).outcome)

    released = wire.RETURN_DISPOSITION_QUARANTINE_RELEASED
    rows = [
        row("milk", "a", wire.RETURN_DISPOSITION_RESTOCK),
        row("milk", "b", released),
        row("oil", "c", released),
    ]
    assert await post("again", *rows) == (1, 0, ["OUT_OF_STOCK"] * 2)
    for sku, left in (("milk", ["OUT_OF_STOCK"]), ("oil", [])):
        await post(f"set-{sku}", row(sku, f"q-{sku}", wire.RETURN_DISPOSITION_QUARANTINE))
        known = 1 if left else 2
        assert await post("again", *rows) == (1, known, left)
        assert await post("again", *rows) == (0, known + 1, left)
    assert (await feeds.level("milk"))[0] == 4
    with pytest.raises(Rejected, match="this request id was used for another command"):
        await post("again", row("salt", "d", wire.RETURN_DISPOSITION_RESTOCK))
    assert await feeds.is_right()


async def test_reservations_sent_again_hold_what_has_come_in_since(feeds: Feeds) -> None:
    def row(name: str, action: Any, sku: str = "") -> wire.ReservationRow:
        site_id, quantity = ("paris", 2) if sku else ("", 0)
        return wire.ReservationRow(
            reservation_id=name, action=action, site_id=site_id, sku=sku, quantity=quantity
        )

    rows = [
        row("R-1", wire.RESERVATION_ACTION_RESERVE, "milk"),
        row("R-1", wire.RESERVATION_ACTION_CONFIRM),
        row("R-2", wire.RESERVATION_ACTION_RESERVE, "oil"),
    ]

    async def post() -> tuple[int, int, list[str]]:
        request = wire.PostReservationsRequest(request_id="again", rows=rows)
        return told((await feeds.grpc.PostReservations(request, NOTHING)).outcome)

    async def receive(sku: str) -> None:
        request = wire.PostReceiptsRequest(request_id=sku, rows=movements((sku, 5, f"n-{sku}")))
        await feeds.grpc.PostReceipts(request, NOTHING)

    await receive("milk")
    assert await post() == (2, 0, ["OUT_OF_STOCK"])
    await receive("oil")
    assert await post() == (1, 2, [])
    assert await post() == (0, 3, [])
    assert (await feeds.level("oil"))[:3] == (3, 2, 0)
    assert await feeds.is_right()


async def test_a_bad_row_is_kept_with_its_line_reason_and_remedy(feeds: Feeds) -> None:
    rows = movements(("milk", 5, "n-1"), ("mi|k", 5, "n-2"), ("milk", 6, "n-1"), ("milk", 0, "z"))
    request = wire.PostReceiptsRequest(
        request_id="q", source="notes.csv", rows=rows, lines=[2, 3, 4, 5]
    )
    await feeds.grpc.PostReceipts(request, NOTHING)
    answer = await feeds.grpc.PostReceipts(request, NOTHING)
    assert (answer.outcome.recorded, answer.outcome.duplicates) == (0, 1)
    assert [each.line for each in answer.outcome.problems] == [3, 4, 5]
    found = await feeds.quarantine()
    assert [(row.source, row.line, row.reason) for row in found] == [
        ("notes.csv", 3, "INVALID_ARGUMENT"),
        ("notes.csv", 4, "IDEMPOTENCY_MISMATCH"),
        ("notes.csv", 5, "INVALID_ARGUMENT"),
    ]
    assert [row.remedy for row in found] == [
        "mend sku and send it again",
        "send a new one",
        "mend quantity and send it again",
    ]
    unreadable = wire.ReportUnreadableRowsRequest(
        request_id="u",
        source="notes.csv",
        kind="receipt",
        rows=[wire.UnreadableRow(line=9, detail="has 3 cells", remedy="give 5")],
    )
    await feeds.grpc.ReportUnreadableRows(unreadable, NOTHING)
    page = await feeds.grpc.ListQuarantinedRows(
        wire.ListQuarantinedRowsRequest(source="notes.csv", page_size=3), NOTHING
    )
    rest = await feeds.grpc.ListQuarantinedRows(
        wire.ListQuarantinedRowsRequest(
            source="notes.csv", page_size=3, page_token=page.next_page_token
        ),
        NOTHING,
    )
    assert [(row.line, row.detail) for row in rest.rows] == [(9, "has 3 cells")]
    assert await feeds.level("milk") == (5, 0, 0, 0, 5)


async def test_rows_of_one_source_without_lines_are_all_kept(feeds: Feeds) -> None:
    """A till sends call after call and numbers no lines; each call again keeps nothing twice."""
    for _ in range(2):
        for n in range(2):
            await feeds.grpc.PostTillSales(
                wire.PostTillSalesRequest(
                    request_id=f"c-{n}", source="till-7", rows=movements((f"a {n}", 1, f"t-{n}"))
                ),
                NOTHING,
            )
            unread = wire.UnreadableRow(detail="no price", remedy="give one")
            report = wire.ReportUnreadableRowsRequest(
                request_id=f"u-{n}", source="scale-1", kind="till_sale", rows=[unread, unread]
            )
            await feeds.grpc.ReportUnreadableRows(report, NOTHING)
    found = await feeds.quarantine()
    assert [row.sku for row in found if row.source == "till-7"] == ["a 0", "a 1"]
    assert [row.line for row in found if row.source == "scale-1"] == [0, 0, 1, 1]
    read = wire.ListQuarantinedRowsRequest(page_size=1)
    paged: list[wire.QuarantinedRow] = []
    while True:
        page = await feeds.grpc.ListQuarantinedRows(read, NOTHING)
        paged += page.rows
        read.page_token = page.next_page_token
        if not read.page_token:
            break
    assert paged == found


async def test_two_faults_of_one_line_are_both_kept(feeds: Feeds) -> None:
    rows = [wire.UnreadableRow(line=7, detail=f"cell {n}", remedy="mend it") for n in range(2)]
    report = wire.ReportUnreadableRowsRequest(
        request_id="u", source="s", kind="receipt", rows=[*rows, wire.UnreadableRow(line=8)]
    )
    for _ in range(2):
        await feeds.grpc.ReportUnreadableRows(report, NOTHING)
    assert [(row.line, row.detail) for row in await feeds.quarantine()] == [
        *((7, "cell 0"), (7, "cell 1"), (8, "")),
    ]


async def test_who_reports_a_refused_row_says_why_and_what_it_was(feeds: Feeds) -> None:
    row = wire.UnreadableRow(line=7, reason="IDEMPOTENCY_MISMATCH", detail="d", remedy="r")
    row.site_id, row.sku, row.source_id, row.quantity = "paris", "milk", "i-1", 5
    report = wire.ReportUnreadableRowsRequest(request_id="u", source="s", kind="image", rows=[row])
    await feeds.grpc.ReportUnreadableRows(report, NOTHING)
    [kept] = await feeds.quarantine()
    assert (kept.reason, kept.site_id, kept.sku) == ("IDEMPOTENCY_MISMATCH", "paris", "milk")
    assert (kept.source_id, kept.quantity) == ("i-1", 5)
    for bad in ("no", "A" * 65, "A-B"):
        row.reason = bad
        report.rows[0].CopyFrom(row)
        with pytest.raises(Invalid, match="reason"):
            await feeds.grpc.ReportUnreadableRows(report, NOTHING)


async def test_lines_are_numbered_so_that_quarantine_is_read_page_by_page(feeds: Feeds) -> None:
    rows = movements(("a b", 1, "n-1"), ("c d", 1, "n-2"), ("e f", 1, "n-3"))
    request = wire.PostReceiptsRequest(request_id="q", source="s", rows=rows, lines=[0, 8, 10**12])
    await feeds.grpc.PostReceipts(request, NOTHING)
    read, lines = wire.ListQuarantinedRowsRequest(source="s", page_size=1), []
    for _ in range(3):
        page = await feeds.grpc.ListQuarantinedRows(read, NOTHING)
        lines += [row.line for row in page.rows]
        read.page_token = page.next_page_token
    assert (lines, read.page_token) == ([0, 8, 10**12], "")
    for line in ("9" * 19, "1e3"):
        read.page_token = page_token("s", line, "receipt")
        with pytest.raises(Invalid, match="page_token"):
            await feeds.grpc.ListQuarantinedRows(read, NOTHING)
    for beyond in (-1, 10**12 + 1):
        request.lines[0] = beyond
        with pytest.raises(Invalid, match="lines"):
            await feeds.grpc.PostReceipts(request, NOTHING)
        unreadable = wire.ReportUnreadableRowsRequest(
            request_id="u", source="s", kind="receipt", rows=[wire.UnreadableRow(line=beyond)]
        )
        with pytest.raises(Invalid, match="lines"):
            await feeds.grpc.ReportUnreadableRows(unreadable, NOTHING)


FUTURE = stamp(NOON + timedelta(days=1))
MALFORMED: list[tuple[str, dict[str, Any]]] = [
    ("site_id", {"site_id": ""}),
    ("site_id", {"site_id": "a b"}),
    ("site_id", {"site_id": "-lyon"}),
    ("site_id", {"site_id": "é"}),
    ("site_id", {"site_id": "x" * 65}),
    ("site_id", {"site_id": "lyon\n"}),
    ("site_id", {"site_id": "../etc"}),
    ("sku", {"sku": ""}),
    ("sku", {"sku": "a|b"}),
    ("sku", {"sku": "a/b"}),
    ("sku", {"sku": "'; DROP TABLE events; --"}),
    ("sku", {"sku": "\x00"}),
    ("sku", {"sku": "y" * 10_000}),
    ("sku", {"sku": "\u202emilk"}),
    ("quantity", {"quantity": 0}),
    ("quantity", {"quantity": 1_000_000_001}),
    ("quantity", {"quantity": -1_000_000_001}),
    ("quantity", {"quantity": 2**63 - 1}),
    ("quantity", {"quantity": -(2**63)}),
    ("source_id", {"source_id": ""}),
    ("source_id", {"source_id": "s" * 129}),
    ("source_id", {"source_id": "a\tb"}),
    ("source_id", {"source_id": "a\nb"}),
    ("source_id", {"source_id": "\x07"}),
    ("source_id", {"source_id": "\u200b"}),
    ("occurred_at", {"occurred_at": FUTURE}),
    ("occurred_at", {"occurred_at": Timestamp(seconds=2**62)}),
    ("occurred_at", {"occurred_at": Timestamp(seconds=-(2**62))}),
    ("occurred_at", {"occurred_at": Timestamp(seconds=253_402_300_800)}),
    ("occurred_at", {"occurred_at": Timestamp(seconds=-62_135_596_801)}),
]


async def test_thirty_malformed_rows_are_refused_each_for_its_own_reason(feeds: Feeds) -> None:
    good: Any = {"site_id": "paris", "sku": "milk", "quantity": 1}
    rows = [
        MovementRow(**{**good, "source_id": f"s-{n}", **bad})
        for n, (_, bad) in enumerate(MALFORMED)
    ]
    rows.append(MovementRow(**good, source_id="good"))
    answer = await feeds.grpc.PostTillSales(
        wire.PostTillSalesRequest(request_id="bad", rows=rows), NOTHING
    )
    assert len(MALFORMED) >= 30
    assert answer.outcome.recorded == 1
    for problem, (field, _) in zip(answer.outcome.problems, MALFORMED, strict=True):
        assert problem.detail.startswith(f"{field}: "), problem
        assert problem.remedy == f"mend {field} and send it again"
    assert len(await feeds.quarantine()) == len(MALFORMED)
    assert await feeds.level("milk") == (-1, 0, 0, 0, -1)
    assert await feeds.is_right()


async def test_what_only_one_kind_has_is_checked_too(feeds: Feeds) -> None:
    common: Any = {"site_id": "paris", "sku": "milk", "quantity": 1, "source_id": "s"}
    calls: list[tuple[Any, Any, list[Any]]] = [
        (
            feeds.grpc.PostShrinkage,
            wire.PostShrinkageRequest,
            [
                a.ShrinkageRow(**common),
                a.ShrinkageRow(**common, reason=9),
                a.ShrinkageRow(**common, reason=1, bucket=8),
                a.ShrinkageRow(**common, reason=1, bucket=2),
            ],
        ),
        (
            feeds.grpc.PostOnlineMovements,
            wire.PostOnlineMovementsRequest,
            [
                a.OnlineRow(**common, reservation_id="W"),
                a.OnlineRow(**common, step=1),
                a.OnlineRow(**{**common, "quantity": -1}, step=1, reservation_id="W"),
                a.OnlineRow(**common, step=1, reservation_id="W"),
                a.OnlineRow(**common, step=4, reservation_id="W"),
            ],
        ),
        (
            feeds.grpc.PostReturns,
            wire.PostReturnsRequest,
            [a.ReturnRow(**common), a.ReturnRow(**common, disposition=5)],
        ),
        (
            feeds.grpc.PostTransport,
            wire.PostTransportRequest,
            [
                a.TransportRow(**common),
                a.TransportRow(**common, stage=3),
                a.TransportRow(**common, stage=9, reservation_id="W"),
                a.TransportRow(**common, stage=1, reservation_id="W"),
            ],
        ),
        (
            feeds.grpc.PostReservations,
            wire.PostReservationsRequest,
            [
                a.ReservationRow(reservation_id="R-9"),
                a.ReservationRow(action=1),
                a.ReservationRow(reservation_id="R-9", action=2),
                a.ReservationRow(reservation_id="R-9", action=1, site_id="a", sku="b"),
            ],
        ),
    ]
    for n, (call, request, rows) in enumerate(calls):
        answer = await call(request(request_id=f"r-{n}", rows=rows), NOTHING)
        assert len(answer.outcome.problems) == len(rows), answer
        assert answer.outcome.recorded == 0
    for wrong in (
        wire.PostReceiptsRequest(request_id="r"),
        wire.PostReceiptsRequest(request_id="", rows=movements(("milk", 1, "a"))),
        wire.PostReceiptsRequest(request_id="r", rows=movements(("milk", 1, "a")), lines=[1, 2]),
        wire.PostReceiptsRequest(request_id="r", rows=movements(*[("milk", 1, "a")] * 5_001)),
        wire.PostReceiptsRequest(request_id="r", source="a b", rows=movements(("milk", 1, "a"))),
    ):
        with pytest.raises(Invalid):
            await feeds.grpc.PostReceipts(wrong, NOTHING)


async def test_a_repeat_has_the_time_it_had_unless_its_source_names_no_time(feeds: Feeds) -> None:
    """A day that is not over is told as of another time by every interchange."""

    async def sold(hours: int, *, is_day_only: bool) -> wire.FeedOutcome:
        row = MovementRow(
            site_id="paris",
            sku="tea",
            quantity=1,
            source_id="t-1",
            occurred_at=stamp(NOON - timedelta(hours=hours)),
            is_day_only=is_day_only,
        )
        request_id = f"sale-{hours}-{is_day_only}"
        request = wire.PostTillSalesRequest(request_id=request_id, rows=[row])
        return (await feeds.grpc.PostTillSales(request, NOTHING)).outcome

    assert (await sold(3, is_day_only=True)).recorded == 1
    assert (await sold(2, is_day_only=True)).duplicates == 1
    [problem] = (await sold(2, is_day_only=False)).problems
    assert problem.reason == "IDEMPOTENCY_MISMATCH"
    assert (await sold(3, is_day_only=False)).duplicates == 1
