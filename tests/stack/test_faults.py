"""Whatever part of the stack is killed, stopped or frozen while orders run: each ends, once.

The keeper starts again what died; nobody else is told. Afterwards every acknowledged order has
ended, the accounts are right, and `oms verify` finds nothing.
"""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from services.demo.domain.dice import Dice
from tests.support import report
from tests.support.api import Api
from tests.support.load import Load, check, open_shop
from tests.support.on_stack import OnStack

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.chaos,
    pytest.mark.soak,
    pytest.mark.timeout(900),
]

CUSTOMERS, CONNECTIONS, SEED = 6, 24, 20_260_102
FROZEN_S, FROZEN_LONG_S = 25.0, 40.0  # longer than a session lasts, which is ten seconds here
AWAY_S = 10.0

type Hurt = Callable[[], Awaitable[None]]


@dataclass
class Shop:
    """A chain of its own on the stack, and all that was ever ordered from it.

    Attributes:
        system: The stack.
        key: Of the chain's tenant.
        loads: For the books: the stock must agree with all of them.
    """

    system: OnStack
    key: str
    loads: list[Load] = field(default_factory=list[Load])

    def api(self, retries: int) -> Api:
        address = self.system.address
        return Api.at(address, self.key, connections=CONNECTIONS, retries=retries)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(system: OnStack) -> Shop:
    shop = Shop(system, await system.key_of("faults"))
    async with shop.api(retries=10) as api:
        await open_shop(api)
    return shop


async def _under_load(shop: Shop, name: str, hurt: Hurt) -> None:
    """Hurt the stack in the middle of a load; check everything after it, and report."""
    began = time.monotonic()
    is_over = False
    async with shop.api(retries=0) as api:
        load = Load(api, name)
        shop.loads.append(load)
        running = asyncio.create_task(load.run(lambda: is_over, CUSTOMERS))
        hurting = asyncio.ensure_future(hurt())
        await asyncio.wait([running, hurting], return_when=asyncio.FIRST_COMPLETED)
        is_over = True
        await asyncio.gather(hurting, running)
    async with shop.api(retries=10) as api:
        await check(api, *shop.loads)
    code, said = await shop.system.oms("verify")
    report.write(
        name,
        {
            "orders_acknowledged": len(load.acknowledged),
            "orders_ended": len(load.orders),
            "calls_without_clear_answer": dict(load.unclear),
            "broker_caveat": shop.system.caveat,
            "is_verified": code == 0,
            "took_s": round(time.monotonic() - began, 1),
        },
    )
    assert code == 0, said
    assert load.acknowledged


async def _kill(system: OnStack, name: str) -> None:
    """Kill a process with -9 and wait until its successor is ready."""
    pid = system.pids().get(name)
    if pid is None:  # not there at this moment: it is hurt already
        return
    os.kill(pid, signal.SIGKILL)
    await system.until_replaced(name, pid)


async def _kill_often(shop: Shop, name: str, times: int) -> None:
    names = sorted(shop.system.pids().keys() - {"postgres", "broker"})
    dice = Dice(SEED, name)

    async def hurt() -> None:
        for number in range(times):
            await asyncio.sleep(dice.between(500, 2_000) / 1_000)
            victim = names[dice.below(len(names))]
            await _kill(shop.system, victim)
            report.say(f"kill {number + 1} of {times}: {victim}")

    await _under_load(shop, name, hurt)


async def test_killed_processes_come_back_and_lose_nothing(shop: Shop) -> None:
    await _kill_often(shop, "stack-kills", 4)


@pytest.mark.soak
@pytest.mark.timeout(14_400)
async def test_every_service_is_killed_ten_times(shop: Shop) -> None:
    for number in range(10):
        await _kill_often(shop, f"stack-kills-{number}", 17)


async def test_a_broker_that_was_killed_is_survived(shop: Shop) -> None:
    _need_own_broker(shop.system, shop.system.pids())

    async def hurt() -> None:
        await asyncio.sleep(3)
        await _kill(shop.system, "broker")
        await asyncio.sleep(3)

    await _under_load(shop, "stack-broker-killed", hurt)


async def test_a_broker_that_is_away_is_survived(shop: Shop) -> None:
    _need_own_broker(shop.system, shop.system.pids())

    async def hurt() -> None:
        await asyncio.sleep(2)
        code, said = await shop.system.oms("stack", "hold", "broker")
        assert code == 0, said
        await shop.system.until("broker", "held")
        await asyncio.sleep(AWAY_S)
        await shop.system.oms("stack", "release")
        await shop.system.until("broker")
        await asyncio.sleep(3)

    await _under_load(shop, "stack-broker-away", hurt)


async def _freeze(shop: Shop, name: str, worker: str, for_s: float) -> None:
    """Freeze a worker until its partitions have gone to others, and wake it again."""

    async def hurt() -> None:
        await asyncio.sleep(2)
        pid = shop.system.pids()[worker]
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(for_s)
        finally:
            os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(3)

    await _under_load(shop, name, hurt)


async def test_a_worker_that_slept_changes_nothing_twice(shop: Shop) -> None:
    await _freeze(shop, "stack-frozen", "stock_ledger.work.2", FROZEN_S)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("worker", ["order.work", "sourcing.work", "stock_ledger.work"])
async def test_every_kind_of_worker_may_sleep(shop: Shop, worker: str) -> None:
    await _freeze(shop, f"stack-frozen-{worker}", worker, FROZEN_LONG_S)


async def test_a_database_server_that_was_killed_is_survived(shop: Shop) -> None:
    async def hurt() -> None:
        await asyncio.sleep(3)
        await _kill(shop.system, "postgres")
        await asyncio.sleep(3)

    await _under_load(shop, "stack-postgres-killed", hurt)


async def test_a_service_s_workers_come_and_go(shop: Shop) -> None:
    """Three workers share the ledger's partitions; two go, and come back, while orders run."""

    async def hurt() -> None:
        for worker in ("stock_ledger.work.3", "stock_ledger.work"):
            await shop.system.oms("stack", "hold", worker)
            await shop.system.until(worker, "held")
            await asyncio.sleep(2)
        await shop.system.oms("stack", "release")
        await shop.system.until("stock_ledger.work")
        await asyncio.sleep(2)

    await _under_load(shop, "stack-rebalances", hurt)


def _need_own_broker(system: OnStack, pids: dict[str, int]) -> None:
    if system.caveat:
        pytest.skip(f"NOT TESTED: {system.caveat}")
    if "broker" not in pids:
        pytest.skip("the broker is not ours to stop")
