"""The log as a Merkle tree (RFC 6962), and every stream as a chain: what makes changes show.

Rule    whoever holds an old root finds every row that was altered, removed or inserted since.

A leaf is one row of the log, all of it. The tree over the first n leaves has one root; that a row
is in it, and that a later tree begins with the same n rows, is shown by a handful of digests. The
digest of a stream is that of the one before it and the new leaf.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

NO_DIGEST = bytes(32)
EMPTY_ROOT = sha256(b"").digest()


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the log as it is stored.

    Attributes:
        position: Place in the log, from 1 without gaps.
        cause: Why, as stored.
        state: The event, as stored.
    """

    position: int
    stream: str
    version: int
    topic: str
    event_id: str
    recorded_at: datetime
    tenant: str
    cause: bytes
    state: bytes


def leaf(row: Row) -> bytes:
    """Return the digest of a row: each field with its length, so none can borrow from the next."""
    fields = (
        *(str(row.position), row.stream, str(row.version), row.topic, row.event_id),
        *(moment(row.recorded_at), row.tenant),
    )
    parts = [*(field.encode() for field in fields), row.cause, row.state]
    return sha256(b"\0" + b"".join(b"%d:%s," % (len(part), part) for part in parts)).digest()


def moment(at: datetime) -> str:
    """Return a time as it goes into a leaf: microseconds, UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def chained(digest: bytes, leaf_digest: bytes) -> bytes:
    """Return the digest of a stream with one more row."""
    return sha256(digest + leaf_digest).digest()


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """All that must be kept of a tree to make it grow: the roots of its complete parts.

    Attributes:
        size: How many leaves it has.
        peaks: Largest part first; one for each bit that is set in the size.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def including(self, leaves: Iterable[bytes]) -> "Frontier":
        """Return the tree with more leaves."""
        size, peaks = self.size, list(self.peaks)
        for new in leaves:
            peaks.append(new)
            size += 1
            full = size
            while full % 2 == 0:
                right = peaks.pop()
                peaks.append(node(peaks.pop(), right))
                full //= 2
        return Frontier(size, tuple(peaks))

    @property
    def root(self) -> bytes:
        if not self.peaks:
            return EMPTY_ROOT
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = node(peak, root)
        return root


def root_of(leaves: Sequence[bytes]) -> bytes:
    return Frontier().including(leaves).root


def inclusion(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Return the digests that lead from a leaf to the root (RFC 6962, 2.1.1), nearest first."""
    if len(leaves) <= 1:
        return []
    half = _half(len(leaves))
    if index < half:
        return [*inclusion(index, leaves[:half]), root_of(leaves[half:])]
    return [*inclusion(index - half, leaves[half:]), root_of(leaves[:half])]


def consistency(old_size: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Return the digests that show that a tree begins with a smaller one (RFC 6962, 2.1.2)."""
    return _consistency(old_size, leaves, is_known=True)


def _consistency(old_size: int, leaves: Sequence[bytes], *, is_known: bool) -> list[bytes]:
    if old_size == len(leaves):
        return [] if is_known else [root_of(leaves)]
    half = _half(len(leaves))
    if old_size <= half:
        path = _consistency(old_size, leaves[:half], is_known=is_known)
        return [*path, root_of(leaves[half:])]
    path = _consistency(old_size - half, leaves[half:], is_known=False)
    return [*path, root_of(leaves[:half])]


def _half(size: int) -> int:
    """Return the largest power of two below a size."""
    return int(1 << (size - 1).bit_length() - 1)
