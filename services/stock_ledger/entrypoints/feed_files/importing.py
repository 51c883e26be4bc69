"""A file of a feed into the stock ledger: read, sorted, sent, and what is bad put aside.

Bad rows go to a quarantine file and to the service's quarantine, and never stop the others. The
same file again changes nothing, because every row has an id: its own, or one that follows from
its content. An import that was interrupted goes on where it was; where it was stands beside the
file. Memory does not grow with the file.
"""

import asyncio
import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from services.stock_ledger.entrypoints.feed_files.beside import Aside, Place, alone_with, stamp_of
from services.stock_ledger.entrypoints.feed_files.calls import (
    Answer,
    Calls,
    Problem,
    length_of,
    with_source_ids,
)
from services.stock_ledger.entrypoints.feed_files.cells import BadCell, Fault, WrongFile
from services.stock_ledger.entrypoints.feed_files.columns import KINDS, Kind, Reader, Row
from services.stock_ledger.entrypoints.feed_files.edifact import is_interchange, read_interchange
from services.stock_ledger.entrypoints.feed_files.edifact_times import zone_of, zones_of
from services.stock_ledger.entrypoints.feed_files.options import Options, fingerprint_of, place_of
from services.stock_ledger.entrypoints.feed_files.spill import Spill
from services.stock_ledger.entrypoints.feed_files.tables import (
    PARQUET,
    Table,
    read_csv,
    read_parquet,
)

# What is done, and of how much; nothing while the file is read.
type Progress = Callable[[int, int | None], None]

MOST_TRIES = 8
FIRST_DELAY_S = 0.2
CALL_TIMEOUT_S = 60.0
UNREADABLE = "UNREADABLE"
_IN_FLIGHT = 2
_MOST_REPORTED = 1_000
_MOST_BYTES = 800_000
_PASSING = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)


@dataclass(frozen=True, slots=True)
class Report:
    """How an import ended.

    Attributes:
        rows: In the file.
        recorded: Posted now.
        duplicates: Known already.
        quarantined: Put aside.
        skipped: Sent by the run that was interrupted, of whatever outcome.
    """

    rows: int
    recorded: int
    duplicates: int
    quarantined: int
    skipped: int


async def import_file(
    path: Path,
    kind_name: str,
    channel: Any,
    options: Options,
    progress: Progress = lambda _done, _of: None,
) -> Report:
    """Import a file.

    Args:
        path: ``.parquet`` is read as Parquet, ``.edi`` and what begins like an interchange as
            EDIFACT, all else as CSV.
        kind_name: One of ``KINDS``.
        channel: To the stock ledger.
        options: How.
        progress: Told rows done, and of how many.

    Raises:
        WrongFile: The file as a whole cannot be read, or not now.
        grpc.aio.AioRpcError: The service refuses a whole batch, or stays away.
    """
    with alone_with(path):
        return await _import_file(path, KINDS[kind_name], channel, options, progress)


async def _import_file(
    path: Path, kind: Kind, channel: Any, options: Options, progress: Progress
) -> Report:
    stamp = stamp_of(path)
    table = open_table(path, kind, options)
    reader = Reader(kind, table.columns, options.basis.at)
    fingerprint = await asyncio.to_thread(fingerprint_of, path, kind, options)
    source = f"file-{fingerprint}"
    calls = Calls(channel, kind, source, options.basis)
    with tempfile.TemporaryDirectory(prefix="oms-import-") as folder:
        run = _Run(calls, options, Place(path, place_of(fingerprint, options)), progress)
        spill = Spill(Path(folder), _key_of(kind))
        for n, (line, cells) in enumerate(table.rows, start=1):
            try:
                if isinstance(cells, Fault):
                    run.put_aside(line, cells)
                else:
                    spill.add(reader.read(line, cells))
            except BadCell as bad:
                run.put_aside(line, bad.fault)
            if n % _MOST_REPORTED == 0:
                progress(n, None)
                await run.report_unreadable(_MOST_REPORTED)
        await run.report_unreadable(0)
        if stamp_of(path) != stamp:  # nothing was sent: half a line may say another quantity
            raise WrongFile("it changed while it was read: import it again once it is complete")
        await run.send_all(_chunks(spill, kind, calls.most_rows), spill.count)
    return run.finish(spill.count)


def open_table(path: Path, kind: Kind, options: Options) -> Table:
    """Return the file's columns and rows, whatever its format."""
    zone = zone_of(options.zone)
    is_parquet = path.suffix.lower() in PARQUET
    if not is_parquet and is_interchange(path):
        former = [zone_of(name) for name in options.former]
        zones = zones_of(options.zones)
        return read_interchange(path, kind.name, options.codes, zone, zones, former)
    if zone is not UTC:
        raise WrongFile("a zone is for EDIFACT; give the times of this file with theirs: +01:00")
    return read_parquet(path) if is_parquet else read_csv(path)


