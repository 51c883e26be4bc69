"""A transaction that begins with the first write: a unit that writes nothing costs none."""

from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from typing import Any

from services.kernel.adapters.database import Database


class LazyTransaction:
    """``Sql`` that reads from the pool until something is written; then all is one transaction.

    Args:
        database: Where.
        stack: Ends with the unit; what is open then is rolled back and given back.
        keeps_connection: Borrow one connection for all reads too. For units that do nothing else
            meanwhile; a unit that waits in a queue would keep it from others.
    """

    def __init__(
        self, database: Database, stack: AsyncExitStack, *, keeps_connection: bool = False
    ) -> None:
        self._database = database
        self._stack = stack
        self._keeps_connection = keeps_connection
        self._connection: Any = None
        self._open: Any = None
        self.transaction: Any = None

    async def begin(self) -> None:
        self.transaction = await self._borrowed()
        self._open = self.transaction.transaction()
        await self._open.start()
        self._stack.push_async_exit(self._end)

    async def commit(self) -> None:
        open_transaction, self._open = self._open, None
        await open_transaction.commit()

    async def roll_back(self) -> None:
        open_transaction, self._open = self._open, None
        await open_transaction.rollback()

    async def _end(self, *_: object) -> None:
        if self._open is not None:
            await self.roll_back()

    async def execute(self, query: str, *args: Any) -> str:
        if self.transaction is None:
            await self.begin()
        return str(await self.transaction.execute(query, *args))

    async def executemany(self, query: str, args: Iterable[Sequence[Any]]) -> None:
        if self.transaction is None:
            await self.begin()
        await self.transaction.executemany(query, args)

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        return list(await (await self._on(query)).fetch(query, *args))

    async def fetchrow(self, query: str, *args: Any) -> Any:
        return await (await self._on(query)).fetchrow(query, *args)

    async def fetchval(self, query: str, *args: Any) -> Any:
        return await (await self._on(query)).fetchval(query, *args)

    async def _on(self, query: str) -> Any:
        reads = query.lstrip()[:6].upper() == "SELECT" and "FOR UPDATE" not in query
        if self.transaction is None and not reads:
            await self.begin()
        if self.transaction is not None:
            return self.transaction
        return await self._borrowed() if self._keeps_connection else self._database.sql

    async def _borrowed(self) -> Any:
        if self._connection is None:
            self._connection = await self._stack.enter_async_context(self._database.connection())
        return self._connection
