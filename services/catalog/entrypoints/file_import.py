"""Product and site files into the catalog, through its public contract.

Bad rows go to a quarantine file with line, field, reason and remedy, and never stop the others.
Importing a file again changes nothing: a row that says what is known already is silent.
"""

import asyncio
import csv
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import batched
from pathlib import Path
from typing import Any, Literal

import grpc
import grpc.aio
from google.protobuf import json_format
from oms.catalog.v1 import catalog_events_pb2 as values
from oms.catalog.v1 import catalog_service_pb2 as wire
from oms.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub

from services.catalog.domain.values import Fault
from services.catalog.entrypoints import file_columns
from services.catalog.entrypoints.file_columns import BadColumn

type What = Literal["products", "sites"]
# Rows done so far; a file's length is not known before it is read.
type Progress = Callable[[int], None]

BATCH_ROWS = 500
MOST_TRIES = 8
FIRST_DELAY_S = 0.2
CALL_TIMEOUT_S = 30.0
MAX_LINE_CHARACTERS = 100_000
UNREADABLE = "UNREADABLE"

_PASSING = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)
_QUARANTINE_COLUMNS = ("line", "key", "field", "reason", "detail", "remedy")


class WrongFile(Exception):
    """The file as a whole cannot be read."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    rows: int
    changed: int
    unchanged: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class _Line:
    """A row of the file: what it stands for, or why it cannot be read."""

    number: int
    message: Any
    fault: Fault | None = None

    @property
    def key(self) -> str:
        if isinstance(self.message, values.Product):
            return self.message.sku
        return self.message.site_id if isinstance(self.message, values.Site) else ""


@asynccontextmanager
async def catalog(address: str) -> AsyncIterator[Any]:
    """Lend a stub of the catalog at a gRPC address."""
    async with grpc.aio.insecure_channel(address) as channel:
        yield CatalogServiceStub(channel)


async def import_file(
    path: Path,
    what: What,
    stub: Any,
    *,
    quarantine: Path,
    metadata: Sequence[tuple[str, str]] = (),
    progress: Progress = lambda _done: None,
) -> ImportReport:
    """Import a CSV (comma or semicolon, UTF-8) or JSONL file.

    Args:
        path: The file; ``.jsonl`` and ``.ndjson`` are read as JSON lines, all else as CSV.
        what: What its rows are; see ``file_columns`` for the columns.
        stub: An asynchronous stub of ``CatalogService``.
        quarantine: Where bad rows are written, one line per fault; absent afterwards when there
            are none.
        metadata: Of every call; carries the API key.
        progress: Told the rows done after every batch.

    Raises:
        WrongFile: The file lacks a column.
        grpc.aio.AioRpcError: The service refuses a whole batch, or stays away.
    """
    run_id = f"import-{secrets.token_hex(8)}"
    rows = changed = unchanged = 0
    bad: list[tuple[Any, ...]] = []
    for number, batch in enumerate(batched(_lines(path, what), BATCH_ROWS)):
        readable = [line for line in batch if line.fault is None]
        bad += [
            (
                line.number,
                line.key,
                line.fault.field,
                UNREADABLE,
                line.fault.problem,
                line.fault.remedy,
            )
            for line in batch
            if line.fault is not None
        ]
        if readable:
            outcome = await _send(stub, what, readable, f"{run_id}-{number}", metadata)
            changed += outcome.changed
            unchanged += outcome.unchanged
            bad += [
                (
                    *(readable[problem.row].number, problem.key, problem.field),
                    *(problem.reason, problem.detail, problem.remedy),
                )
                for problem in outcome.problems
            ]
        rows += len(batch)
        progress(rows)
    _write_quarantine(quarantine, bad)
    return ImportReport(rows, changed, unchanged, len({line for line, *_ in bad}))


def _lines(path: Path, what: What) -> Iterator[_Line]:
    # A byte that is not UTF-8 becomes U+FFFD, so that only its own row is lost.
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        if path.suffix in (".jsonl", ".ndjson"):
            yield from _json_lines(file, what)
        else:
            yield from _csv_lines(file, what)


def _json_lines(file: Any, what: What) -> Iterator[_Line]:
    kind = values.Product if what == "products" else values.Site
    for number, text in enumerate(file, start=1):
        if not text.strip():
            continue
        fault = _text_fault(text)
        if fault is None:
            try:
                yield _Line(number, json_format.Parse(text, kind()))
                continue
            except json_format.ParseError as error:
                problem = str(error).partition("\n")[0][:200]
                fault = Fault("", problem, f"give the JSON of oms.catalog.v1.{kind.__name__}")
        yield _Line(number, None, fault)


def _csv_lines(file: Any, what: What) -> Iterator[_Line]:
    header = file.readline()
    delimiter = ";" if header.count(";") > header.count(",") else ","
    columns = [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
    needed, optional, read = (
        (file_columns.PRODUCT_COLUMNS, file_columns.PRODUCT_OPTIONS, file_columns.product)
        if what == "products"
        else (file_columns.SITE_COLUMNS, file_columns.SITE_OPTIONS, file_columns.site)
    )
    missing = [name for name in needed if name not in columns]
    if missing:
        raise WrongFile(
            f"the first line lacks {', '.join(missing)}; columns are {', '.join(needed + optional)}"
        )
    reader = csv.reader(file, delimiter=delimiter)
    while True:
        number = reader.line_num + 2  # the header is line 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield _Line(number, None, Fault("", str(error), "mend the quotes of this line"))
            continue
        if cells is None:
            return
        if any(cells):
            yield _csv_line(number, columns, cells, read)


def _csv_line(
    number: int, columns: Sequence[str], cells: Sequence[str], read: Callable[[Any], Any]
) -> _Line:
    fault = _text_fault("".join(cells))
    if fault is None and len(cells) != len(columns):
        fault = Fault("", f"has {len(cells)} cells", f"give {len(columns)}, as the first line does")
    if fault is not None:
        return _Line(number, None, fault)
    try:
        return _Line(number, read(dict(zip(columns, cells, strict=True))))
    except BadColumn as bad:
        return _Line(number, None, bad.fault)


def _text_fault(text: str) -> Fault | None:
    if "\ufffd" in text:
        return Fault("", "is not UTF-8", "save the file as UTF-8")
    if len(text) > MAX_LINE_CHARACTERS:
        return Fault("", f"has {len(text)} characters", f"give at most {MAX_LINE_CHARACTERS}")
    return None


async def _send(
    stub: Any,
    what: What,
    lines: Sequence[_Line],
    request_id: str,
    metadata: Sequence[tuple[str, str]],
) -> wire.BatchOutcome:
    messages = [line.message for line in lines]
    request: Any
    if what == "products":
        call = stub.UpsertProducts
        request = wire.UpsertProductsRequest(request_id=request_id, products=messages)
    else:
        call = stub.UpsertSites
        request = wire.UpsertSitesRequest(request_id=request_id, sites=messages)
    delay_s = FIRST_DELAY_S
    for _ in range(MOST_TRIES - 1):
        try:
            return _outcome(await call(request, metadata=metadata, timeout=CALL_TIMEOUT_S))
        except grpc.aio.AioRpcError as error:
            if error.code() not in _PASSING:
                raise
        await asyncio.sleep(delay_s)
        delay_s *= 2
    return _outcome(await call(request, metadata=metadata, timeout=CALL_TIMEOUT_S))


def _outcome(answer: Any) -> wire.BatchOutcome:
    outcome: wire.BatchOutcome = answer.outcome
    return outcome


def _write_quarantine(path: Path, bad: Sequence[tuple[Any, ...]]) -> None:
    """Write the bad rows beside the place and move them there, so that no half of it is read."""
    if not bad:
        path.unlink(missing_ok=True)
        return
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_QUARANTINE_COLUMNS)
        writer.writerows(sorted(bad))
    partial.replace(path)
