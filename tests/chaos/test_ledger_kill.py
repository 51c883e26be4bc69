"""Service, database and connections die at random points: ledger, counter and read model agree.

The counter is what callers were told. Nothing that was acknowledged is lost, nothing is done twice,
and no hold outlives its time because whoever was to end it died.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest
import pytest_asyncio

from services.demo.domain.dice import Dice
from services.kernel.adapters.database import with_database
from tests.support import report
from tests.support.embedded import Embedded
from tests.support.postmaster import postmaster, wait_until_gone
from tests.support.stock_load import StockLoad

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.chaos]

RUNS = int(os.environ.get("OMS_LEDGER_KILLS", "100"))
SEED = 20_261_123
LEAST_MS, MOST_MS = 300, 1_800
REPLAY_EVERY = 10
MOST_STARTS = 3

type Hurt = Callable[[Embedded], Awaitable[None]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shops(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Embedded]:
    """A running system that nobody orders from: all it has to do is keep stock."""
    system = Embedded(tmp_path_factory.mktemp("shops") / "home")
    await system.start()
    try:
        yield system
    finally:
        await system.stop()


async def _start(system: Embedded) -> None:
    """Start it as whoever minds it would: again, when a busy machine was too slow for it."""
    for _ in range(MOST_STARTS - 1):
        try:
            await system.start()
        except (RuntimeError, TimeoutError) as slow:
            report.say(f"did not start: {str(slow)[-200:]!r}")
            with contextlib.suppress(ProcessLookupError):
                await system.kill()
        else:
            return
    await system.start()


async def _kill_service(system: Embedded) -> None:
    await system.kill()
    await _start(system)


async def _kill_database(system: Embedded) -> None:
    pid, _ = postmaster(system)
    os.kill(pid, signal.SIGKILL)
    await asyncio.to_thread(wait_until_gone, pid)
    # Every command finds the server down and starts it; the running system keeps it.
    code, said = 1, ""
    for _ in range(MOST_STARTS):
        if code:
            code, said = await system.oms("migrate")
    assert code == 0, said


async def _kill_both(system: Embedded) -> None:
    pid, _ = postmaster(system)
    os.kill(pid, signal.SIGKILL)
    await system.kill()
    await asyncio.to_thread(wait_until_gone, pid)
    await _start(system)


async def _cut_connections(system: Embedded) -> None:
    connection = await asyncpg.connect(postmaster(system)[1])
    try:
        await connection.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
    finally:
        await connection.close()


HURTS: dict[str, Hurt] = {
    "service": _kill_service,
    "database": _kill_database,
    "connections": _cut_connections,
    "both": _kill_both,
}


async def _run(system: Embedded, load: StockLoad, dice: Dice, name: str) -> float:
    """Hurt the system at a random point under load; return for how long it was away."""
    is_over = False
    running = asyncio.create_task(load.run(lambda: is_over))
    await asyncio.sleep(dice.between(LEAST_MS, MOST_MS) / 1_000)
    began = time.monotonic()
    await HURTS[name](system)
    away_s = time.monotonic() - began
    await asyncio.sleep(0.3)
    is_over = True
    await running
    return away_s


async def _kill_at_random_points(system: Embedded, runs: int) -> None:
    dice = Dice(SEED, runs)
    hurts: Counter[str] = Counter()
    away: list[float] = []
    began = time.monotonic()
    async with system.api(connections=16) as api, system.api(retries=10) as patient:
        load = StockLoad(api, seed=runs)
        await load.open()
        for number in range(1, runs + 1):
            # The first few are of every kind; the rest as it falls.
            names = list(HURTS)
            name = names[number - 1] if number <= len(names) else names[dice.below(len(names))]
            hurts[name] += 1
            away.append(await _run(system, load, dice, name))
            dsn = with_database(postmaster(system)[1], "oms_stock_ledger")
            is_replayed = number == runs or number % REPLAY_EVERY == 0
            await load.check(patient, dsn, is_replayed=is_replayed)
            report.say(
                f"ledger kill {number} of {runs} ({name}): away {away[-1]:.1f} s,"
                f" {load.acknowledged} acknowledged so far, unclear {dict(load.unclear)}"
            )
    code, said = await system.oms("verify", "--stock")
    report.write(
        f"ledger-kills-{runs}",
        {
            "runs": runs,
            "hurts": dict(hurts),
            "calls_acknowledged": load.acknowledged,
            "reservations": len(load.reservations),
            "calls_without_clear_answer": dict(load.unclear),
            "refused": dict(load.refused),
            "away_s_median": round(report.quantile(away, 0.5), 1),
            "away_s_slowest": round(max(away), 1),
            "took_s": round(time.monotonic() - began, 1),
        },
    )
    assert code == 0, said
    assert load.acknowledged > 20 * runs
    assert sum(load.unclear.values()) > 0, "nothing was hurt while anybody called"


@pytest.mark.timeout(400)
async def test_three_deaths_lose_nothing_of_the_books(shops: Embedded) -> None:
    await _kill_at_random_points(shops, 3)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
async def test_a_hundred_deaths_lose_nothing_of_the_books(shops: Embedded) -> None:
    await _kill_at_random_points(shops, RUNS)
