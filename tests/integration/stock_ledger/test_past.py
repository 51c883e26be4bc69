"""The past on a real database: images against it, and every question answered as a fold would."""

import random  # noqa: TID251 - seeded
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from oms.stock_ledger.v1 import stock_ledger_service_pb2 as wire

from services.kernel.adapters.rebuild import compare
from services.kernel.domain.errors import Invalid
from services.kernel.domain.messages import Cause as Why
from services.kernel.domain.messages import stream_id
from services.kernel.entrypoints.calls import CALLER, Caller
from services.stock_ledger.application.handlers import Reservations, record
from services.stock_ledger.domain.entry import Buckets, EntryPosted
from services.stock_ledger.domain.stock_item import Movement, Receive, SellAtTill, stock_key
from services.stock_ledger.entrypoints.grpc_server import StockLedgerGrpc
from services.stock_ledger.read_models import past
from services.stock_ledger.read_models.availability import alternatives
from services.stock_ledger.read_models.past import BLOCK, MARKS, balances, versions
from services.stock_ledger.read_models.verification import violations
from tests.support.stack import TENANT, Stack, running

pytestmark = pytest.mark.stack
NOTHING: Any = None
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Clock:
    at = NOON + timedelta(days=1)

    def now(self) -> datetime:
        return self.at


def minute(number: int) -> datetime:
    return NOON + timedelta(minutes=number)


