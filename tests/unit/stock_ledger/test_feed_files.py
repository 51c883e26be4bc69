"""Files of feeds: what is read, what is put aside, that it counts once and goes on where it was."""

import csv
import errno
import fcntl
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as for_all
from hypothesis import strategies as st

from services.stock_ledger.entrypoints.feed_files.calls import Basis
from services.stock_ledger.entrypoints.feed_files.cells import WrongFile
from services.stock_ledger.entrypoints.feed_files.columns import KINDS
from services.stock_ledger.entrypoints.feed_files.command import read_codes
from services.stock_ledger.entrypoints.feed_files.importing import Report, import_file
from services.stock_ledger.entrypoints.feed_files.options import Options
from tests.support.fake_ledger import Cut, FakeLedger

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
# A fuzz run is these tests with more examples.
EXAMPLES = int(os.environ.get("OMS_FUZZ_EXAMPLES", "120"))
HEADER = "site_id,sku,quantity,source_id,occurred_at"
GOOD = "paris,milk,2,t-1,2026-03-02T12:00:00Z"


async def imported(
    path: Path, ledger: FakeLedger, kind: str = "till_sale", **options: Any
) -> Report:
    quarantine = path.with_suffix(".quarantine.csv")
    return await import_file(path, kind, ledger, Options(quarantine, **options))


def written(folder: Path, *lines: str, name: str = "feed.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def put_aside(path: Path) -> list[dict[str, str]]:
    quarantine = path.with_suffix(".quarantine.csv")
    if not quarantine.exists():
        return []
    with quarantine.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


async def test_a_file_is_posted_and_the_same_file_again_changes_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER, GOOD, "lyon;x,milk,1,a,", "paris,milk,-1,t-2,2026-03-02")
    ledger = FakeLedger()
    assert await imported(path, ledger) == Report(3, 2, 0, 1, 0)
    assert ledger.balance("paris", "milk") == 1
    assert [row["line"] for row in put_aside(path)] == ["3"]
    assert list(ledger.unreadable) == [3]
    before = dict(ledger.rows)
    assert await imported(path, ledger) == Report(3, 0, 2, 1, 0)
    assert ledger.rows == before
    assert not path.with_name("feed.csv.import").exists()


async def test_rows_without_an_id_are_known_by_what_they_say(tmp_path: Path) -> None:
    """Twice the same line is two sales; the file again is none."""
    lines = ["site_id;sku;quantity;occurred_at", *["paris;milk;1;2026-03-02T12:00:00+01:00"] * 2]
    path = written(tmp_path, *lines)
    ledger = FakeLedger()
    assert (await imported(path, ledger)).recorded == 2
    longer = written(tmp_path, *lines, lines[-1], name="longer.csv")
    report = await imported(longer, ledger)
    assert (report.recorded, report.duplicates) == (1, 2)
    assert ledger.balance("paris", "milk") == 3


async def test_rows_of_one_product_at_one_site_travel_together(tmp_path: Path) -> None:
    rows = [f"S{n % 7},P{n % 11},1,t-{n}," for n in range(6_000)]
    ledger = FakeLedger()
    assert (await imported(written(tmp_path, HEADER, *rows), ledger)).recorded == 6_000
    assert len(ledger.calls) == 2
    pairs = [[(row.site_id, row.sku) for row in request.rows] for _, request in ledger.calls]
    assert not set(pairs[0]) & set(pairs[1])
    for told in pairs:
        changes = sum(one != other for one, other in pairwise(told))
        assert changes == len(set(told)) - 1