def _key_of(kind: Kind) -> Callable[[Row], str]:
    if kind.name == "reservation":
        return lambda row: str(row.extras[0])
    return lambda row: f"{row.site_id}|{row.sku}"


def _chunks(spill: Spill, kind: Kind, most: int) -> Iterator[tuple[list[Row], bool]]:
    """Yield what goes into one call, and whether it must wait for the one before.

    A stock item is not split over two calls, unless it is too large for one.
    """
    chunk: list[Row] = []
    size = 0
    for group in spill.groups():
        named = with_source_ids(kind, group)
        length = sum([length_of(row) for row in named])
        if chunk and (len(chunk) + len(named) > most or size + length > _MOST_BYTES):
            yield chunk, False
            chunk, size = [], 0
        if len(named) <= most and length <= _MOST_BYTES:
            chunk += named
            size += length
            continue
        step = max(1, min(most, _MOST_BYTES * len(named) // length))
        for start in range(0, len(named), step):
            yield named[start : start + step], start > 0
    if chunk:
        yield chunk, False


class _Run:
    """One run: what was sent, what was put aside."""

    def __init__(self, calls: Calls, options: Options, place: Place, progress: Progress) -> None:
        self._calls = calls
        self._how = {"metadata": options.metadata, "timeout": CALL_TIMEOUT_S}
        self._place = place
        self._progress = progress
        # Every run has its own ids: a row that was refused once may be possible now.
        self._run_id = f"import-{secrets.token_hex(8)}"
        self._done_before = place.chunks_done()
        self._aside = Aside(options.quarantine, is_resumed=self._done_before > 0)
        self._unreported: list[Problem] = []
        self._reports = 0
        self._unreadable = 0
        self._recorded = self._duplicates = self._skipped = self._rows_done = 0

    def put_aside(self, line: int, fault: Fault) -> None:
        self._unreadable += 1
        self._unreported.append(Problem(line, UNREADABLE, fault.detail, fault.remedy))

    async def report_unreadable(self, from_count: int) -> None:
        """Put what could not be read into quarantine, once there is so much of it."""
        while self._unreported and len(self._unreported) >= from_count:
            part = self._unreported[:_MOST_REPORTED]
            self._unreported = self._unreported[_MOST_REPORTED:]
            self._aside.write(part)
            self._reports += 1
            request_id = f"{self._run_id}-u{self._reports}"
            await _again(partial(self._calls.report, part, request_id, **self._how))

    async def send_all(self, chunks: Iterator[tuple[list[Row], bool]], total: int) -> None:
        """Send the calls, some at a time; note the place after each that is answered."""
        waiting: list[tuple[int, int, asyncio.Task[Answer]]] = []
        try:
            for number, (rows, must_wait) in enumerate(chunks, start=1):
                if number <= self._done_before:
                    self._skipped += len(rows)
                    self._rows_done += len(rows)
                    continue
                while waiting and (must_wait or len(waiting) >= _IN_FLIGHT):
                    await self._answered(*waiting.pop(0), total)
                sending = asyncio.create_task(self._send(rows, f"{self._run_id}-{number}"))
                waiting.append((number, len(rows), sending))
            while waiting:
                await self._answered(*waiting.pop(0), total)
        finally:
            for _, _, sending in waiting:
                sending.cancel()

    async def _send(self, rows: Sequence[Row], request_id: str) -> Answer:
        answer: Answer = await _again(partial(self._calls.send, rows, request_id, **self._how))
        return answer

    async def _answered(
        self, number: int, count: int, sending: "asyncio.Task[Answer]", total: int
    ) -> None:
        answer = await sending
        self._recorded += answer.recorded
        self._duplicates += answer.duplicates
        self._aside.write(answer.problems)
        self._place.note(number)
        self._rows_done += count
        self._progress(self._rows_done, total)

    def finish(self, sound: int) -> Report:
        quarantined = self._aside.close()
        self._place.forget()
        rows = sound + self._unreadable
        return Report(rows, self._recorded, self._duplicates, quarantined, self._skipped)


async def _again(call: Callable[[], Any]) -> Any:
    """Make a call, again when what failed passes; the same id, so it counts once."""
    delay_s = FIRST_DELAY_S
    for _ in range(MOST_TRIES - 1):
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            if error.code() not in _PASSING:
                raise
        await asyncio.sleep(delay_s)
        delay_s *= 2
    return await call()