def stamp(at: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(at)
    return made


class Past:
    """The service, and a fold of its log to compare with."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.host = stack["stock_ledger"]
        self.sql = self.host.database.sql
        self.grpc = StockLedgerGrpc(
            self.host.runner,
            self.host.reader,
            Clock(),
            Reservations(timedelta(minutes=15), alternatives),
        )

    async def post(self, name: str, movements: Sequence[tuple[str, Movement]]) -> None:
        await self.host.runner.execute(Why(TENANT, name), lambda work: record(work, movements))

    async def entries(self, key: str) -> list[tuple[EntryPosted, datetime]]:
        rows = await self.sql.fetch(
            "SELECT state, recorded_at FROM events WHERE originator_id = $1"
            " ORDER BY originator_version",
            stream_id(TENANT, "stock", key),
        )
        return [(msgspec.json.decode(row[0], type=EntryPosted), row[1]) for row in rows]


def fold(entries: Sequence[tuple[EntryPosted, datetime]], until: datetime) -> Buckets:
    sums = dict.fromkeys(Buckets.__dataclass_fields__, 0)
    for entry, _ in entries:
        for posting in entry.postings:
            if posting.account in sums and entry.occurred_at <= until:
                sums[posting.account] += posting.quantity
    return Buckets(**sums)


@pytest.fixture
async def ledger(postgres_dsn: str) -> AsyncIterator[Past]:
    async with running(postgres_dsn, ["stock_ledger"], clock=Clock()) as stack:
        yield Past(stack)


@pytest.fixture(autouse=True)
def _caller() -> None:
    """Fixtures and tests run in different contexts."""
    CALLER.set(Caller(TENANT, "key-1", frozenset({"stock:write"}), "correlation", ""))


def image(*rows: wire.ImageRow, at: datetime | None = None, **fields: Any) -> Any:
    shared = {"kind": wire.IMAGE_KIND_IMAGE, "basis": wire.IMAGE_BASIS_PHYSICAL} | fields
    return wire.PostImagesRequest(
        request_id="image",
        is_picked_included=True,
        occurred_at=stamp(at) if at else None,
        rows=rows,
        **shared,
    )


def seen(sku: str, quantity: int, source_id: str, at: datetime | None = None) -> wire.ImageRow:
    return wire.ImageRow(
        site_id="paris",
        sku=sku,
        quantity=quantity,
        source_id=source_id,
        occurred_at=stamp(at) if at else None,
    )


async def test_an_image_is_compared_with_its_own_time(ledger: Past) -> None:
    milk, bread = stock_key("paris", "milk"), stock_key("paris", "bread")
    await ledger.post(
        "day",
        [
            (milk, Receive(10, "n", minute(0))),
            (milk, SellAtTill(4, "t", minute(20))),
            (bread, Receive(5, "n", minute(0))),
        ],
    )
    request = image(
        *(seen("milk", 9, "w"), seen("bread", 7, "w"), seen("tea", 3, "w", minute(5))),
        *(seen("mi|k", 1, "w"), seen("milk", -1, "x")),
        at=minute(10),
    )
    answer = await ledger.grpc.PostImages(request, NOTHING)
    assert [(row.status, row.level.free) for row in answer.results] == [
        (wire.ROW_STATUS_RECORDED, 5),
        (wire.ROW_STATUS_RECORDED, 7),
        (wire.ROW_STATUS_RECORDED, 3),
        (wire.ROW_STATUS_REFUSED, 0),
        (wire.ROW_STATUS_REFUSED, 0),
    ]
    again = await ledger.grpc.PostImages(request, NOTHING)
    assert [row.status for row in again.results[:3]] == [wire.ROW_STATUS_DUPLICATE] * 3
    await ledger.post("late", [(milk, SellAtTill(1, "late", minute(5)))])
    assert fold(await ledger.entries(milk), minute(10)).on_hand == 9
    assert fold(await ledger.entries(milk), minute(60)).on_hand == 5
    await ledger.stack.settle()
    assert [one async for one in violations(ledger.sql, Clock.at)] == []


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (image(seen("milk", 1, "w"), at=NOON, kind=wire.IMAGE_KIND_UNSPECIFIED), "kind"),
        (image(seen("milk", 1, "w"), at=NOON, basis=wire.IMAGE_BASIS_UNSPECIFIED), "basis"),
        (image(seen("milk", 1, "w"), at=NOON + timedelta(days=2)), "occurred_at"),
        (image(at=NOON), "rows"),
    ],
)
async def test_an_image_says_what_it_is(
    ledger: Past, request_: wire.PostImagesRequest, field: str
) -> None:
    with pytest.raises(Invalid, match=field):
        await ledger.grpc.PostImages(request_, NOTHING)


async def test_an_image_without_a_time_is_refused_row_by_row(ledger: Past) -> None:
    answer = await ledger.grpc.PostImages(image(seen("milk", 1, "w")), NOTHING)
    assert answer.results[0].status == wire.ROW_STATUS_REFUSED
    assert "occurred_at" in answer.results[0].detail


async def test_the_past_is_what_a_fold_of_the_log_says(ledger: Past) -> None:
    """Three items: one long in order, one long in any order, one short."""
    rng = random.Random(7)  # noqa: S311 - a test
    keys = [stock_key("paris", sku) for sku in ("tidy", "untidy", "short", "none")]
    lengths = {keys[0]: 3 * BLOCK + 17, keys[1]: 4 * BLOCK, keys[2]: 9}
    for start in range(0, 4 * BLOCK, 100):
        movements: list[tuple[str, Movement]] = []
        for n in range(start, start + 100):
            for key, length in lengths.items():
                if n < length:
                    when = minute(rng.randint(0, 900) if key == keys[1] else n)
                    sold = SellAtTill(rng.randint(1, 9), f"t{n}", when)
                    movements.append((key, sold if n % 3 else Receive(20, f"n{n}", when)))
        await ledger.post(f"part-{start}", movements)
    await ledger.stack.settle()
    marks = await ledger.sql.fetch("SELECT sku, version FROM balance_mark ORDER BY 1, 2")
    assert [tuple(row) for row in marks] == [
        *(("tidy", n * BLOCK) for n in (1, 2, 3)),
        *(("untidy", n * BLOCK) for n in (1, 2, 3, 4)),
    ]
    logs = {key: await ledger.entries(key) for key in keys}
    for _ in range(60):
        asked = [
            (key, rng.randint(0, len(logs[key])), minute(rng.randint(-5, 905))) for key in keys
        ]
        assert await balances(ledger.sql, TENANT, asked) == [
            fold(logs[key][:version], until) for key, version, until in asked
        ]
    pairs = [("paris", sku) for sku in ("tidy", "untidy", "short", "none")]
    assert await versions(ledger.sql, TENANT, pairs, None) == [len(logs[key]) for key in keys]
    for _ in range(20):
        known_at = logs[keys[1]][rng.randrange(4 * BLOCK)][1]
        assert await versions(ledger.sql, TENANT, pairs, known_at) == [
            sum(recorded_at <= known_at for _, recorded_at in logs[key]) for key in keys
        ]
    # Marks only make it quicker: without any of them, the log alone says the same.
    asked = [(keys[1], 300, minute(400))]
    before = await balances(ledger.sql, TENANT, asked)
    await ledger.sql.execute("DELETE FROM balance_mark")
    assert await balances(ledger.sql, TENANT, asked) == before
    assert past.MARKS is MARKS


async def test_marks_equal_a_replay(ledger: Past, postgres_dsn: str) -> None:
    key = stock_key("paris", "milk")
    for part in range(3):
        movements = [(key, Receive(1, f"{part}-{n}", minute(n))) for n in range(100)]
        await ledger.post(f"part-{part}", movements)
    await ledger.stack.settle()
    assert await ledger.sql.fetchval("SELECT count(*) FROM balance_mark") == 2
    owner = await ledger.sql.fetchval("SELECT current_database()")
    dsn = postgres_dsn.replace("/postgres?", f"/{owner}?")
    assert await compare(dsn, ledger.host.service.codec, MARKS, lambda _, __: None) == []
