"""Tables as files of text, and files that are there whole or not at all."""

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from services.kernel.adapters.feed_columns import Column

_COPY_BYTES = 1 << 20
type Rows = Sequence[Sequence[Any]]


class TableFiles(Protocol):
    """One format: a table is written in segments, which are joined to one file."""

    def write(self, segment: Path, rows: Rows) -> None:
        """Write some rows to a file of their own."""

    def join(self, segments: Sequence[Path], target: Path) -> None:
        """Write one file of all segments, in their order."""


class JsonLines:
    """One object per line; what an event does not say is left out."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._names = [column.name for column in columns]

    def write(self, segment: Path, rows: Rows) -> None:
        with segment.open("w", encoding="utf-8") as file:
            for row in rows:
                said = {n: v for n, v in zip(self._names, row, strict=True) if v is not None}
                file.write(_json(said) + "\n")

    def join(self, segments: Sequence[Path], target: Path) -> None:
        _concatenate(b"", segments, target)


class Csv:
    """A heading, then one line per event; lists are JSON, what is not said is empty."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._names = [column.name for column in columns]

    def write(self, segment: Path, rows: Rows) -> None:
        with segment.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([_cell(value) for value in row] for row in rows)

    def join(self, segments: Sequence[Path], target: Path) -> None:
        heading = ",".join(self._names) + "\r\n"
        _concatenate(heading.encode(), segments, target)


TEXT_FORMATS: Mapping[str, Callable[[Sequence[Column]], TableFiles]] = {
    "csv": Csv,
    "jsonl": JsonLines,
}


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """Lend a path to write to; what was written takes the target's place when it is on disk."""
    arriving = target.with_name(f".{target.name}.arriving")
    yield arriving
    with arriving.open("rb") as file:
        os.fsync(file.fileno())
    arriving.replace(target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Have the folder's names on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _concatenate(heading: bytes, segments: Sequence[Path], target: Path) -> None:
    with target.open("wb") as file:
        file.write(heading)
        for segment in segments:
            with segment.open("rb") as part:
                while piece := part.read(_COPY_BYTES):
                    file.write(piece)


def _cell(value: Any) -> Any:
    match value:
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.isoformat()
        case bytes():
            return value.hex()
        case list() | dict():
            return _json(value)
        case _:
            return value


def _json(value: Any) -> str:
    return json.dumps(value, default=_in_json, ensure_ascii=False, separators=(",", ":"))


def _in_json(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else value.hex()
