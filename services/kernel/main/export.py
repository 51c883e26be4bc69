"""Taking a feed away as one file, in steps that survive a kill.

Beside the file lies a folder with what is there already: segments, and a note of where the next
begins. The note is replaced after its segment is on disk, so what it does not mention never was,
and whoever goes on begins behind what it mentions: no event twice, none left out. The end is
settled by the first start. Last the segments are joined, and the file appears whole.
"""

import contextlib
import fcntl
import importlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from services.kernel.adapters.export_files import TEXT_FORMATS, TableFiles, sync_folder, whole
from services.kernel.adapters.feed_columns import Column, FeedTable
from services.kernel.adapters.feed_contracts import contract_of, decoded
from services.kernel.application.reading import FeedReader, Gone, Period, Place, is_at, steps
from services.kernel.main.tail import Wanted

FORMATS = (*TEXT_FORMATS, "parquet")
_SEGMENT_ROWS = 20_000
_NOTE = "note.json"

# Called with how much was read, and how much there is.
type Progress = Callable[[int, int], None]


class CannotExport(Exception):
    """Why there will be no file, and how to mend it."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is exported; going on with another one would mix two tables.

    Attributes:
        feed: Topic.
        format: One of ``FORMATS``.
        since: First moment, as it was asked for; empty: the beginning.
        until: First moment that no longer belongs to it; empty: when it began.
        tenant: Only this one's; empty: every one's.
        names: Only events so called; none: all.
        source: Where it is read.
    """

    feed: str
    format: str
    since: str
    until: str
    tenant: str
    names: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Exported:
    """What became of an export.

    Attributes:
        rows: In the file.
        unreadable: How many records were no events, and are not in it.
        resumed_rows: How many were there already.
    """

    rows: int
    unreadable: int
    resumed_rows: int


def settled(target: Path, period: Period) -> Period:
    """Return the period of an export that began earlier: two hours ago was another time then."""
    file = _folder_of(target) / _NOTE
    if not file.exists():
        return period
    since, until = json.loads(file.read_text())["period"]
    return Period(
        datetime.fromisoformat(since) if since else None,
        datetime.fromisoformat(until) if until else None,
    )


def gone_on_with(target: Path) -> str:
    """Return which export the same command would go on with, as a sentence; empty: none.

    Whoever asks for the last day, and gets that of an export that was killed last week, must know.
    """
    folder = _folder_of(target)
    if not (folder / _NOTE).exists():
        return ""
    began = json.loads((folder / _NOTE).read_text()).get("began", "at an unknown time")
    return (
        f"going on with the export to {target} that began {began}, with the period and the end of"
        f" that time; remove {folder} to begin anew"
    )


async def export(
    reader: FeedReader,
    request: Request,
    period: Period,
    target: Path,
    progress: Progress,
    unreadable: Callable[[str], None],
    *,
    now: datetime,
    segment_rows: int = _SEGMENT_ROWS,
) -> Exported:
    """Write the events of a feed to a file; go on where an earlier try ended.

    Args:
        reader: The feed, for this period.
        request: What to write.
        period: As ``settled``.
        target: The file; must not be there.
        progress: Told now and then.
        unreadable: Told of what is no event.
        now: When it is asked for.
        segment_rows: About so many rows are lost by a kill.

    Raises:
        CannotExport: The file is there, or another export of the same name, or pyarrow lacks.
        Gone: What lacks is not kept any more.
    """
    contract = contract_of(request.feed)
    cases = [case for case, event in contract.events.items() if event.name in request.names]
    table = FeedTable(contract, cases)
    files = files_of(request.format, table.columns)
    wanted = Wanted(tenant=request.tenant, names=request.names)
    with _folder(target) as folder:
        note = await _note(reader, request, period, folder, now)
        begins, end = _place(note["begins"]), _place(note["end"])
        place = _place(note["place"])
        resumed_rows = note["rows"]
        rows: list[list[Any]] = []
        progress(steps(place, begins), steps(end, begins))
        while not is_at(place, end):
            page = await reader.read(place, end)
            told = list(page.unreadable)
            for envelope in filter(wanted.envelope, page.envelopes):
                try:
                    rows.append(table.row(decoded(contract, envelope)))
                except DecodeError as error:
                    told.append(f"{envelope.key} version {envelope.stream_version}: {error}")
            for sentence in told:
                unreadable(f"{request.feed}, {sentence}")
            place = page.place
            note["unreadable"] += len(told)
            if len(rows) >= segment_rows or is_at(place, end):
                mark = await reader.mark(place)
                _keep(folder, note, files, rows, {"place": place, "mark": mark})
                rows = []
            progress(steps(place, begins), steps(end, begins))
        segments = [_segment(folder, n) for n in range(note["segments"])]
        with whole(target) as arriving:
            files.join(segments, arriving)
        # First: a folder with a note is gone on with, and once the file is elsewhere, the next
        # export of that name would be this one again.
        (folder / _NOTE).unlink()
        sync_folder(folder)
    shutil.rmtree(folder)
    return Exported(note["rows"], note["unreadable"], resumed_rows)