async def test_an_interrupted_import_goes_on_where_it_was(tmp_path: Path) -> None:
    rows = [f"S{n % 50},P{n},1,t-{n}," for n in range(20_000)]
    path = written(tmp_path, HEADER, "a b,milk,1,bad,", *rows)
    ledger = FakeLedger()
    ledger.refused_skus = frozenset({"P7"})
    ledger.cut_after = 3  # the report of what is unreadable, and two batches
    with pytest.raises(Cut):
        await imported(path, ledger)
    ledger.cut_after = None
    begun = len(ledger.calls)
    report = await imported(path, ledger)
    sent = [request for name, request in ledger.calls[begun:] if name == "PostTillSales"]
    assert report.skipped > 0
    assert report.skipped + sum(len(request.rows) for request in sent) == 20_000
    assert len(ledger.rows) == 19_999
    assert {row["line"] for row in put_aside(path)} == {"2", "10"}
    assert report.duplicates in (0, 5_000)  # a call may lack its answer


async def test_another_file_under_the_same_name_begins_anew(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER, GOOD)
    (tmp_path / "feed.csv.import").write_text('{"file": "another", "calls": 9}')
    assert (await imported(path, FakeLedger())).recorded == 1
    (tmp_path / "feed.csv.import").write_text("{broken")
    assert (await imported(path, FakeLedger())).skipped == 0


@pytest.mark.parametrize(
    ("kind", "header", "row", "rpc"),
    [
        ("receipt", "", "", "PostReceipts"),
        ("shrinkage", ",reason,bucket", ",breakage,damaged", "PostShrinkage"),
        ("online", ",step,reservation_id", ",held,web-1", "PostOnlineMovements"),
        ("return", ",disposition", ",quarantine", "PostReturns"),
        ("transport", ",stage", ",shipped", "PostTransport"),
        ("reservation", ",reservation_id,action", ",R-1,reserve", "PostReservations"),
        ("in_transit", ",due_at", ",2026-03-05T08:00:00Z", "PutInbound"),
        ("image", "", "", "PostImages"),
        ("count", "", "", "PostImages"),
    ],
)
async def test_every_kind_has_its_call(
    tmp_path: Path, kind: str, header: str, row: str, rpc: str
) -> None:
    ledger = FakeLedger()
    path = written(tmp_path, HEADER + header, GOOD + row)
    assert (await imported(path, ledger, kind)).recorded == 1
    [(name, request)] = ledger.calls
    assert name == rpc
    assert request.rows[0].quantity == 2


async def test_an_image_may_say_once_of_when_it_is(tmp_path: Path) -> None:
    ledger = FakeLedger()
    path = written(tmp_path, "site_id,sku,quantity", "paris,milk,0")
    report = await imported(path, ledger, "image", basis=Basis(is_available=True, at=NOON))
    assert report.recorded == 1
    [(_, request)] = ledger.calls
    assert request.rows[0].occurred_at.seconds == int(NOON.timestamp())


async def test_a_refused_row_of_an_image_is_reported_with_its_reason(tmp_path: Path) -> None:
    ledger = FakeLedger()
    ledger.refused_skus = frozenset({"milk"})
    path = written(tmp_path, "site_id,sku,quantity,source_id", "paris,milk,7,i-1", "paris,b,1,i-2")
    report = await imported(path, ledger, "image", basis=Basis(at=NOON))
    assert (report.recorded, report.quarantined) == (1, 1)
    told = ledger.unreadable[2]
    assert (told.reason, told.sku, told.quantity) == ("IDEMPOTENCY_MISMATCH", "milk", 7)
    assert (told.site_id, told.source_id) == ("paris", "i-1")


async def test_weighed_goods_come_in_grams_exactly(tmp_path: Path) -> None:
    lines = [f"{HEADER},unit", "paris,ham,1.54,t-1,,kg", "paris,ham,0.0005,t-2,,kg"]
    ledger = FakeLedger()
    report = await imported(written(tmp_path, *lines), ledger)
    assert (report.recorded, report.quarantined) == (1, 1)
    assert ledger.balance("paris", "ham") == 1_540


