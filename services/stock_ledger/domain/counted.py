"""What is remembered of every movement ever counted: enough to tell a repeat from something else.

Rule    the same id with the same content is a repeat; with any other, or another time, it is not.

One number of at most 63 bits per movement: who knows a hundred thousand of them has no room for
more. Its time is kept by the second and within 68 years.

A faster clock may put a movement ahead of ours by some minutes; it is counted as of now then, so
what is told again may be as much later than what was counted. A source that says no time tells
nothing that could differ.
"""

from datetime import datetime, timedelta
from zlib import crc32

CLOCK_SKEW = timedelta(minutes=5)
"""By how much a source's clock may be ahead of ours."""

_CONTENT_BITS = 32
_CONTENT = (1 << _CONTENT_BITS) - 1
_SECONDS = (1 << 31) - 1
_MOST_LATER_S = CLOCK_SKEW // timedelta(seconds=1) + 1


def fingerprint(cause: str, quantity: int, reservation_id: str) -> int:
    """Return what a repeat must have in common with it, in 32 bits, but for its time."""
    return crc32(f"{cause}|{quantity}|{reservation_id}".encode())


def with_time(content: int, occurred_at: datetime) -> int:
    """Return the fingerprint of a movement together with when it occurred."""
    return content | (int(occurred_at.timestamp()) & _SECONDS) << _CONTENT_BITS


def content_of(counted: int) -> int:
    """Return the fingerprint of a movement that was counted."""
    return counted & _CONTENT


def is_of_another_time(counted: int, told_at: datetime) -> bool:
    """Say whether a movement that was counted cannot be the one that is told of this time."""
    later = ((int(told_at.timestamp()) & _SECONDS) - (counted >> _CONTENT_BITS)) & _SECONDS
    return later > _MOST_LATER_S
