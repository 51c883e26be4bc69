"""Waiting in line for a stream, instead of racing for it, within one process."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager


class StreamLocks:
    """One lock per stream that somebody holds or waits for; none for the others.

    Only a courtesy: correctness is the expected version's. Locks are taken in the order of their
    names, so that two units that want several never wait for each other.
    """

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def hold(self, streams: Iterable[str]) -> AsyncIterator[None]:
        """Hold the locks of ``streams`` for the duration of the block."""
        held: list[str] = []
        try:
            for stream in sorted(streams):
                lock, users = self._locks.get(stream, (asyncio.Lock(), 0))
                self._locks[stream] = (lock, users + 1)
                try:
                    await lock.acquire()
                except BaseException:
                    self._leave(stream)
                    raise
                held.append(stream)
            yield
        finally:
            for stream in reversed(held):
                self._locks[stream][0].release()
                self._leave(stream)

    def _leave(self, stream: str) -> None:
        lock, users = self._locks[stream]
        if users == 1:
            del self._locks[stream]
        else:
            self._locks[stream] = (lock, users - 1)