MALFORMED_CELLS: list[tuple[str, Sequence[str]]] = [
    ("site_id", ("", "milk", "1", "s", "")),
    ("site_id", ("a b", "milk", "1", "s", "")),
    ("site_id", ("-x", "milk", "1", "s", "")),
    ("site_id", ("x" * 65, "milk", "1", "s", "")),
    ("site_id", ("=HYPERLINK()", "milk", "1", "s", "")),
    ("site_id", ("été", "milk", "1", "s", "")),
    ("sku", ("paris", "", "1", "s", "")),
    ("sku", ("paris", "mi|k", "1", "s", "")),
    ("sku", ("paris", "'; DROP TABLE events; --", "1", "s", "")),
    ("sku", ("paris", "\u202emilk", "1", "s", "")),
    ("sku", ("paris", "../milk", "1", "s", "")),
    ("quantity", ("paris", "milk", "", "s", "")),
    ("quantity", ("paris", "milk", "0", "s", "")),
    ("quantity", ("paris", "milk", "one", "s", "")),
    ("quantity", ("paris", "milk", "1.5", "s", "")),
    ("quantity", ("paris", "milk", "1e3", "s", "")),
    ("quantity", ("paris", "milk", "0x10", "s", "")),
    ("quantity", ("paris", "milk", "1 000", "s", "")),
    ("quantity", ("paris", "milk", "1000000001", "s", "")),
    ("quantity", ("paris", "milk", "-1000000001", "s", "")),
    ("quantity", ("paris", "milk", "9" * 400, "s", "")),
    ("quantity", ("paris", "milk", "NaN", "s", "")),
    ("quantity", ("paris", "milk", "Infinity", "s", "")),
    ("quantity", ("paris", "milk", "٣.٥", "s", "")),
    ("quantity", ("paris", "milk", "--1", "s", "")),
    ("source_id", ("paris", "milk", "1", "s" * 129, "")),
    ("source_id", ("paris", "milk", "1", "a\x07b", "")),
    ("source_id", ("paris", "milk", "1", "", "")),
    ("occurred_at", ("paris", "milk", "1", "s", "yesterday")),
    ("occurred_at", ("paris", "milk", "1", "s", "2026-02-30")),
    ("occurred_at", ("paris", "milk", "1", "s", "02/03/2026")),
    ("occurred_at", ("paris", "milk", "1", "s", "2026-03-02T25:00:00Z")),
    ("occurred_at", ("paris", "milk", "1", "s", "99999-01-01")),
    ("occurred_at", ("paris", "milk", "1", "s", "0001-01-01T00:00:00+23:59:59.9")),
]
MALFORMED_LINES = [
    "paris,milk,1",
    "paris,milk,1,s,,more",
    '"paris"x",milk,1,s,',
    "paris,mi\x00lk,1,s,",
    f"paris,milk,1,{'s' * 100_001},",
]


async def test_malformed_csv_rows_are_put_aside_each_for_its_own_reason(tmp_path: Path) -> None:
    path = tmp_path / "feed.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        file.write(HEADER + "\r\n")
        writer.writerows(cells for _, cells in MALFORMED_CELLS)
        file.write("\r\n".join(MALFORMED_LINES) + "\r\n")
        file.write(GOOD + "\r\n")
    ledger = FakeLedger()
    report = await imported(path, ledger)
    bad = put_aside(path)
    assert len(MALFORMED_CELLS) >= 30
    assert report.recorded == 1
    assert [row["line"] for row in bad] == [str(n + 2) for n in range(len(bad))]
    assert len(bad) == report.quarantined == len(MALFORMED_CELLS) + len(MALFORMED_LINES)
    for row, (field, _) in zip(bad, MALFORMED_CELLS, strict=False):
        assert row["detail"].startswith(field), row
        assert row["remedy"]
        assert row["reason"] == "UNREADABLE"
    assert sorted(ledger.unreadable) == [int(row["line"]) for row in bad]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
