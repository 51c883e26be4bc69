"""A feed taken away as a file: every event once, whatever happens on the way."""

import csv
import importlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from oms.common.v1.common_pb2 import GroupLine, Money, Step, StepType
from oms.order.v1.order_events_pb2 import (
    Group,
    GroupStepStarted,
    OrderCompleted,
    OrderEvent,
    OrderLine,
    OrderPlaced,
    PaymentCaptured,
)

from services.kernel.adapters.feed_columns import ENVELOPE, FeedTable
from services.kernel.adapters.feed_contracts import contract_of, decoded
from services.kernel.application.feeds import Envelope
from services.kernel.application.reading import Gone, Period
from services.kernel.main import export as module
from services.kernel.main.export import (
    CannotExport,
    Exported,
    Request,
    export,
    gone_on_with,
    settled,
)
from services.kernel.main.feed_directory import feeds
from tests.support.feed_of import NOON, FeedOf, envelope

TOPIC = "oms.order.v1.events"
FORMATS = ("parquet", "csv", "jsonl")


def placed(n: int) -> OrderEvent:
    at = Timestamp()
    at.FromDatetime(NOON + timedelta(minutes=n, microseconds=7))
    lines = [OrderLine(line_id=str(m), sku="été", quantity=m, gross_minor=5) for m in range(n % 3)]
    return OrderEvent(
        order_placed=OrderPlaced(order_id=f"O{n}", lines=lines, currency="EUR", placed_at=at)
    )


def started(n: int) -> OrderEvent:
    return OrderEvent(
        group_step_started=GroupStepStarted(
            order_id=f"O{n}",
            group=Group(group_id=f"O{n}.1", lines=[GroupLine(line_id="1", quantity=3)]),
            step=Step(step_id="picking", type=StepType.STEP_TYPE_WORK),
        )
    )


def some(count: int) -> list[Envelope]:
    return [envelope(n, (placed if n % 2 else started)(n)) for n in range(1, count + 1)]


def a_request(format_: str = "jsonl", **changes: Any) -> Request:
    fields = {"since": "beginning", "until": "", "tenant": "", "names": (), "source": "store"}
    return Request(TOPIC, format_, **{**fields, **changes})


async def exported(
    feed: FeedOf, target: Path, request: Request | None = None, segment_rows: int = 3
) -> Exported:
    told: list[str] = []
    done = await export(
        feed,
        request or a_request(target.suffix.removeprefix(".")),
        settled(target, Period()),
        target,
        lambda *_: None,
        told.append,
        now=NOON,
        segment_rows=segment_rows,
    )
    assert len(told) == done.unreadable
    return done


def rows_of(target: Path) -> list[dict[str, Any]]:
    """The rows of a file as somebody else's program reads them."""
    found = duckdb.execute(f"SELECT * FROM '{target}' ORDER BY log_position")
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def lies_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


@pytest.mark.parametrize("format_", FORMATS)
async def test_a_file_holds_every_event_once(tmp_path: Path, format_: str) -> None:
    target = tmp_path / f"order.{format_}"
    done = await exported(FeedOf(some(10)), target)
    assert done == Exported(rows=10, unreadable=0, resumed_rows=0)
    rows = rows_of(target)
    assert [row["log_position"] for row in rows] == list(range(1, 11))
    assert [row["event"] for row in rows[:2]] == ["OrderPlaced", "GroupStepStarted"]
    assert rows[1]["group_id"] == "O2.1"
    assert rows[1]["step_type"] == "STEP_TYPE_WORK"
    assert lies_in(tmp_path) == [target]


