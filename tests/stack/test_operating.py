"""What an operator does with a stack: look at it, start it twice, hold a process, lose one."""

import os
import signal

import pytest

from tests.support.on_stack import OnStack

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]


async def test_everything_is_a_process_of_its_own_and_ready(system: OnStack) -> None:
    rows = await system.status()
    assert {row["state"] for row in rows.values()} == {"ready"}
    assert {"postgres", "broker", "gateway", "order.serve", "stock_ledger.work.3"} <= rows.keys()
    pids = [row["pid"] for row in rows.values()]
    assert len(set(pids)) == len(pids)


async def test_workers_that_nobody_waits_for_step_back(system: OnStack) -> None:
    pids = system.pids()
    nice = {name: os.getpriority(os.PRIO_PROCESS, pids[name]) for name in pids}
    assert nice["order.work"] == nice["stock_ledger.work"] == nice["picking.serve"]
    assert nice["picking.work"] == nice["notification.work"] > nice["order.work"]


async def test_it_is_not_started_twice(system: OnStack) -> None:
    code, said = await system.oms("stack", "up")
    assert code == 1
    assert "runs already" in said


async def test_one_folder_is_not_run_in_two_ways(system: OnStack) -> None:
    code, said = await system.oms("up")
    assert code == 1
    assert "another So'OMS runs on" in said


async def test_a_worker_that_was_killed_is_started_again(system: OnStack) -> None:
    before = system.pids()["picking.work"]
    os.kill(before, signal.SIGKILL)
    await system.until_replaced("picking.work", before)
    assert (await system.status())["picking.work"]["restarts"] >= 1


async def test_what_is_held_stays_down_until_it_is_released(system: OnStack) -> None:
    code, said = await system.oms("stack", "hold", "returns.work")
    assert code == 0, said
    await system.until("returns.work", "held")
    code, said = await system.oms("stack", "hold", "nobody")
    assert code == 2
    assert "returns.work" in said
    await system.oms("stack", "release")
    await system.until("returns.work")


async def test_each_process_has_a_log(system: OnStack) -> None:
    code, said = await system.oms("stack", "logs", "order.serve", "-n", "5")
    assert code == 0
    assert said.strip()
    code, said = await system.oms("stack", "logs", "nobody")
    assert code == 2
    assert "order.serve" in said