async def test_a_stray_quote_loses_its_own_line_only(tmp_path: Path, end: str) -> None:
    lines = [f"paris,milk,1,t{n}," for n in range(1000)]
    lines[2] = 'paris,"milk,1,t2,'
    lines[500] = 'paris,milk,1,"t""500",'
    lines[999] = 'paris,milk,1,t999,"'
    path = tmp_path / "feed.csv"
    path.write_bytes(end.join([HEADER, *lines]).encode())
    ledger = FakeLedger()
    report = await imported(path, ledger)
    assert (report.rows, report.recorded, report.quarantined) == (1000, 998, 2)
    assert ledger.balance("paris", "milk") == 998
    assert 't"500' in {row.source_id for row in ledger.rows.values()}
    bad = put_aside(path)
    assert [row["line"] for row in bad] == ["4", "1001"]
    assert {row["detail"] for row in bad} == {"row: opens a quote and does not close it"}
    assert all("close it" in row["remedy"] for row in bad)


async def test_a_cell_of_two_lines_is_put_aside_and_what_follows_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER, '"paris",milk,1,"s', 't",', "", GOOD)
    assert await imported(path, FakeLedger()) == Report(3, 1, 0, 2, 0)
    assert [row["line"] for row in put_aside(path)] == ["2", "3"]


