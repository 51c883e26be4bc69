"""The time as the database's server tells it: the same for all processes that work on it.

A machine's own clock may be minutes off, or jump. Then a worker would let the holds of others run
out before their time, and two processes would not agree on what is over. So the server is asked
every few seconds; in between a clock counts on that nobody can set.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from services.kernel.adapters.database import is_outage
from services.kernel.application.clock import SystemClock
from services.kernel.application.tasks import end
from services.kernel.application.work import Sql

_ASK_EVERY_S = 5.0
_TRIES = 3

_log = logging.getLogger(__name__)


class StoreClock:
    """Tells the time of the server, once it has been asked; until then that of the machine.

    Args:
        count_s: Seconds since whenever, of a clock that nobody can set.
    """

    def __init__(self, count_s: Callable[[], float] = time.monotonic) -> None:
        self._count_s = count_s
        self._told: tuple[datetime, float] | None = None
        self._asking: asyncio.Task[None] | None = None

    def now(self) -> datetime:
        return SystemClock().now() if self._told is None else _at(*self._told, self._count_s())

    async def start(self, sql: Sql) -> None:
        """Ask, and go on asking until ``stop``."""
        await self._ask_if_there(sql)
        self._asking = asyncio.create_task(self._go_on_asking(sql), name="store clock")

    async def stop(self) -> None:
        if self._asking is not None:
            await end([self._asking])

    async def _go_on_asking(self, sql: Sql) -> None:
        while True:
            await asyncio.sleep(_ASK_EVERY_S)
            await self._ask_if_there(sql)

    async def _ask_if_there(self, sql: Sql) -> None:
        try:
            await self.ask(sql)
        except Exception as error:
            if not is_outage(error):
                _log.exception("the server could not be asked for the time")

    async def ask(self, sql: Sql) -> None:
        """Ask for the time some times over, and believe the quickest answer."""
        took_s, at, count_s = min([await self._answer(sql) for _ in range(_TRIES)])
        # What differs by no more than the way to the server may take is no news.
        is_news = self._told is None or (
            abs(_at(*self._told, count_s) - at) > timedelta(seconds=took_s / 2)
        )
        if is_news:
            self._told = at, count_s

    async def _answer(self, sql: Sql) -> tuple[float, datetime, float]:
        """Return how long it took, what the server said, and what was counted meanwhile."""
        asked_s = self._count_s()
        at: datetime = await sql.fetchval("SELECT clock_timestamp()")
        took_s = self._count_s() - asked_s
        return took_s, at, asked_s + took_s / 2


def _at(told: datetime, then_s: float, now_s: float) -> datetime:
    return told + timedelta(seconds=now_s - then_s)
