"""An hour like any other: orders, shortages, and a kill now and then; the books are right after."""

import asyncio
import os
import time

import pytest

from services.demo.domain.dice import Dice
from tests.support import report
from tests.support.embedded import Embedded
from tests.support.load import Load, check

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.chaos, pytest.mark.soak]

MINUTES = float(os.environ.get("OMS_SOAK_MINUTES", "60"))
LEAST_BETWEEN_KILLS_S, MOST_BETWEEN_KILLS_S = 240, 480
TELL_EVERY_S = 60


@pytest.mark.timeout(MINUTES * 60 + 3_600)
async def test_an_hour_of_mixed_load(system: Embedded) -> None:
    until = time.monotonic() + MINUTES * 60
    dice = Dice("mixed")
    kills = 0
    async with system.api(connections=32) as api:
        load = Load(api, "mixed", seed=60)
        running = asyncio.create_task(load.run(lambda: time.monotonic() >= until, customers=16))
        next_kill = time.monotonic() + dice.between(LEAST_BETWEEN_KILLS_S, MOST_BETWEEN_KILLS_S)
        while not running.done():
            await asyncio.wait([running], timeout=TELL_EVERY_S)
            left_min = max(0.0, until - time.monotonic()) / 60
            report.say(f"mixed: {len(load.orders)} orders ended, {left_min:.0f} min left")
            if next_kill < time.monotonic() < until:
                await system.kill()
                await system.start()
                kills += 1
                next_kill = time.monotonic() + dice.between(
                    LEAST_BETWEEN_KILLS_S, MOST_BETWEEN_KILLS_S
                )
        await running
    async with system.api(retries=10) as api:
        await check(api, load)
    code, said = await system.oms("verify")
    report.write(
        "mixed-load",
        {
            "minutes": MINUTES,
            "orders_acknowledged": len(load.acknowledged),
            "orders_ended": len(load.orders),
            "kills": kills,
            "calls_without_clear_answer": dict(load.unclear),
            "is_verified": code == 0,
        },
    )
    assert code == 0, said
