"""Logs that never fill a disk: the present one up to a bound, and the one before it.

Those who write here hold their file open, some of them in other languages. So what was said is
copied away and the file is emptied in place: all of them append, and go on at its beginning.
"""

import contextlib
import os
import shutil
from collections.abc import Iterable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import BinaryIO

MOST_BYTES = 16 << 20


def older(log: Path) -> Path:
    """Return where the words of a log are that was cut."""
    return log.with_name(f"{log.name}.1")


def cut(logs: Iterable[Path], most_bytes: int = MOST_BYTES) -> None:
    """Begin those logs anew that have grown beyond a bound; what was before the cut is kept once.

    A line that is written in the very moment between copy and cut is lost.
    """
    for log in logs:
        with contextlib.suppress(FileNotFoundError):
            if log.stat().st_size > most_bytes:
                shutil.copy(log, older(log))
                with log.open("r+b") as full:
                    full.truncate(0)


def last_lines(log: Path, count: int) -> list[str]:
    """Return the last lines, those before the last cut among them."""
    lines: list[str] = []
    for path in (log, older(log)):
        with contextlib.suppress(FileNotFoundError):
            text = path.read_text(errors="replace").splitlines(keepends=True)
            lines = text[-(count - len(lines)) :] + lines
        if len(lines) == count:
            break
    return lines


def grown(log: BinaryIO) -> str:
    """Return what was written since the last look; after a cut, from the beginning."""
    if os.fstat(log.fileno()).st_size < log.tell():
        log.seek(0)
    return log.read().decode(errors="replace")


def own_log(path: Path) -> RotatingFileHandler:
    """Return a handler for a log that this process alone writes."""
    return RotatingFileHandler(path, maxBytes=MOST_BYTES, backupCount=1, encoding="utf-8")
