"""What commands and logs say where nobody looks at a terminal."""

import io
import logging
from collections.abc import Iterator

import pytest
from rich.console import Console

from services.kernel.adapters.json_lines import log_json
from services.kernel.main import console


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    text = io.StringIO()
    monkeypatch.setattr(console, "errors", Console(file=text, soft_wrap=True))
    return text


def test_behind_a_pipe_a_long_work_is_named_once_and_not_drawn(written: io.StringIO) -> None:
    with console.bar("loading the demo chain") as progress:
        for done in range(3):
            progress(done, 3)
    assert written.getvalue() == "· loading the demo chain\n"


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    text = io.StringIO()
    log_json("test", to=text)
    yield text
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("httpx").setLevel(logging.NOTSET)


def test_addresses_that_are_called_are_not_logged(logged: io.StringIO) -> None:
    logging.getLogger("httpx").info("HTTP Request: POST https://platform.example/hook?secret=1")
    logging.getLogger("oms.test").info("said")
    assert "said" in logged.getvalue()
    assert "secret" not in logged.getvalue()


def test_a_tables_ids_stay_in_one_piece_and_nothing_is_empty(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    row = {
        "key_id": "143d8e20176b2ea5",
        "name": "stock_ledger.serve",
        "scopes": "orders:read " * 20,
        "revoked_at": None,
    }
    console.print_rows([row], as_json=False, title="keys")
    shown = capsys.readouterr().out
    assert "143d8e20176b2ea5" in shown
    assert "stock_ledger.serve" in shown
    assert "None" not in shown


def test_rows_of_more_columns_than_a_terminal_holds_are_printed_a_line_per_field(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = "chain/order-" + "7" * 90
    row = dict.fromkeys("abcdefgh", "x") | {
        "stream": stream,
        "reason": "[b] 1: no such",
        "at": "",
    }
    monkeypatch.setenv("COLUMNS", "80")
    console.print_rows([row, row], as_json=False, title="parked")
    said = capsys.readouterr().out.splitlines()
    assert (said[0], said[11]) == ("parked 1 of 2", "parked 2 of 2")
    assert f"  stream  {stream}" in said
    assert "  reason  [b] 1: no such" in said
    assert not any(line.startswith("  at") for line in said)
    monkeypatch.setenv("COLUMNS", "400")
    console.print_rows([row, row], as_json=False, title="parked")
    assert sum(stream in line and "│" in line for line in capsys.readouterr().out.splitlines()) == 2
