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
from services.kernel.application.runner import UseCase
from services.kernel.domain.errors import Invalid, NotFound, Rejected
from services.kernel.domain.messages import Cause as Why
from services.kernel.domain.messages import stream_id
from services.kernel.entrypoints.calls import CALLER, Caller
from services.stock_ledger.application.handlers import Reservations, Terms
from services.stock_ledger.application.moving import move_to
from services.stock_ledger.application.recording import record
from services.stock_ledger.domain.entry import Buckets, EntryPosted
from services.stock_ledger.domain.reservation_events import Line
from services.stock_ledger.domain.stock_commands import Movement, Pick, Receive, SellAtTill
from services.stock_ledger.domain.stock_item import stock_key
from services.stock_ledger.entrypoints.grpc_server import StockLedgerGrpc
from services.stock_ledger.read_models.availability import alternatives
from services.stock_ledger.read_models.balance_marks import BLOCK, MARKS
from services.stock_ledger.read_models.past import balances, versions
from services.stock_ledger.read_models.verification import violations
from tests.support.stack import TENANT, Stack, running
from tests.unit.stock_ledger.test_image import balance_at

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
    return balance_at([entry for entry, _ in entries], until)


@pytest.fixture
async def ledger(postgres_dsn: str) -> AsyncIterator[Past]:
    async with running(postgres_dsn, ["stock_ledger"], clock=Clock()) as stack:
        yield Past(stack)


@pytest.fixture(autouse=True)
def _caller() -> None:
    """Fixtures and tests run in different contexts."""
    CALLER.set(Caller(TENANT, "key-1", frozenset({"stock:write"}), "correlation", ""))


