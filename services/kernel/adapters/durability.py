"""Waiting until what was committed lazily is on disk, and noticing when it never will be."""

import asyncio
import contextlib

import asyncpg

from services.kernel.adapters.database import Limits, is_outage
from services.kernel.application.runner import Overloaded

_RETRY_AFTER_MS = 500

# Writes a few bytes that nobody reads. A transaction that only has an id is not flushed: the
# server takes it for one that changed nothing.
FLUSH = "SELECT pg_logical_emit_message(true, 'so-oms', '')"


class Session:
    """One connection that outlives the commits it vouches for.

    A server has one write-ahead log, and a flush writes it up to a point: flushing any commit
    puts everything before it on disk, whichever database it belongs to. A server that dies takes
    what was not flushed with it, and every connection breaks. So whoever holds a session from
    before his commit, and sees it flush afterwards, knows that his commit is on disk; a
    connection made later could only vouch for what came after the server's return.
    """

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    @property
    def is_over(self) -> bool:
        """Tell whether the connection is known to be broken."""
        return self._connection.is_closed()

    async def passed(self) -> None:
        """Return once what was committed before this call is on disk.

        Callers who come while a flush is under way share the next one.

        Raises:
            Overloaded: The server was lost; what the caller relies on may be lost too.
        """
        if self._next is None:
            if self._running is None or self._running.done():
                self._running = asyncio.create_task(self._flush())
                await asyncio.shield(self._running)
                return
            self._next = asyncio.create_task(self._after(self._running))
        # It has not begun: whoever joins it now is covered by it.
        await asyncio.shield(self._next)

    def end(self) -> None:
        """Break the connection."""
        self._connection.terminate()

    async def _after(self, running: "asyncio.Task[None]") -> None:
        await asyncio.wait([running])
        self._running = asyncio.current_task()
        self._next = None
        await self._flush()

    async def _flush(self) -> None:
        try:
            await self._connection.fetchval(FLUSH)
        except Exception as error:
            self.end()
            if not is_outage(error):
                raise
            raise Overloaded(f"the database was lost: {error!r}", _RETRY_AFTER_MS) from error


class Barrier:
    """Lends the current session to a server, and makes a new one when that is over.

    Args:
        dsn: A database of the server; its role commits durably.
        limits: Bounds.
    """

    def __init__(self, dsn: str, limits: Limits) -> None:
        self._dsn = dsn
        self._limits = limits
        self._session: Session | None = None
        self._opening = asyncio.Lock()

    async def session(self) -> Session:
        """Return a session that vouches for what is committed from now on.

        Raises:
            Overloaded: The server is away.
        """
        if self._session is not None and not self._session.is_over:
            return self._session
        async with self._opening:
            if self._session is None or self._session.is_over:
                try:
                    connection = await asyncpg.connect(
                        self._dsn,
                        timeout=self._limits.acquire_s,
                        command_timeout=self._limits.statement_s,
                        server_settings={"synchronous_commit": "on"},
                    )
                except Exception as error:
                    if not is_outage(error):
                        raise
                    raise Overloaded(f"database away: {error!r}", _RETRY_AFTER_MS) from error
                self._session = Session(connection)
            return self._session

    def close(self) -> None:
        if self._session is not None:
            with contextlib.suppress(asyncpg.InterfaceError):
                self._session.end()
