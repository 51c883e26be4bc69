"""Logs do not grow for ever, and who holds one open writes on."""

import logging
import subprocess
import sys
from pathlib import Path

from services.kernel.adapters import bounded_logs
from services.kernel.adapters.bounded_logs import cut, grown, last_lines, older
from services.kernel.adapters.json_lines import log_json

# Says a line for each that it is told, as a process does whose output goes to a file.
_WRITER = "import sys\nfor line in sys.stdin: sys.stderr.write(line); print(flush=True)"


def test_a_process_that_holds_its_log_open_writes_on_after_a_cut(tmp_path: Path) -> None:
    log = tmp_path / "order.work.log"
    with log.open("ab") as out:
        writer = subprocess.Popen(  # noqa: S603 - our own words
            [sys.executable, "-c", _WRITER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=out,
            text=True,
        )
    assert writer.stdin is not None
    assert writer.stdout is not None
    with writer:
        for number in range(30):
            writer.stdin.write(f"line {number:02d}\n")
            writer.stdin.flush()
            writer.stdout.readline()
            cut([log, tmp_path / "none.log"], most_bytes=70)
    assert log.stat().st_size <= 80
    assert older(log).stat().st_size <= 80
    assert not older(tmp_path / "none.log").exists()
    said = [f"line {number:02d}\n" for number in range(30)]
    assert last_lines(log, 8) == said[-8:], "beyond the last cut"
    assert last_lines(log, 1) == said[-1:]
    assert last_lines(log, 1_000) == said[-len(last_lines(log, 1_000)) :]
    assert last_lines(tmp_path / "none.log", 5) == []


def test_who_follows_a_log_goes_on_after_it_was_cut(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("first\nsecond\n")
    with log.open("rb") as followed:
        assert grown(followed) == "first\nsecond\n"
        cut([log], most_bytes=1)
        with log.open("a") as more:
            more.write("third\n")
        assert grown(followed) == "third\n"
        assert not grown(followed)


def test_the_log_of_a_process_of_its_own_is_bounded_too(tmp_path: Path) -> None:
    before = logging.root.handlers[:], logging.root.level
    try:
        handler = bounded_logs.own_log(tmp_path / "oms.log")
        handler.maxBytes = 1_000
        log_json("oms", "INFO", handler)
        for number in range(50):
            logging.getLogger("test").info("line %d", number)
        sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
        assert sizes.keys() == {"oms.log", "oms.log.1"}
        assert max(sizes.values()) <= 1_000
    finally:
        logging.root.handlers[:], level = before
        logging.root.setLevel(level)
        handler.close()