async def test_parquet_keeps_kinds_times_and_lists(tmp_path: Path) -> None:
    target = tmp_path / "order.parquet"
    await exported(FeedOf(some(4)), target)
    frame = pd.read_parquet(target)
    assert frame["recorded_at"].dt.tz is not None
    assert frame["placed_at"][0] == pd.Timestamp(NOON + timedelta(minutes=1, microseconds=7))
    assert frame["log_position"].dtype == "int64"
    sums = duckdb.execute(
        f"SELECT sum(line.quantity) FROM (SELECT unnest(lines) AS line FROM '{target}'"
        " WHERE event = 'OrderPlaced')"
    ).fetchall()
    assert sums == [(0,)]
    (group,) = duckdb.execute(
        f"SELECT group_lines FROM '{target}' WHERE event = 'GroupStepStarted' LIMIT 1"
    ).fetchall()
    assert group[0] == [{"line_id": "1", "sku": "", "quantity": 3}]


async def test_a_period_without_events_is_a_table_without_rows(tmp_path: Path) -> None:
    target = tmp_path / "order.parquet"
    feed = FeedOf(some(4), period=Period(until=NOON))
    assert (await exported(feed, target)).rows == 0
    assert list(pd.read_parquet(target).columns[:2]) == ["event", "event_id"]


async def test_only_what_is_asked_for_has_rows_and_columns(tmp_path: Path) -> None:
    target = tmp_path / "captured.csv"
    captured = OrderEvent(
        payment_captured=PaymentCaptured(
            order_id="O9", amount=Money(amount_minor=617, currency="EUR")
        )
    )
    feed = FeedOf([*some(3), envelope(4, captured), envelope(5, captured, tenant="other")])
    request = a_request("csv", names=("PaymentCaptured",), tenant="demo")
    assert (await exported(feed, target, request)).rows == 1
    with target.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["amount_minor"], row["amount_currency"]) == ("617", "EUR")
    assert "placed_at" not in row


async def test_what_is_no_event_is_counted_and_left_out(tmp_path: Path) -> None:
    broken = envelope(2, placed(2))
    broken.value = b"\xff"
    feed = FeedOf([envelope(1, placed(1)), broken, envelope(3, placed(3))], ["offset 7: no key"])
    done = await exported(feed, tmp_path / "order.jsonl")
    assert (done.rows, done.unreadable) == (2, 2)


class Killed(BaseException):
    """What no code catches: as if the process had ended here."""


@pytest.fixture
def killing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Kill at the n-th time that something is about to be, or has just been, put in its place."""
    left = [0]
    replace = Path.replace

    def tick() -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    def replace_or_die(self: Path, target: Path) -> Path:
        tick()
        done = replace(self, target)
        tick()
        return done

    monkeypatch.setattr(Path, "replace", replace_or_die)
    yield lambda n: left.__setitem__(0, n)
    monkeypatch.undo()


@pytest.mark.parametrize("format_", FORMATS)
async def test_killed_at_any_step_it_goes_on_without_a_gap_or_a_repetition(
    tmp_path: Path, killing: Callable[[int], None], format_: str
) -> None:
    whole = tmp_path / f"whole.{format_}"
    killing(0)
    await exported(FeedOf(some(13)), whole)
    survived = 0
    for step in range(1, 100):
        target = tmp_path / f"{step}.{format_}"
        feed = FeedOf(some(13))
        killing(step)
        try:
            await exported(feed, target)
        except Killed:
            killing(0)
            if target.exists():
                # Killed when the file was in its place already: it is whole.
                assert rows_of(target) == rows_of(whole)
                survived += 1
                continue
            if (tmp_path / f"{target.name}.partial/note.json").exists():
                # What comes after the first start belongs to the next export.
                feed.envelopes.append(envelope(14, placed(14)))
            done = await exported(feed, target)
            assert done.rows == 13
            assert rows_of(target) == rows_of(whole), step
            survived += 1
        else:
            break
    assert survived >= 10


async def test_two_kills_are_as_good_as_one(tmp_path: Path, killing: Callable[[int], None]) -> None:
    target = tmp_path / "order.jsonl"
    feed = FeedOf(some(20))
    for step in (6, 4, 5):
        killing(step)
        with pytest.raises(Killed):
            await exported(feed, target)
    killing(0)
    done = await exported(feed, target)
    assert done.rows == 20
    assert 0 < done.resumed_rows < 20
    positions = [json.loads(line)["log_position"] for line in target.read_text().splitlines()]
    assert positions == list(range(1, 21))


async def test_two_hours_ago_is_when_it_began(
    tmp_path: Path, killing: Callable[[int], None]
) -> None:
    target = tmp_path / "order.jsonl"
    first = Period(NOON - timedelta(hours=2), NOON)
    killing(4)
    with pytest.raises(Killed):
        await export(
            FeedOf(some(9), period=first), a_request(since="2h"), first, target,
            lambda *_: None, lambda _: None, now=NOON, segment_rows=1,
        )  # fmt: skip
    killing(0)
    later = Period(NOON + timedelta(hours=1), None)
    assert settled(target, later) == first
    assert settled(tmp_path / "another.jsonl", later) == later
    assert "that began 2026-01-02T12:00:00+00:00, with the period" in gone_on_with(target)
    assert gone_on_with(tmp_path / "another.jsonl") == ""


async def test_what_is_left_of_a_finished_export_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while it clears up; its file is carried away, and a day later there is more."""
    target = tmp_path / "order.jsonl"

    def die(_: Path) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", die)
        with pytest.raises(Killed):
            await exported(FeedOf(some(9)), target)
    target.rename(tmp_path / "of-yesterday.jsonl")
    assert (await exported(FeedOf(some(12)), target)).rows == 12


