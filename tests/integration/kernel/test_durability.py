"""What a caller was told is on disk, although the work behind it was committed lazily."""

import asyncio

import pytest

from services.kernel.adapters import event_log
from services.kernel.adapters.appender import Appender, AppenderLimits
from services.kernel.adapters.database import Database, Limits
from services.kernel.adapters.durability import Barrier, Session
from services.kernel.adapters.event_log import NewEvent
from services.kernel.application.runner import Overloaded
from services.kernel.domain.ids import derive
from tests.support.stack import a_database, eventually


def _event(stream: str) -> NewEvent:
    return NewEvent(stream, 1, "order.placed.v1", b"{}", derive(stream), b"{}")


async def test_what_was_committed_lazily_is_flushed_when_the_session_says_so(
    postgres_dsn: str,
) -> None:
    dsn = await a_database(postgres_dsn)
    barrier = Barrier(dsn, Limits())
    lazy = await Database.open(dsn, Limits(), is_lazy=True)
    try:
        for n in range(20):
            session = await barrier.session()
            await event_log.append(lazy.sql, [[_event(f"demo/order-{n}")]])
            written = await lazy.sql.fetchval("SELECT pg_current_wal_insert_lsn()::text")
            await session.passed()
            assert await lazy.sql.fetchval(
                "SELECT pg_current_wal_flush_lsn() >= $1::text::pg_lsn", written
            )
    finally:
        barrier.close()
        await lazy.close()


class _Gate(Barrier):
    """A session that passes when the test says so."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn, Limits())
        self.is_open = asyncio.Event()

    async def session(self) -> Session:
        session = await super().session()
        flush = session.passed

        async def passed() -> None:
            await self.is_open.wait()
            await flush()

        session.passed = passed  # type: ignore[method-assign]
        return session


async def test_a_caller_is_told_only_after_the_disk_has_it(postgres_dsn: str) -> None:
    dsn = await a_database(postgres_dsn)
    gate = _Gate(dsn)
    lazy = await Database.open(dsn, Limits(), is_lazy=True)
    committed: list[int] = []
    appender = Appender(
        lazy, AppenderLimits(), lambda _, position, __: committed.append(position), gate
    )
    appender.start()
    try:
        told = asyncio.create_task(appender.append([_event("demo/order-1")]))
        await eventually(lambda: committed == [1])
        await asyncio.sleep(0.1)
        assert not told.done()
        gate.is_open.set()
        await told
    finally:
        await appender.stop()
        gate.close()
        await lazy.close()


async def test_a_crowd_at_the_barrier_never_meets_on_its_connection(postgres_dsn: str) -> None:
    barrier = Barrier(await a_database(postgres_dsn), Limits())
    session = await barrier.session()
    try:

        async def passes(number: int) -> None:
            for n in range(20):
                await session.passed()
                if (number + n) % 3 == 0:
                    await asyncio.sleep(0)

        await asyncio.gather(*(passes(number) for number in range(30)))
        assert not session.is_over
    finally:
        barrier.close()


async def test_a_session_that_broke_vouches_for_nothing(postgres_dsn: str) -> None:
    barrier = Barrier(await a_database(postgres_dsn), Limits())
    session = await barrier.session()
    session.end()
    with pytest.raises(Overloaded):
        await session.passed()
    fresh = await barrier.session()
    assert fresh is not session
    await fresh.passed()
    barrier.close()
