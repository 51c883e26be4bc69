"""Timers that fail: each answers for itself, in its own time, and holds up no other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from services.kernel.application.work import Work
from services.kernel.main import Kernel, Service
from tests.support import toy
from tests.support.stack import Stack, a_cause, eventually, running

pytestmark = pytest.mark.stack


class Alarms:
    """Handlers of timers that are slow, or fail until they are mended."""

    def __init__(self) -> None:
        self.fired: list[str] = []
        self.tries = 0
        self.is_mended = False
        self.is_slow_at_work = asyncio.Event()
        self.slow_may_end = asyncio.Event()

    def build(self, _: Kernel) -> Service:
        return Service(
            name="order",
            codec=toy.CODEC,
            publish=lambda _: None,
            timers={
                "good": self._good,
                "bad": self._bad,
                "slow": self._slow,
                "endless": self._endless,
            },
        )

    async def _good(self, key: str, _: Work) -> None:
        self.fired.append(key)

    async def _bad(self, key: str, _: Work) -> None:
        self.tries += 1
        if not self.is_mended:
            raise ValueError("a bug")
        self.fired.append(key)

    async def _endless(self, key: str, work: Work) -> None:
        self.tries += 1
        if not self.is_mended:
            await work.sql.fetchval("SELECT 1 FROM pg_sleep(20)")
        self.fired.append(key)

    async def _slow(self, key: str, _: Work) -> None:
        self.is_slow_at_work.set()
        await self.slow_may_end.wait()
        self.fired.append(key)


@asynccontextmanager
async def alarmed(
    postgres_dsn: str, alarms: Alarms, prefix: str, *, statement_s: float = 5.0
) -> AsyncIterator[Stack]:
    async with running(
        postgres_dsn,
        {"order": alarms.build},
        prefix=prefix,
        is_sole_writer=False,
        statement_s=statement_s,
    ) as stack:
        yield stack


async def set_timer(stack: Stack, name: str, *, ago: timedelta) -> None:
    async def use_case(work: Work) -> None:
        due_at = datetime.now(UTC) - ago  # noqa: TID251 - a test is an edge
        await work.set_timer(name, due_at, name, name)

    await stack["order"].runner.execute(a_cause(f"set-{name}"), use_case)


async def attempts(stack: Stack) -> dict[str, int]:
    rows = await stack["order"].database.sql.fetch("SELECT name, attempts FROM timers")
    return {row[0]: row[1] for row in rows}


async def test_a_failure_is_charged_to_the_timer_that_failed(postgres_dsn: str) -> None:
    """An older one, which another process is firing at that moment, is not blamed for it."""
    first, second = Alarms(), Alarms()
    async with alarmed(postgres_dsn, first, "blame_") as one:
        await set_timer(one, "slow", ago=timedelta(seconds=2))
        await first.is_slow_at_work.wait()
        async with alarmed(postgres_dsn, second, "blame_") as two:
            await set_timer(two, "bad", ago=timedelta(seconds=1))

            async def is_charged() -> bool:
                return (await attempts(two)).get("bad", 0) > 0

            await eventually(is_charged, within_s=3)
            assert (await attempts(two))["slow"] == 0
        first.slow_may_end.set()
        await eventually(lambda: first.fired == ["slow"])


async def test_a_timer_that_is_long_overdue_is_not_given_up_in_a_breath(postgres_dsn: str) -> None:
    """After a long stop everything is overdue; the pauses between tries count from now."""
    alarms = Alarms()
    async with alarmed(postgres_dsn, alarms, "overdue_") as stack:
        await set_timer(stack, "bad", ago=timedelta(hours=1))
        await set_timer(stack, "good", ago=timedelta(minutes=1))
        await eventually(lambda: alarms.fired == ["good"])
        await asyncio.sleep(0.5)
        # At most the try with the others, the one alone, and none before a second has passed.
        assert alarms.tries <= 2
        alarms.is_mended = True
        await eventually(lambda: alarms.fired == ["good", "bad"])


async def test_a_timer_that_alone_takes_longer_than_a_statement_may_holds_up_no_other(
    postgres_dsn: str,
) -> None:
    """It looks like a server that is away, but the server answers others at once."""
    alarms = Alarms()
    async with alarmed(postgres_dsn, alarms, "endless_", statement_s=0.4) as stack:
        await set_timer(stack, "endless", ago=timedelta(minutes=2))
        await set_timer(stack, "good", ago=timedelta(minutes=1))
        await eventually(lambda: alarms.fired == ["good"], within_s=20)
        assert (await attempts(stack))["endless"] > 0
        alarms.is_mended = True
        await eventually(lambda: alarms.fired == ["good", "endless"], within_s=20)
