"""What an import keeps beside its file: how far it has come, and the rows that were put aside.

One import of a file at a time: another one would take what the first has put aside for its own.
"""

import contextlib
import csv
import fcntl
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.stock_ledger.entrypoints.feed_files.calls import Problem
from services.stock_ledger.entrypoints.feed_files.cells import WrongFile

_QUARANTINE_COLUMNS = ("line", "reason", "detail", "remedy")


@contextlib.contextmanager
def alone_with(path: Path) -> Iterator[None]:
    """Have a file to oneself among imports, and find it afterwards as it was.

    Raises:
        WrongFile: Another import of it is running.
    """
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WrongFile("another import of it is running: wait until that is through") from None
        except OSError:  # where it lies nobody can lock anything
            pass
        yield


def stamp_of(path: Path) -> tuple[int, int, int]:
    """Return what changes when somebody writes a file, or puts another in its place."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


@dataclass(frozen=True, slots=True)
class Place:
    """How far an import has come, beside the file; gone when it is through.

    Attributes:
        path: The file.
        fingerprint: Of the file, of how it is read, and of where it goes: what one ledger has got
            is not in another's.
    """

    path: Path
    fingerprint: str

    @property
    def _file(self) -> Path:
        return self.path.with_name(f"{self.path.name}.import")

    def chunks_done(self) -> int:
        """Return how many calls an interrupted run of the same file made."""
        try:
            known = json.loads(self._file.read_text())
            is_same = known["file"] == self.fingerprint
            return max(int(known["calls"]), 0) if is_same else 0
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def note(self, chunks_done: int) -> None:
        partial = self._file.with_suffix(".import~")
        # Where nothing can be written an interrupted import begins anew, and counts once as well.
        with contextlib.suppress(OSError):
            partial.write_text(json.dumps({"file": self.fingerprint, "calls": chunks_done}))
            partial.replace(self._file)

    def forget(self) -> None:
        _remove(self._file)


class Aside:
    """The quarantine file. It is whole only when the import is; until then it is a partial one."""

    def __init__(self, path: Path, *, is_resumed: bool) -> None:
        self._path = path
        self._partial = path.with_name(f"{path.name}.partial")
        known = self._whole_rows() if is_resumed else []
        _remove(self._partial)
        self._append(known)

    def write(self, problems: Sequence[Problem]) -> None:
        self._append([[each.line, each.reason, each.detail, each.remedy] for each in problems])

    def _append(self, rows: Sequence[Sequence[Any]]) -> None:
        if not rows:
            return
        try:
            with self._partial.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in rows)
        except OSError as error:
            raise WrongFile(
                f"{self._path} cannot be written ({error.strerror}): --quarantine names another"
            ) from None

    def _whole_rows(self) -> list[list[Any]]:
        """Return what was written whole: whoever wrote the last line may have been killed at it."""
        if not self._partial.exists():
            return []
        rows: list[list[Any]] = []
        for line in self._partial.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                rows.append(json.loads(line))
        return [row for row in rows if isinstance(row, list)]

    def close(self) -> int:
        """Move the file to its place, each line once; return how many lines it has."""
        if not self._partial.exists():
            _remove(self._path)
            return 0
        bad = {tuple(row) for row in self._whole_rows()}
        whole = self._path.with_name(f"{self._path.name}.whole")
        with whole.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(_QUARANTINE_COLUMNS)
            writer.writerows(sorted(bad))
        whole.replace(self._path)
        self._partial.unlink()
        return len({row[0] for row in bad})


def _remove(path: Path) -> None:
    if path.exists():  # where nothing can be written, nothing can be removed that is not there
        path.unlink()
