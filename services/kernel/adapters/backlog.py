"""Batches on their way from one loop to a slower one."""

import asyncio
from collections import deque
from collections.abc import Sequence


class Backlog[Item]:
    """A queue of batches, bounded by what is in them: many small ones do not fill it.

    Args:
        most: Items above which whoever puts more waits.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._batches: deque[Sequence[Item]] = deque()
        self._size = 0
        self._filled = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    def __len__(self) -> int:
        """Return how many items wait."""
        return self._size

    @property
    def is_full(self) -> bool:
        """Whether whoever puts more waits."""
        return self._size >= self._most

    async def put(self, batch: Sequence[Item]) -> None:
        """Add a batch, once there is room; a batch above the bound goes in alone."""
        while self.is_full:
            self._has_room.clear()
            await self._has_room.wait()
        self._batches.append(batch)
        self._size += len(batch)
        self._filled.set()

    async def wait(self) -> None:
        """Wait until there is something to take."""
        while not self._batches:
            self._filled.clear()
            await self._filled.wait()

    def take(self, most: int) -> list[Item]:
        """Return what has waited longest as one batch: whole batches until there are ``most``."""
        taken: list[Item] = []
        while self._batches and len(taken) < most:
            taken += self._batches.popleft()
        self._size -= len(taken)
        self._has_room.set()
        return taken

    def clear(self) -> None:
        """Forget what waits."""
        self._batches.clear()
        self._size = 0
        self._has_room.set()
