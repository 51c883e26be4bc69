"""The last of these tests: the stack loses its keeper, and is found and cleared away all the same.

It comes last because nothing runs after it; what starts again is seen in the long form.
"""

import asyncio
import os
import signal

import psutil
import pytest

from tests.support.on_stack import OnStack

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]


async def _lose_the_keeper(system: OnStack) -> dict[str, int]:
    """Kill the keeper; everything else goes on. Return the pids of what does."""
    before = system.pids()
    os.kill(psutil.Process(before["gateway"]).ppid(), signal.SIGKILL)
    await asyncio.sleep(0.5)
    assert all(psutil.pid_exists(pid) for pid in before.values())
    assert {row["state"] for row in (await system.status()).values()} == {"orphaned"}
    return before


@pytest.mark.soak
async def test_a_stack_whose_keeper_was_killed_is_started_again(system: OnStack) -> None:
    """What is left is cleared away first, and nothing else: the database server is found."""
    before = await _lose_the_keeper(system)
    code, said = await system.oms("stack", "up", "--workers", "stock_ledger=3")
    assert code == 0, said
    assert "gateway ran on without its keeper: stopped" in said
    after = system.pids()
    assert before.keys() == after.keys()
    assert not set(before.values()) - {before["postgres"]} & set(after.values())


async def test_a_stack_whose_keeper_was_killed_is_found_and_stopped(system: OnStack) -> None:
    before = await _lose_the_keeper(system)
    code, said = await system.oms("stack", "down")
    assert code == 0, said
    for name in before:
        assert f"{name} ran on without its keeper: stopped" in said
    assert system.pids() == {}
    code, said = await system.oms("stack", "down")
    assert (code, "nothing runs" in said) == (0, True)
