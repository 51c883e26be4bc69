"""Sorting more rows than fit into memory, so that the rows of one stock item come together.

Rows are spread over files by a hash of what they belong to, and each file is sorted by itself.
The order is the same for the same file, so an import that was interrupted finds its place again.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

import msgspec

from services.stock_ledger.entrypoints.feed_files.columns import Row

_FILES = 64
_MOST_BUFFERED = 50_000

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Row]).decode

type Key = Callable[[Row], str]


class Spill:
    """Rows by what they belong to.

    Args:
        folder: An empty one, for the files.
        key: What a row belongs to.
    """

    def __init__(self, folder: Path, key: Key) -> None:
        self._folder = folder
        self._key = key
        self._buffers: list[list[Row]] = [[] for _ in range(_FILES)]
        self._buffered = 0
        self.count = 0

    def add(self, row: Row) -> None:
        self._buffers[crc32(self._key(row).encode()) % _FILES].append(row)
        self._buffered += 1
        self.count += 1
        if self._buffered >= _MOST_BUFFERED:
            self._write()

    def groups(self) -> Iterator[list[Row]]:
        """Yield the rows of one thing after the other, each in the order of the file."""
        self._write()
        for n in range(_FILES):
            path = self._path(n)
            if not path.exists():
                continue
            groups: dict[str, list[Row]] = {}
            for row in _read(path):
                groups.setdefault(self._key(row), []).append(row)
            for key in sorted(groups):
                yield groups[key]

    def _write(self) -> None:
        for n, rows in enumerate(self._buffers):
            if rows:
                part = _encode(rows)
                with self._path(n).open("ab") as file:
                    file.write(len(part).to_bytes(8, "big"))
                    file.write(part)
        self._buffers = [[] for _ in range(_FILES)]
        self._buffered = 0

    def _path(self, n: int) -> Path:
        return self._folder / f"{n:02}"


def _read(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        while head := file.read(8):
            yield from _decode(file.read(int.from_bytes(head, "big")))
