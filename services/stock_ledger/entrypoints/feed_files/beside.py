"""What an import keeps beside its file: how far it has come, and the rows that were put aside."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.stock_ledger.entrypoints.feed_files.calls import Problem

_QUARANTINE_COLUMNS = ("line", "reason", "detail", "remedy")


@dataclass(frozen=True, slots=True)
class Place:
    """How far an import has come, beside the file; gone when it is through."""

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
        partial.write_text(json.dumps({"file": self.fingerprint, "calls": chunks_done}))
        partial.replace(self._file)

    def forget(self) -> None:
        self._file.unlink(missing_ok=True)


class Aside:
    """The quarantine file. It is whole only when the import is; until then it is a partial one."""

    def __init__(self, path: Path, *, is_resumed: bool) -> None:
        self._path = path
        self._partial = path.with_name(f"{path.name}.partial")
        if not is_resumed:
            self._partial.unlink(missing_ok=True)

    def write(self, problems: Sequence[Problem]) -> None:
        if not problems:
            return
        with self._partial.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(
                [each.line, each.reason, each.detail, each.remedy] for each in problems
            )

    def close(self) -> int:
        """Move the file to its place, each line once; return how many lines it has."""
        if not self._partial.exists():
            self._path.unlink(missing_ok=True)
            return 0
        with self._partial.open(encoding="utf-8", newline="") as file:
            bad = {(int(row[0]), *row[1:]) for row in csv.reader(file)}
        whole = self._path.with_name(f"{self._path.name}.whole")
        with whole.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(_QUARANTINE_COLUMNS)
            writer.writerows(sorted(bad))
        whole.replace(self._path)
        self._partial.unlink()
        return len({row[0] for row in bad})
