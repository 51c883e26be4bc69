"""The examples of docs/feed-files.md are what they say they are: every one is imported."""

import re
from pathlib import Path

import pytest

from services.stock_ledger.entrypoints.feed_files.columns import KINDS
from services.stock_ledger.entrypoints.feed_files.importing import import_file
from services.stock_ledger.entrypoints.feed_files.options import Options
from tests.support.fake_ledger import FakeLedger

PAGE = (Path(__file__).parents[3] / "docs/feed-files.md").read_text()
EXAMPLES = re.findall(r"^```(csv|edifact) (\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("form", "kind", "text"), EXAMPLES, ids=lambda text: text[:12])
async def test_an_example_is_imported_whole(
    tmp_path: Path, form: str, kind: str, text: str
) -> None:
    path = tmp_path / ("feed.csv" if form == "csv" else "feed.edi")
    path.write_text(text)
    report = await import_file(path, kind, FakeLedger(), Options(tmp_path / "bad.csv"))
    assert report.rows > 0
    assert (report.recorded, report.quarantined) == (report.rows, 0)


def test_every_kind_has_an_example_and_a_row() -> None:
    assert {kind for form, kind, _ in EXAMPLES if form == "csv"} == set(KINDS)
    assert {kind for form, kind, _ in EXAMPLES if form == "edifact"} == {
        *("till_sale", "image", "transport", "receipt", "in_transit"),
    }
    assert all(f"| `{kind}` |" in PAGE for kind in KINDS)


def test_every_column_of_every_kind_is_on_the_page() -> None:
    named = {name for kind in KINDS.values() for name in kind.extras}
    assert [name for name in sorted(named) if f"`{name}`" not in PAGE] == []
