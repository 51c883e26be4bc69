"""A backlog is bounded by what is in it, and hands over what waits as one batch."""

import asyncio

import pytest

from services.kernel.adapters.backlog import Backlog


async def test_many_small_batches_do_not_fill_it() -> None:
    backlog = Backlog[int](most=100)
    async with asyncio.timeout(1):
        for number in range(99):
            await backlog.put([number])
    assert len(backlog) == 99
    assert backlog.take(1_000) == list(range(99))
    assert not backlog


async def test_whoever_puts_too_much_waits_for_room() -> None:
    backlog = Backlog[int](most=3)
    await backlog.put([1, 2, 3, 4])
    late = asyncio.create_task(backlog.put([5]))
    await asyncio.sleep(0)
    assert not late.done()
    assert backlog.take(2) == [1, 2, 3, 4]
    await asyncio.wait_for(late, 1)
    assert backlog.take(2) == [5]


async def test_whole_batches_are_taken_until_there_are_enough() -> None:
    backlog = Backlog[int](most=100)
    for batch in ([1, 2], [3, 4], [5]):
        await backlog.put(batch)
    assert backlog.take(3) == [1, 2, 3, 4]
    assert backlog.take(3) == [5]
    assert backlog.take(3) == []


async def test_a_taker_waits_until_there_is_something() -> None:
    backlog = Backlog[int](most=3)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(backlog.wait(), 0.01)
    await backlog.put([1])
    await asyncio.wait_for(backlog.wait(), 1)
    backlog.clear()
    assert len(backlog) == 0
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(backlog.wait(), 0.01)
