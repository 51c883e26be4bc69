"""Who writes a part of a service's streams: the first fence. The expected version is the second."""

from collections.abc import Iterable
from typing import Protocol

PARTITIONS = 64


class Ownership(Protocol):
    async def owns(self, partitions: Iterable[int]) -> bool:
        """Say whether this process owns all of these partitions; take those that are nobody's.

        The answer may be out of date the next moment: a process that was frozen does not know that
        somebody else owns its partitions now. What it appends is refused by the expected version.

        Raises:
            Overloaded: The database is away.
        """


class SoleOwner:
    """Of a process that is the only writer of its databases; the data folder's lock sees to it."""

    async def owns(self, partitions: Iterable[int]) -> bool:  # noqa: ARG002 - all of them
        return True
