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
        # For each stream that is held, how many hold it or wait for it, and the lock, which is
        # made only when a second one comes: most streams are held by one at a time.
        self._locks: dict[str, tuple[asyncio.Lock | None, int]] = {}

    @asynccontextmanager
    async def hold(self, streams: Iterable[str]) -> AsyncIterator[None]:
        """Hold the locks of ``streams`` for the duration of the block."""
        locks = self._locks
        held: list[str] = []
        try:
            for stream in sorted(streams):
                known = locks.get(stream)
                if known is None:
                    locks[stream] = _ALONE
                else:
                    await self._queue(stream, *known)
                held.append(stream)
            yield
        finally:
            for stream in reversed(held):
                if locks[stream] is _ALONE:
                    del locks[stream]
                    continue
                lock, _ = locks[stream]
                assert lock is not None  # noqa: S101 - made by who came second
                lock.release()
                self._leave(stream)

    def are_free(self, streams: Iterable[str]) -> bool:
        """Say whether nobody holds any of these streams."""
        return self._locks.keys().isdisjoint(streams)

    async def _queue(self, stream: str, lock: asyncio.Lock | None, users: int) -> None:
        if lock is None:
            lock = asyncio.Lock()
            await lock.acquire()  # in the place of who holds the stream; it is free: no waiting
        self._locks[stream] = (lock, users + 1)
        try:
            await lock.acquire()
        except BaseException:
            self._leave(stream)
            raise

    def _leave(self, stream: str) -> None:
        lock, users = self._locks[stream]
        if users == 1:
            del self._locks[stream]
        else:
            self._locks[stream] = (lock, users - 1)


_ALONE: tuple[asyncio.Lock | None, int] = (None, 1)
