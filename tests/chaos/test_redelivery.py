"""Every feed is heard a second time from its beginning, by everybody: nothing changes."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from services.kernel.main.runtime import SERVICES
from tests.support import report
from tests.support.embedded import Embedded
from tests.support.load import Load, check, open_shop
from tests.support.stack import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.chaos]

ORDERS = 15
# What tells how far somebody has heard moves, and that a cached network is to be read anew; what
# was heard must not.
_MOVES = frozenset({"watermarks", "checkpoints", "network_change"})
_HEARD = "SELECT sum(position) FROM watermarks"


@pytest.mark.timeout(300)
async def test_feeds_heard_twice_change_no_row(tmp_path: Path) -> None:
    system = Embedded(tmp_path / "home")
    await system.start()
    try:
        async with system.api(connections=24, retries=10) as api:
            await open_shop(api)
            load = Load(api, "twice")
            await load.run(lambda: len(load.acknowledged) >= ORDERS)
            await check(api, load)
            await asyncio.sleep(2)  # every watermark is noted
        dsns = _dsns(system)
        before = {name: await _rows(dsn) for name, dsn in dsns.items()}
        heard = {name: await _ask(dsn, _HEARD) for name, dsn in dsns.items()}
        await system.kill()
        for dsn in dsns.values():
            await _ask(dsn, "UPDATE watermarks SET position = 0 RETURNING 1")

        await system.start()

        async def is_heard_again() -> bool:
            again = {name: await _ask(dsn, _HEARD) for name, dsn in dsns.items()}
            return all((again[name] or 0) >= (heard[name] or 0) for name in dsns)

        await eventually(is_heard_again, within_s=60)
        await asyncio.sleep(1)
        for name, dsn in dsns.items():
            after = await _rows(dsn)
            changed = [table for table in after if after[table] != before[name].get(table)]
            assert not changed, f"{name}: {changed}"
        async with system.api(retries=10) as api:
            await check(api, load)
        report.say(f"{len(load.acknowledged)} orders: every feed heard twice")
        code, said = await system.oms("verify")
        assert code == 0, said
    finally:
        await system.stop()


def _dsns(system: Embedded) -> dict[str, str]:
    file = system.data_home.resolve() / "postgres/postmaster.pid"
    folder = file.read_text().splitlines()[4]
    return {name: f"postgresql://postgres@/oms_{name}?host={folder}" for name in SERVICES}


async def _ask(dsn: str, query: str) -> int | None:
    connection = await asyncpg.connect(dsn)
    try:
        answer: int | None = await connection.fetchval(query)
        return answer
    finally:
        await connection.close()


async def _rows(dsn: str) -> dict[str, tuple[int, int]]:
    """Return count and hash of every table's rows, by table."""
    connection = await asyncpg.connect(dsn)
    try:
        tables = await connection.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        )
        found: dict[str, tuple[int, int]] = {}
        for (table,) in tables:
            if table not in _MOVES:
                row = await connection.fetchrow(
                    "SELECT count(*), coalesce(bit_xor(hashtextextended(t::text, 0)), 0)"
                    f' FROM "{table}" AS t'
                )
                assert row is not None
                found[table] = (row[0], row[1])
        return found
    finally:
        await connection.close()