@pytest.mark.parametrize(
    ("kind", "header", "cells"),
    [
        ("shrinkage", "reason", ["", "lost", "BREAK AGE"]),
        ("shrinkage", "reason,bucket", ["theft,shelf"]),
        ("online", "step,reservation_id", ["held,", "held,a b", "gone,W", ",W"]),
        ("return", "disposition", ["", "resell", "9"]),
        ("transport", "stage", ["", "lost at sea"]),
        ("transport", "stage,reservation_id", ["shipped,a b"]),
        ("transport", "stage,to_site_id", ["shipped,a b", f"shipped,{'x' * 65}"]),
        ("transport", "stage,due_at", ["shipped,soon", "shipped,2026-02-30"]),
        ("transport", "stage,despatch_id", [f"received,{'d' * 129}"]),
        ("receipt", "despatch_id", ["d" * 129, "a\x07b"]),
        ("reservation", "reservation_id,action", [",reserve", "R,", "R,take"]),
        ("in_transit", "due_at", ["", "soon", "2026-02-30"]),
        ("reservation", "reservation_id,action,hold_seconds", ["R,reserve,0", "R,reserve,86401"]),
    ],
)
async def test_the_columns_of_a_kind_are_read_as_strictly(
    tmp_path: Path, kind: str, header: str, cells: list[str]
) -> None:
    path = written(tmp_path, f"{HEADER},{header}", *[f"{GOOD},{each}" for each in cells])
    report = await imported(path, FakeLedger(), kind)
    assert (report.recorded, report.quarantined) == (0, len(cells))


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"site_id\n", b"sku,quantity\n", b"site_id,sku,quantity,sku\n", b"\xff\xfe\x00"],
)
async def test_a_file_that_is_none_is_told_as_a_whole(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "feed.csv"
    path.write_bytes(content)
    with pytest.raises(WrongFile):
        await imported(path, FakeLedger())


async def test_latin_bytes_lose_their_own_row_only(tmp_path: Path) -> None:
    path = tmp_path / "feed.csv"
    path.write_bytes(f"{HEADER}\nparis,cr\xe8me,1,s,\n{GOOD}\n".encode("latin-1"))
    report = await imported(path, FakeLedger())
    assert (report.recorded, report.quarantined) == (1, 1)


def table(folder: Path, **columns: Any) -> Path:
    path = folder / "feed.parquet"
    parquet.write_table(arrow.table(columns), path)
    return path


async def test_a_parquet_file_is_read_with_its_types(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        site_id=arrow.array(["paris", "paris", "lyon"]).dictionary_encode(),
        sku=["milk", "milk", "ham"],
        quantity=arrow.array([2, 1, 3], arrow.int32()),
        occurred_at=arrow.array([NOON] * 3, arrow.timestamp("ns", "UTC")),
    )
    ledger = FakeLedger()
    assert (await imported(path, ledger)).recorded == 3
    assert ledger.balance("paris", "milk") == 3
    [row, *_] = ledger.rows.values()
    assert row.occurred_at.seconds == int(NOON.timestamp())


async def test_malformed_parquet_values_are_put_aside(tmp_path: Path) -> None:
    texts = [cells for _, cells in MALFORMED_CELLS]
    path = table(
        tmp_path,
        **{
            name: [cells[n] for cells in texts] + [GOOD.split(",")[n]]
            for n, name in enumerate(HEADER.split(","))
        },
    )
    report = await imported(path, FakeLedger())
    assert (report.recorded, report.quarantined) == (1, len(texts))
    for row, (field, _) in zip(put_aside(path), MALFORMED_CELLS, strict=True):
        assert row["detail"].startswith(field), row


async def test_ids_of_other_types_are_put_aside(tmp_path: Path) -> None:
    ids = [["paris"], ["lyon", "x"]]
    path = table(tmp_path, site_id=ids, sku=ids, quantity=[1, 2], source_id=ids)
    assert (await imported(path, FakeLedger())).quarantined == 2


@pytest.mark.parametrize(
    "quantities",
    [
        [1.5, float("nan"), float("inf"), -float("inf"), 0.0, 1e18],
        [None, 0],
        [Decimal("1.5"), Decimal(0), Decimal(99999999999)],
        [b"1", b"\xff"],
        [[1], [2]],
        [{"a": 1}],
        [True, False],
        [2**63 - 1, -(2**63)],
    ],
)
async def test_quantities_of_other_types_are_put_aside(
    tmp_path: Path, quantities: list[Any]
) -> None:
    size = len(quantities)
    path = table(
        tmp_path,
        site_id=["paris"] * size,
        sku=["milk"] * size,
        quantity=quantities,
        source_id=[str(n) for n in range(size)],
    )
    report = await imported(path, FakeLedger())
    assert (report.recorded, report.quarantined) == (0, size)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1PAR1", b"site_id,sku\n", b"\x00" * 4096])
async def test_what_is_no_parquet_is_told_as_a_whole(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "feed.parquet"
    path.write_bytes(content)
    with pytest.raises(WrongFile):
        await imported(path, FakeLedger())


cell = st.one_of(
    st.text(max_size=12), st.sampled_from(["paris", "milk", "1", "", "2026-03-02", "0", "-3"])
)
rows = st.lists(st.lists(cell, min_size=0, max_size=7), max_size=8)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@for_all(rows, st.sampled_from(sorted(KINDS)), st.binary(max_size=40))
async def test_no_csv_breaks_the_reader(
    tmp_path: Path, made: list[list[str]], kind: str, noise: bytes
) -> None:
    path = tmp_path / "fuzz.csv"
    extras = ",".join(["", *KINDS[kind].extras])
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        file.write(f"{HEADER}{extras}\n")
        csv.writer(file).writerows(made)
    with path.open("ab") as file:
        file.write(noise)
    report = await imported(path, FakeLedger(), kind)
    assert report.recorded + report.duplicates + report.quarantined <= report.rows


# What a column of a Parquet file may hold: one type throughout, of the right sort or not.
columns = st.one_of(
    *(
        st.lists(st.one_of(st.none(), each), min_size=3, max_size=3)
        for each in (
            st.text(max_size=70),
            st.sampled_from(
                ["paris", "milk", "shipped", "R-1", "reserve", "held", "breakage", "7"]
            ),
            st.integers(-(2**63), 2**63 - 1),
            st.integers(-9, 9),
            st.floats(),
            st.booleans(),
            st.binary(max_size=9),
            st.datetimes(),
            st.dates(),
            st.decimals(
                allow_nan=False, allow_infinity=False, places=3, min_value=-99, max_value=99
            ),
            st.lists(st.integers(0, 9), max_size=2),
        )
    )
)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@for_all(st.sampled_from(sorted(KINDS)), st.data())
async def test_no_parquet_value_breaks_the_reader(
    tmp_path: Path, kind: str, data: st.DataObject
) -> None:
    """Files that are sound, with columns of any type: each row is posted or put aside."""
    names = [*HEADER.split(","), "unit", *KINDS[kind].extras]
    path = table(tmp_path, **{name: data.draw(columns, name) for name in names})
    report = await imported(path, FakeLedger(), kind)
    assert report.rows == 3
    assert report.recorded + report.duplicates + report.quarantined == 3


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@for_all(st.data())
async def test_no_parquet_breaks_the_reader(tmp_path: Path, data: st.DataObject) -> None:
    """A file that is right, with some bytes that are not."""
    path = table(tmp_path, site_id=["paris"], sku=["milk"], quantity=[1], source_id=["s"])
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        report = await imported(path, FakeLedger())
    except WrongFile:
        return
    assert report.recorded + report.quarantined <= max(report.rows, 1)


def test_codes_are_pairs(tmp_path: Path) -> None:
    path = written(tmp_path, "5456789000024,paris", "", "5412345000105, milk", name="codes.csv")
    assert read_codes(path) == {"5456789000024": "paris", "5412345000105": "milk"}
    with pytest.raises(WrongFile, match="line 1"):
        read_codes(written(tmp_path, "one", name="codes.csv"))
    with pytest.raises(WrongFile, match="line 1: opens a quote"):
        read_codes(written(tmp_path, '1,"paris', "2,milk", name="codes.csv"))


async def interrupted(path: Path, **options: Any) -> FakeLedger:
    """Return the ledger that an import was on its way to when it was cut."""
    ledger = FakeLedger()
    ledger.cut_after = 2
    with pytest.raises(Cut):
        await imported(path, ledger, **options)
    ledger.cut_after = None
    return ledger


async def test_another_ledger_gets_all_of_a_file_whose_import_was_cut(tmp_path: Path) -> None:
    """A try on staging, cut; then production: what staging has got is not in its books."""
    rows = [f"S{n % 50},P{n},1,t-{n}," for n in range(20_000)]
    path = written(tmp_path, HEADER, *rows)
    await interrupted(path, target="staging")
    production = FakeLedger()
    report = await imported(path, production, target="production")
    assert (report.skipped, len(production.rows)) == (0, 20_000)


async def test_a_line_that_was_put_aside_in_part_is_put_aside_whole(tmp_path: Path) -> None:
    rows = [f"S{n % 50},P{n},1,t-{n}," for n in range(20_000)]
    path = written(tmp_path, HEADER, "a b,milk,1,bad,", *rows, "c d,milk,1,bad,")
    ledger = await interrupted(path)
    partial = tmp_path / "feed.quarantine.csv.partial"
    whole = partial.read_bytes()
    assert whole
    partial.write_bytes(whole[:-9])
    assert (await imported(path, ledger)).quarantined == 2
    assert [row["line"] for row in put_aside(path)] == ["2", "20003"]
    assert all(row["remedy"] for row in put_aside(path))


async def test_a_file_that_grows_while_it_is_read_is_not_posted(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER, *[f"S{n},milk,1,t-{n}," for n in range(1_500)])
    ledger = FakeLedger()

    def grow(_done: int, of: int | None) -> None:
        if of is None:
            with path.open("a") as file:
                file.write("paris,milk,1")

    with pytest.raises(WrongFile, match="changed while it was read"):
        await import_file(path, "till_sale", ledger, Options(tmp_path / "q.csv"), grow)
    assert not ledger.rows


async def test_one_import_of_a_file_at_a_time(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER, GOOD)
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(WrongFile, match="another import"):
            await imported(path, FakeLedger())
    assert (await imported(path, FakeLedger())).recorded == 1


async def test_a_folder_without_a_place_is_told_of(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER, "a b,milk,1,bad,")
    nowhere = Options(tmp_path / "nowhere" / "q.csv")
    with pytest.raises(WrongFile, match="--quarantine"):
        await import_file(path, "till_sale", FakeLedger(), nowhere)


async def test_a_file_where_nothing_can_be_written_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mounted to be read only: there is no place to note, and none that would be needed."""
    path = written(tmp_path, HEADER, GOOD)

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(errno.EROFS, "Read-only file system")

    for name in ("write_text", "replace", "unlink"):
        monkeypatch.setattr(Path, name, refuse)
    assert (await imported(path, FakeLedger())).recorded == 1
