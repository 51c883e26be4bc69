"""Waiting until what was committed lazily is on disk."""

import asyncio

from services.kernel.adapters.database import Database


class Barrier:
    """Makes sure that everything committed so far on the server survives a power cut.

    A server has one write-ahead log, and a flush writes it up to a point: flushing any commit
    puts everything before it on disk, whichever database it belongs to. Callers who come while a
    flush is under way share the next one.

    Args:
        database: On connections that commit durably.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def passed(self) -> None:
        """Return once what was committed before this call is on disk.

        Raises:
            Overloaded: The database is away.
        """
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._flush())
            await asyncio.shield(self._running)
            return
        if self._next is None or self._next.done():
            self._next = asyncio.create_task(self._after(self._running))
        await asyncio.shield(self._next)

    async def _after(self, running: "asyncio.Task[None]") -> None:
        await asyncio.wait([running])
        self._running = asyncio.current_task()
        self._next = None
        await self._flush()

    async def _flush(self) -> None:
        # An id of its own makes the transaction write a commit record, which is flushed.
        await self._database.sql.fetchval("SELECT pg_current_xact_id()")