def files_of(name: str, columns: Sequence[Column]) -> TableFiles:
    """Return how a format is written.

    Raises:
        CannotExport: It needs what is not installed.
    """
    if name in TEXT_FORMATS:
        return TEXT_FORMATS[name](columns)
    try:
        parquet = importlib.import_module("services.kernel.adapters.parquet_files")
    except ImportError as error:
        raise CannotExport(
            f"Parquet needs pyarrow ({error}): install it with `make analyst`, or choose"
            " --format csv or jsonl, which need nothing"
        ) from None
    files: TableFiles = parquet.Parquet(columns)
    return files


@contextlib.contextmanager
def _folder(target: Path) -> Iterator[Path]:
    """Lend the folder beside the target, to one process at a time."""
    if target.exists():
        raise CannotExport(f"{target} is there already: remove it, or choose another name")
    folder = _folder_of(target)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise CannotExport(f"{folder} cannot be written: {error}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotExport(f"another process is exporting to {target}") from None
        yield folder


def _folder_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.partial")


async def _note(
    reader: FeedReader, request: Request, period: Period, folder: Path, now: datetime
) -> dict[str, Any]:
    file = folder / _NOTE
    asked = json.loads(json.dumps(asdict(request)))
    if file.exists():
        note: dict[str, Any] = json.loads(file.read_text())
        if note["request"] != asked:
            raise CannotExport(
                f"{folder} holds another export ({note['request']}): go on with that one, remove"
                " the folder, or choose another name"
            )
        mark = await reader.mark(_place(note["place"]))
        if note["mark"] and mark != note["mark"]:  # older notes, and older brokers, have none
            raise Gone(
                f"what {folder} was written from is not there any more: remove the folder and"
                " begin anew"
            )
        return note
    begins, end = await reader.beginning(), await reader.end()
    # A part may begin behind the end: what is kept has moved on, or lies before the period.
    end = {part: (max(at, begins[part][0]), 0) for part, (at, _) in end.items()}
    note = {
        "request": asked,
        "began": now.isoformat(timespec="seconds"),
        "period": [at and at.isoformat() for at in (period.since, period.until)],
        "begins": begins,
        "end": end,
        "place": begins,
        "mark": await reader.mark(begins),
        "segments": 0,
        "rows": 0,
        "unreadable": 0,
    }
    _write_note(folder, note)
    return note


def _keep(
    folder: Path,
    note: dict[str, Any],
    files: TableFiles,
    rows: Sequence[Sequence[Any]],
    reached: Mapping[str, Any],
) -> None:
    # An empty table has a segment too: it is what gives the file its columns.
    if rows or not note["segments"]:
        with whole(_segment(folder, note["segments"])) as arriving:
            files.write(arriving, rows)
        note["segments"] += 1
        note["rows"] += len(rows)
    note.update(reached)
    _write_note(folder, note)


def _write_note(folder: Path, note: dict[str, Any]) -> None:
    with whole(folder / _NOTE) as arriving:
        arriving.write_text(json.dumps(note))


def _segment(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}"


def _place(stored: Mapping[str, Sequence[int]]) -> Place:
    return {part: (at, highest) for part, (at, highest) in stored.items()}