def image(*rows: wire.ImageRow, at: datetime | None = None, **fields: Any) -> Any:
    shared: dict[str, Any] = {
        "request_id": "image",
        "kind": wire.IMAGE_KIND_IMAGE,
        "basis": wire.IMAGE_BASIS_PHYSICAL,
    } | fields
    return wire.PostImagesRequest(
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


async def test_an_image_in_another_zone_is_known_by_the_times_it_may_have_had(ledger: Past) -> None:
    async def post(minutes: int, *also: int) -> int:
        row = seen("milk", 9, "w", minute(minutes))
        row.also_at.extend([stamp(minute(one)) for one in also])
        request = image(row, request_id=f"image-{minutes}-{len(also)}")
        return (await ledger.grpc.PostImages(request, NOTHING)).results[0].status

    assert await post(120) == wire.ROW_STATUS_RECORDED
    assert await post(60) == wire.ROW_STATUS_REFUSED
    assert await post(60, 0, 120) == wire.ROW_STATUS_DUPLICATE
    assert await post(60, *range(9)) == wire.ROW_STATUS_REFUSED, "too many"


async def test_an_image_says_what_it_is(ledger: Past) -> None:
    row = seen("milk", 1, "w")
    for request, field in [
        (image(row, at=NOON, kind=wire.IMAGE_KIND_UNSPECIFIED), "kind"),
        (image(row, at=NOON, basis=wire.IMAGE_BASIS_UNSPECIFIED), "basis"),
        (image(row, at=NOON + timedelta(days=2)), "occurred_at"),
        (image(at=NOON), "rows"),
    ]:
        with pytest.raises(Invalid, match=field):
            await ledger.grpc.PostImages(request, NOTHING)


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


async def a_history(ledger: Past) -> list[tuple[EntryPosted, datetime]]:
    """Milk at Paris over three and a half blocks, in nearly any order; bread as well, a little."""
    rng = random.Random(3)  # noqa: S311 - a test
    milk, bread = stock_key("paris", "milk"), stock_key("paris", "bread")
    for start in range(0, 448, 64):
        movements: list[tuple[str, Movement]] = []
        for n in range(start, start + 64):
            when = minute(n + rng.choice([0, 0, 0, -30]))
            sold = SellAtTill(rng.randint(1, 3), f"t{n}", when)
            movements.append((milk, sold if n % 4 else Receive(9, f"n{n}", when)))
        movements.append((bread, Receive(1, f"n{start}", minute(start))))
        await ledger.post(f"part-{start}", movements)
    await ledger.stack.settle()
    return await ledger.entries(milk)


async def test_every_stock_query_answers_for_the_past(ledger: Past) -> None:
    log = await a_history(ledger)
    as_of, known_at = minute(200), log[299][1]
    known = [entry for entry in log if entry[1] <= known_at]
    right = fold(known, as_of)
    clocks: dict[str, Any] = {"as_of": stamp(as_of), "known_at": stamp(known_at)}
    pairs = [wire.SiteSku(site_id="paris", sku=sku) for sku in ("milk", "bread", "tea")]
    of_pairs = await ledger.grpc.GetAvailability(
        wire.GetAvailabilityRequest(pairs=pairs, **clocks), NOTHING
    )
    assert [level.on_hand for level in of_pairs.levels] == [right.on_hand, 4, 0]
    assert of_pairs.levels[0].version == len(known)
    of_sku = await ledger.grpc.GetSkuAvailability(
        wire.GetSkuAvailabilityRequest(sku="milk", **clocks), NOTHING
    )
    assert list(of_sku.levels) == [of_pairs.levels[0]]
    of_sites = await ledger.grpc.GetSkuAvailability(
        wire.GetSkuAvailabilityRequest(sku="milk", site_ids=["paris"], **clocks), NOTHING
    )
    assert list(of_sites.levels) == [of_pairs.levels[0]]
    of_site = await ledger.grpc.ListSiteStock(
        wire.ListSiteStockRequest(site_id="paris", page_size=1, **clocks), NOTHING
    )
    assert list(of_site.levels) == [of_pairs.levels[1]]
    assert of_site.next_page_token
    listed = await ledger.grpc.ListEntries(
        wire.ListEntriesRequest(site_id="paris", sku="milk", page_size=200, **clocks), NOTHING
    )
    assert len(listed.entries) == 200
    assert all(entry.occurred_at.ToDatetime(UTC) <= as_of for entry in listed.entries)
    assert all(entry.recorded_at.ToDatetime(UTC) <= known_at for entry in listed.entries)


async def test_of_an_entry_of_many_reports_the_part_of_the_time_is_listed(ledger: Past) -> None:
    milk = stock_key("paris", "milk")
    sales: list[tuple[str, Movement]] = [
        (milk, SellAtTill(1, "early", minute(1))),
        (milk, SellAtTill(2, "late", minute(121))),
    ]
    await ledger.post("both at once", sales)
    await ledger.stack.settle()
    asked = wire.ListEntriesRequest(site_id="paris", sku="milk", as_of=stamp(minute(60)))
    [entry] = (await ledger.grpc.ListEntries(asked, NOTHING)).entries
    assert entry.occurred_at.ToDatetime(UTC) == minute(1)
    assert sorted(posting.quantity for posting in entry.postings) == [-1, 1]
    asked.as_of.CopyFrom(stamp(minute(0)))
    assert not (await ledger.grpc.ListEntries(asked, NOTHING)).entries


async def test_an_explanation_adds_up(ledger: Past) -> None:
    log = await a_history(ledger)
    for since, as_of in [(None, None), (100, 350), (30, 60), (0, 9_999)]:
        await _adds_up(ledger, log, since, as_of)


async def _adds_up(
    ledger: Past,
    log: Sequence[tuple[EntryPosted, datetime]],
    since: int | None,
    as_of: int | None,
) -> None:
    question: dict[str, Any] = {"site_id": "paris", "sku": "milk", "page_size": 100}
    if since is not None:
        question["since"] = stamp(minute(since))
    if as_of is not None:
        question["as_of"] = stamp(minute(as_of))
    first = await ledger.grpc.ExplainStock(wire.ExplainStockRequest(**question), NOTHING)
    until = minute(as_of if as_of is not None else 10_000)
    assert first.closing.on_hand == fold(log, until).on_hand
    assert first.opening.on_hand == (0 if since is None else fold(log, minute(since)).on_hand)
    for bucket in ("free", "on_hand"):
        moved = sum(getattr(cause, bucket) for cause in first.causes)
        assert getattr(first.opening, bucket) + moved == getattr(first.closing, bucket)
    entries, token = list(first.entries), first.next_page_token
    while token:
        more = await ledger.grpc.ExplainStock(
            wire.ExplainStockRequest(page_token=token, **question), NOTHING
        )
        entries, token = entries + list(more.entries), more.next_page_token
    assert len(entries) == sum(cause.entries for cause in first.causes)
    assert len({entry.version for entry in entries}) == len(entries)
    moved = sum(p.quantity for e in entries for p in e.postings if p.account == "free")
    assert first.opening.free + moved == first.closing.free


async def test_what_changed_between_two_times(ledger: Past) -> None:
    log = await a_history(ledger)
    request = wire.CompareStockRequest(
        site_id="paris", since=stamp(minute(100)), until=stamp(minute(300)), page_size=1
    )
    first = await ledger.grpc.CompareStock(request, NOTHING)
    [bread] = first.differences
    assert (bread.before.on_hand, bread.after.on_hand) == (2, 5)
    request.page_token = first.next_page_token
    second = await ledger.grpc.CompareStock(request, NOTHING)
    [milk] = second.differences
    assert milk.before.free == fold(log, minute(100)).free
    assert milk.after.free == fold(log, minute(300)).free
    assert second.next_page_token == ""
    by_sku = await ledger.grpc.CompareStock(
        wire.CompareStockRequest(sku="milk", since=request.since, until=request.until), NOTHING
    )
    by_pair = await ledger.grpc.CompareStock(
        wire.CompareStockRequest(
            pairs=[wire.SiteSku(site_id="paris", sku="milk")],
            since=request.since,
            until=request.until,
        ),
        NOTHING,
    )
    assert list(by_sku.differences) == list(by_pair.differences) == [milk]


async def test_a_comparison_says_of_what_and_since_when(ledger: Past) -> None:
    for request, field in [
        (wire.CompareStockRequest(site_id="paris"), "since"),
        (wire.CompareStockRequest(since=stamp(NOON)), "pairs"),
        (wire.CompareStockRequest(since=stamp(NOON), site_id="paris", sku="milk"), "pairs"),
        (wire.CompareStockRequest(since=Timestamp(seconds=2**60), sku="milk"), "since"),
    ]:
        with pytest.raises(Invalid, match=field):
            await ledger.grpc.CompareStock(request, NOTHING)
    backwards = wire.ExplainStockRequest(
        site_id="paris", sku="milk", since=stamp(minute(9)), as_of=stamp(minute(3))
    )
    with pytest.raises(Invalid, match="since"):
        await ledger.grpc.ExplainStock(backwards, NOTHING)


async def test_every_read_model_of_a_mixed_history_equals_its_replay(
    ledger: Past, postgres_dsn: str
) -> None:
    """Facts late and repeated, promises, picks and images, as they come; then row by row."""
    rng = random.Random(11)  # noqa: S311 - a test
    promises = Reservations(timedelta(minutes=15), alternatives, 3)
    pairs = [("paris", sku) for sku in ("milk", "bread", "tea")]
    lyon = [(stock_key("lyon", sku), Receive(40, "n", minute(0))) for _, sku in pairs]
    await ledger.post("lyon", lyon)
    partly = Terms(takes_what_there_is=True, holder_id="customer-1")
    for turn in range(150):
        site_id, sku = rng.choice(pairs)
        key, when = stock_key(site_id, sku), minute(turn // 2 - rng.choice([0, 0, 30]))
        lines, one = [Line(site_id, sku, rng.randint(1, 9))], f"R{rng.randint(1, 30)}"
        unit: UseCase[Any] = rng.choice(
            [
                lambda work: record(work, [(key, Receive(9, f"n{turn // 2}", when))]),  # noqa: B023
                lambda work: record(work, [(key, SellAtTill(2, f"t{turn // 2}", when))]),  # noqa: B023
                lambda work: promises.reserve_plan(work, one, 1, lines),  # noqa: B023
                lambda work: promises.reserve(work, one, lines, None, partly),  # noqa: B023
                lambda work: promises.confirm(work, one, refuse=False),  # noqa: B023
                lambda work: promises.release(work, one),  # noqa: B023
                lambda work: move_to(work, one, ("paris", "lyon"), {}, alternatives),  # noqa: B023
                lambda work: promises.end(work, one, "cancelled"),  # noqa: B023
                lambda work: record(work, [(key, Pick(one, 1, f"p{turn}", when))]),  # noqa: B023
            ]
        )
        if turn % 10 == 9:
            rows = [seen(sku, rng.randint(0, 20), f"w{turn}", when) for _, sku in pairs]
            await ledger.grpc.PostImages(image(*rows, request_id=f"image-{turn}"), NOTHING)
        try:
            await ledger.host.runner.execute(Why(TENANT, f"turn-{turn}"), unit)
        except (Rejected, NotFound):
            continue  # most of what is drawn is out of place
    await ledger.stack.settle()
    topics = {row[0] for row in await ledger.sql.fetch("SELECT DISTINCT topic FROM events")}
    assert topics >= {"reservation.moved.v1", "holder.counted.v1", "holder.uncounted.v1"}
    assert await ledger.sql.fetchval("SELECT count(*) FROM reservation WHERE lacking <> ''") > 0
    name = await ledger.sql.fetchval("SELECT current_database()")
    dsn = postgres_dsn.replace("/postgres?", f"/{name}?")
    for model in ledger.host.service.read_models:
        assert await compare(dsn, ledger.host.service.codec, model, lambda _, __: None) == []
    assert [one async for one in violations(ledger.sql, Clock.at)] == []
    for _, sku in pairs:
        key = stock_key("paris", sku)
        [live] = await balances(ledger.sql, TENANT, [(key, 10_000, minute(10_000))])
        assert live == fold(await ledger.entries(key), minute(10_000))


async def test_rows_of_an_image_that_were_refused_may_come_again_in_the_same_call(
    ledger: Past,
) -> None:
    """One row lay in the future when the call came first; ids of events follow from the call's."""
    clock = ledger.grpc._clock = Clock()
    later = clock.at + timedelta(minutes=10)
    rows = [
        wire.ImageRow(site_id="paris", sku=sku, quantity=5, source_id="i", occurred_at=stamp(at))
        for sku, at in (("milk", NOON), ("bread", later))
    ]
    first = (await ledger.grpc.PostImages(image(*rows), NOTHING)).results
    assert [one.status for one in first] == [wire.ROW_STATUS_RECORDED, wire.ROW_STATUS_REFUSED]
    clock.at += timedelta(minutes=20)
    again = (await ledger.grpc.PostImages(image(*rows), NOTHING)).results
    assert [one.status for one in again] == [wire.ROW_STATUS_DUPLICATE, wire.ROW_STATUS_RECORDED]
    assert [len(await ledger.entries(f"paris|{sku}")) for sku in ("milk", "bread")] == [1, 1]
