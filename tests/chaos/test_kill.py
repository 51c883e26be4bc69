"""Whatever is killed or cut off under load: what was acknowledged goes on and ends, once."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest
import pytest_asyncio

from services.demo.domain.dice import Dice
from tests.support import report
from tests.support.api import Api
from tests.support.embedded import Embedded
from tests.support.load import Load, check
from tests.support.postmaster import postmaster, wait_until_gone

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.chaos]

CONNECTIONS = 24
READY_AGAIN_WITHIN_S = 15.0
SEED = 20_260_101


@pytest_asyncio.fixture(loop_scope="session")
async def platform(system: Embedded) -> AsyncIterator[Api]:
    """Calls that are not repeated by themselves: every answer counts."""
    async with system.api(connections=CONNECTIONS) as api:
        yield api


@pytest.fixture(scope="module")
def loads() -> list[Load]:
    """All that ever ordered from the system, for the books."""
    return []


async def _under_load(
    system: Embedded, load: Load, loads: list[Load], hurt: Callable[[], Awaitable[None]]
) -> None:
    """Run ``hurt`` in the middle of ``load``, and check everything after it."""
    loads.append(load)
    is_over = False
    running = asyncio.create_task(load.run(lambda: is_over))
    hurting = asyncio.ensure_future(hurt())
    await asyncio.wait([running, hurting], return_when=asyncio.FIRST_COMPLETED)
    is_over = True
    await asyncio.gather(hurting, running)
    report.say(f"{load.name}: {len(load.acknowledged)} orders, unclear: {dict(load.unclear)}")
    async with system.api(retries=10) as api:
        await check(api, *loads)
    code, said = await system.oms("verify")
    assert code == 0, said


async def _kill_often(system: Embedded, load: Load, loads: list[Load], kills: int) -> None:
    dice = Dice(SEED, kills)
    starts: list[float] = []

    async def hurt() -> None:
        for number in range(kills):
            await asyncio.sleep(dice.between(1_500, 4_000) / 1_000)
            await system.kill()
            starts.append(await system.start())
            report.say(f"kill {number + 1} of {kills}: up again after {starts[-1]:.1f} s")
        await asyncio.sleep(2)

    began = time.monotonic()
    await _under_load(system, load, loads, hurt)
    report.write(
        f"kills-{kills}",
        {
            "kills": kills,
            "orders_acknowledged": len(load.acknowledged),
            "orders_completed": len(load.orders),
            "calls_without_clear_answer": dict(load.unclear),
            "start_s_median": round(report.quantile(starts, 0.5), 1),
            "start_s_slowest": round(max(starts), 1),
            "took_s": round(time.monotonic() - began, 1),
        },
    )
    assert len(load.acknowledged) > kills
    assert report.quantile(starts, 0.5) < READY_AGAIN_WITHIN_S


@pytest.mark.timeout(400)
async def test_three_kills_lose_nothing(system: Embedded, platform: Api, loads: list[Load]) -> None:
    await _kill_often(system, Load(platform, "kill"), loads, 3)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
async def test_twenty_kills_lose_nothing(
    system: Embedded, platform: Api, loads: list[Load]
) -> None:
    await _kill_often(system, Load(platform, "kills", seed=20), loads, 20)


@pytest.mark.timeout(300)
async def test_cut_connections_heal(system: Embedded, platform: Api, loads: list[Load]) -> None:
    """Every connection to the database is cut, three times."""

    async def hurt() -> None:
        for _ in range(3):
            await asyncio.sleep(1.5)
            connection = await asyncpg.connect(postmaster(system)[1])
            cut = await connection.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
            await connection.close()
            assert cut > 8
        await asyncio.sleep(2)

    await _under_load(system, Load(platform, "cut"), loads, hurt)


@pytest.mark.timeout(300)
async def test_a_killed_database_server_is_survived(
    system: Embedded, platform: Api, loads: list[Load]
) -> None:
    """The server dies with -9 and comes back; the services do not have to be started again."""

    async def hurt() -> None:
        await asyncio.sleep(2)
        pid, _ = postmaster(system)
        os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(wait_until_gone, pid)
        # Every command finds the server down and starts it; the running system keeps it.
        code, said = await system.oms("migrate")
        assert code == 0, said
        await asyncio.sleep(3)

    assert system.process is not None
    before = system.process.pid
    await _under_load(system, Load(platform, "server"), loads, hurt)
    assert system.process.returncode is None
    assert system.process.pid == before


@pytest.mark.timeout(300)
async def test_a_stop_under_load_is_orderly(
    system: Embedded, platform: Api, loads: list[Load]
) -> None:
    """It ends with code 0; callers get their answer, or a clear one to come again."""

    async def hurt() -> None:
        await asyncio.sleep(2)
        assert await system.stop() == 0
        again_s = await system.start()
        report.say(f"up again after {again_s:.1f} s")
        await asyncio.sleep(2)

    await _under_load(system, Load(platform, "stop"), loads, hurt)
