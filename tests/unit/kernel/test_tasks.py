"""A task that is told to end does end."""

import asyncio

from services.kernel.application.tasks import end


async def test_a_loop_that_swallows_one_cancellation_ends_all_the_same() -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if swallowed:
                    raise
                swallowed += 1

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await end([task])
    assert task.cancelled()
    assert swallowed == 1


async def test_a_failure_while_ending_is_dropped() -> None:
    async def falls_over() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise ValueError("the connection was gone already") from None

    task = asyncio.create_task(falls_over())
    await asyncio.sleep(0)
    await end([task])
    assert task.done()
