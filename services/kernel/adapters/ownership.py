"""Ownership of partitions by session advisory locks, which end with the connection."""

import asyncio
from collections.abc import Iterable

import asyncpg

from services.kernel.adapters.database import Limits, is_outage
from services.kernel.application.runner import Overloaded

# Key of the locks, beside those of one number; the second number is the partition.
_LOCKS = 7235003
_RETRY_AFTER_MS = 500
_ASK_AGAIN_S = 1.0


class LockedOwnership:
    """Keeps a connection for its locks; who dies or loses it hands over without a timeout of ours.

    Args:
        dsn: The service's database.
        limits: Bounds.
    """

    def __init__(self, dsn: str, limits: Limits) -> None:
        self._dsn = dsn
        self._limits = limits
        self._connection: asyncpg.Connection | None = None
        self._owned: set[int] = set()
        # Another's, and when to ask for them again.
        self._ask_at_s: dict[int, float] = {}
        self._asking = asyncio.Lock()

    async def owns(self, partitions: Iterable[int]) -> bool:
        """See ``Ownership``."""
        wanted = set(partitions)
        if self._connection is not None and self._connection.is_closed():
            self._forget()
        now_s = asyncio.get_running_loop().time()
        missing = wanted - self._owned
        askable = [one for one in missing if self._ask_at_s.get(one, now_s) <= now_s]
        if askable:
            try:
                async with self._asking:
                    await self._ask(askable)
            except Exception as error:
                self._forget()
                if not is_outage(error):
                    raise
                raise Overloaded(f"database away: {error!r}", _RETRY_AFTER_MS) from error
        return wanted <= self._owned

    def close(self) -> None:
        """Give everything back."""
        self._forget()

    async def _ask(self, partitions: Iterable[int]) -> None:
        if self._connection is None:
            self._connection = await asyncpg.connect(
                self._dsn,
                timeout=self._limits.acquire_s,
                command_timeout=self._limits.statement_s,
            )
        again_at_s = asyncio.get_running_loop().time() + _ASK_AGAIN_S
        rows = await self._connection.fetch(
            "SELECT p, pg_try_advisory_lock($1, p) FROM unnest($2::int[]) AS p",
            *(_LOCKS, [one for one in partitions if one not in self._owned]),
        )
        for partition, is_ours in rows:
            if is_ours:
                self._owned.add(partition)
                self._ask_at_s.pop(partition, None)
            else:
                self._ask_at_s[partition] = again_at_s

    def _forget(self) -> None:
        if self._connection is not None:
            # Its locks go with it: kept by a connection that nobody has, they would be nobody's.
            self._connection.terminate()
        self._connection = None
        self._owned = set()
        self._ask_at_s = {}
