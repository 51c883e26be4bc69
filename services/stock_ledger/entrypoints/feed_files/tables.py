"""Reading files row by row, in memory that does not grow with them: CSV and Parquet."""

import csv
import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.stock_ledger.entrypoints.feed_files.cells import Fault, WrongFile

MAX_LINE_CHARACTERS = 100_000
_BATCH_ROWS = 16_384
PARQUET = frozenset({".parquet", ".pq"})


@dataclass(frozen=True, slots=True)
class Table:
    """A file's columns and its rows: line, then cells, or what is wrong with it."""

    columns: Sequence[str]
    rows: Iterator[tuple[int, Sequence[Any] | Fault]]


def read_csv(path: Path) -> Table:
    """Read a CSV file: UTF-8, comma or semicolon or tab, the first line names the columns.

    Raises:
        WrongFile: There is no first line.
    """
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        header = file.readline(MAX_LINE_CHARACTERS)
    if not header.strip():
        raise WrongFile("it is empty; its first line must name the columns")
    delimiter = max(",;\t", key=header.count)
    columns = CsvLine(delimiter).cells(header)
    if isinstance(columns, Fault):
        raise WrongFile(f"its first line {columns.detail.removeprefix('row: ')}; {columns.remedy}")
    if "\ufffd" in header or "\x00" in header:
        raise WrongFile("its first line is not UTF-8; save it as UTF-8")
    return Table(columns, _csv_rows(path, delimiter))


def _csv_rows(path: Path, delimiter: str) -> Iterator[tuple[int, Sequence[Any] | Fault]]:
    # A byte that is not UTF-8 becomes U+FFFD, so that only its own row is lost.
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        file.readline(MAX_LINE_CHARACTERS)
        csv_line = CsvLine(delimiter)
        for number, line in enumerate(file, start=2):  # the header is line 1
            cells = csv_line.cells(line)
            if isinstance(cells, Fault):
                yield number, cells
            elif any(cells):
                yield number, _text_fault(cells) or cells


class CsvLine:
    """Reads the cells of one line at a time: no cell of a feed goes over several lines.

    So a quote that is never closed costs its own line, and not all that follow it.
    """

    __slots__ = ("_delimiter", "_line", "_reader")

    def __init__(self, delimiter: str = ",") -> None:
        self._delimiter = delimiter
        self._line: str | None = None
        # Made once, which is three times as fast as a reader for each line.
        self._reader = csv.reader(self, delimiter=delimiter, strict=True)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line, self._line = self._line, None
        if line is None:
            raise StopIteration
        return line

    def cells(self, line: str) -> list[str] | Fault:
        """Return a line's cells, or what is wrong with it."""
        if '"' not in line:
            return line.rstrip("\r\n").split(self._delimiter)
        self._line = line
        try:
            return next(self._reader)
        except csv.Error as error:
            if str(error) == "unexpected end of data":
                return Fault(
                    "row: opens a quote and does not close it",
                    "close it on its line, or write it twice where it is part of a cell in quotes",
                )
            return Fault(f"row: {error}", "mend the quotes of this line")


def _text_fault(cells: Sequence[str]) -> Fault | None:
    length = 0
    for cell in cells:
        if "\ufffd" in cell:
            return Fault("row: is not UTF-8", "save the file as UTF-8")
        if "\x00" in cell:
            return Fault("row: has a null character", "save the file as text")
        length += len(cell)
    if length > MAX_LINE_CHARACTERS:
        return Fault(f"row: has {length} characters", f"give at most {MAX_LINE_CHARACTERS}")
    return None


def read_parquet(path: Path) -> Table:
    """Read a Parquet file, some thousand rows at a time. Lines count from 1, without a header.

    Raises:
        WrongFile: It is no Parquet file, or pyarrow is not installed.
    """
    try:
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise WrongFile(
            "reading Parquet needs pyarrow; install it (pip install pyarrow), or give CSV"
        ) from None
    try:
        # One thread and no read-ahead: what is gained in speed is lost in memory.
        file = parquet.ParquetFile(path, memory_map=True, pre_buffer=False)
        columns = list(file.schema_arrow.names)
    except Exception as error:  # noqa: BLE001 - whatever pyarrow makes of what is no Parquet file
        raise WrongFile(f"it is no Parquet file: {_first_line(error)}") from None
    return Table(columns, _parquet_rows(file))


def _parquet_rows(file: Any) -> Iterator[tuple[int, Sequence[Any] | Fault]]:
    line = 0
    batches = file.iter_batches(batch_size=_BATCH_ROWS, use_threads=False)
    while True:
        try:
            batch = next(batches, None)
            if batch is None:
                return
            columns = [_values(column) for column in batch.columns]
        except Exception as error:  # noqa: BLE001 - a page that cannot be read ends the file
            yield (
                line + 1,
                Fault(
                    f"row: this and what follows cannot be read: {_first_line(error)}",
                    "write the file anew",
                ),
            )
            return
        for cells in zip(*columns, strict=True):
            line += 1
            yield line, cells


def _values(column: Any) -> list[Any]:
    """Return a column as plain values; times as microseconds, which is ten times as fast."""
    arrow: Any = importlib.import_module("pyarrow")
    if arrow.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if arrow.types.is_timestamp(column.type):
        column = column.cast(arrow.timestamp("us", column.type.tz), safe=False).cast(arrow.int64())
    values: list[Any] = column.to_pylist()
    return values


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
