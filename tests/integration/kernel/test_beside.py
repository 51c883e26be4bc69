"""Read models filled anew beside the live ones: what is beside never reaches what is live."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from services.kernel.adapters.database import with_database
from services.kernel.adapters.rebuild import compare, rebuild
from services.kernel.application.work import Work
from services.kernel.domain.messages import Recorded
from services.kernel.read_models.read_model import ReadModel
from tests.support import toy
from tests.support.stack import a_cause, execute, running

pytestmark = pytest.mark.stack


def no_progress(_position: int, _head: int) -> None:
    """Nobody looks."""


@asynccontextmanager
async def counted(postgres_dsn: str) -> AsyncIterator[str]:
    """A counter that was added to six times; lends its database's DSN."""
    async with running(postgres_dsn, {"order": toy.source}) as stack:
        sql = stack["order"].database.sql
        owner = with_database(postgres_dsn, await sql.fetchval("SELECT current_database()"))
        for statement in toy.TABLES.split(";"):
            await execute(owner, statement)

        async def use_case(work: Work) -> None:
            await work.handle(toy.COUNTER, "a", toy.Add(1))

        for n in range(6):
            await stack["order"].runner.execute(a_cause(f"c{n}"), use_case)
        await stack.settle()
        yield owner


class Gate:
    """A projection that waits in its first batch until it is told to go on."""

    def __init__(self) -> None:
        self.is_reached = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.model = ReadModel("counter_totals", ("counter_totals",), self._project)

    async def _project(self, batch: Sequence[Recorded[Any]], sql: Any) -> None:
        self.is_reached.set()
        await self.may_go_on.wait()
        await toy.TOTALS.project(batch, sql)


async def test_two_who_verify_at_once_leave_the_live_tables_alone(postgres_dsn: str) -> None:
    """One ends, and clears up, while the other is in the midst of its projection."""
    async with counted(postgres_dsn) as owner:
        slow = Gate()
        first = asyncio.create_task(compare(owner, toy.CODEC, slow.model, no_progress))
        await slow.is_reached.wait()
        second = asyncio.create_task(compare(owner, toy.CODEC, toy.TOTALS, no_progress))
        await asyncio.sleep(0.5)
        slow.may_go_on.set()
        for differences in await asyncio.gather(first, second):
            assert differences == []
        assert await execute(owner, "SELECT total FROM public.counter_totals") == [(6,)]


async def test_a_projection_whose_tables_are_gone_never_fills_the_live_ones(
    postgres_dsn: str,
) -> None:
    async with counted(postgres_dsn) as owner:
        slow = Gate()
        comparing = asyncio.create_task(compare(owner, toy.CODEC, slow.model, no_progress))
        await slow.is_reached.wait()
        (schema,) = await execute(
            owner, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'rebuild%'"
        )
        await execute(owner, f'DROP SCHEMA "{schema[0]}" CASCADE')
        slow.may_go_on.set()
        with pytest.raises(asyncpg.UndefinedTableError):
            await comparing
        assert await execute(owner, "SELECT total FROM public.counter_totals") == [(6,)]


async def test_a_rebuild_waits_for_who_compares(postgres_dsn: str) -> None:
    async with counted(postgres_dsn) as owner:
        slow = Gate()
        comparing = asyncio.create_task(compare(owner, toy.CODEC, slow.model, no_progress))
        await slow.is_reached.wait()
        rebuilding = asyncio.create_task(rebuild(owner, toy.CODEC, toy.TOTALS, no_progress))
        await asyncio.sleep(0.5)
        slow.may_go_on.set()
        assert await comparing == []
        assert await rebuilding == 6
        assert await execute(owner, "SELECT total FROM public.counter_totals") == [(6,)]