async def test_another_export_of_the_same_name_is_not_mixed_in(
    tmp_path: Path, killing: Callable[[int], None]
) -> None:
    target = tmp_path / "order.jsonl"
    killing(6)
    with pytest.raises(Killed):
        await exported(FeedOf(some(9)), target)
    killing(0)
    with pytest.raises(CannotExport, match="holds another export"):
        await exported(FeedOf(some(9)), target, a_request(tenant="demo"))


async def test_a_log_that_has_another_history_is_not_gone_on_with(
    tmp_path: Path, killing: Callable[[int], None]
) -> None:
    target = tmp_path / "order.jsonl"
    feed = FeedOf(some(9))
    killing(6)
    with pytest.raises(Killed):
        await exported(feed, target)
    killing(0)
    feed.history = "restored"
    with pytest.raises(Gone, match="begin anew"):
        await exported(feed, target)


async def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    target = tmp_path / "order.jsonl"
    target.write_text("mine")
    with pytest.raises(CannotExport, match="is there already"):
        await exported(FeedOf(some(1)), target)
    assert target.read_text() == "mine"


async def test_two_at_once_do_not_write_one_file(tmp_path: Path) -> None:
    target = tmp_path / "order.jsonl"
    with (
        module._folder(target),
        pytest.raises(CannotExport, match="another process is exporting"),
    ):
        await exported(FeedOf(some(1)), target)


async def test_without_pyarrow_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError("No module named 'pyarrow'")

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(CannotExport, match=r"make analyst.*csv or jsonl"):
        module.files_of("parquet", ())


@pytest.mark.parametrize("feed", feeds(), ids=lambda feed: feed.publisher)
def test_the_columns_of_a_feed_have_names_of_their_own(feed: Any) -> None:
    names = [column.name for column in FeedTable(feed.contract).columns]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in names)
    assert names[: len(ENVELOPE)] == [column.name for column, _ in ENVELOPE]


def test_an_event_that_is_newer_has_its_attributes() -> None:
    newer = envelope(1, OrderEvent(order_completed=OrderCompleted(order_id="O1")))
    newer.value, newer.type = b"\x9a\x06\x02\x0a\x00", "oms.order.v1.OrderDreamt"
    contract = contract_of(TOPIC)
    row: Sequence[Any] = FeedTable(contract).row(decoded(contract, newer))
    assert row[0] == "OrderDreamt"
    assert row[6] == datetime(2026, 1, 2, 12, 0, 1, tzinfo=UTC)
    assert set(row[len(ENVELOPE) :]) == {None}
