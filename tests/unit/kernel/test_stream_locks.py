"""Waiting in line: one at a time per stream, nothing kept for streams that nobody holds."""

import asyncio

import pytest

from services.kernel.application.stream_locks import StreamLocks


async def test_a_stream_is_held_by_one_at_a_time_and_forgotten_after() -> None:
    locks, inside, most = StreamLocks(), 0, 0

    async def work(n: int) -> None:
        nonlocal inside, most
        async with locks.hold({"hot", f"own-{n}"}):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*map(work, range(50)))
    assert most == 1
    assert vars(locks) == {"_locks": {}}


async def test_who_goes_away_while_waiting_leaves_the_line() -> None:
    locks = StreamLocks()
    order: list[str] = []

    async def work(name: str) -> None:
        async with locks.hold({"hot"}):
            order.append(name)

    async with locks.hold({"hot"}):
        impatient = asyncio.create_task(work("impatient"))
        patient = asyncio.create_task(work("patient"))
        await asyncio.sleep(0)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
    await patient
    assert order == ["patient"]
    assert vars(locks) == {"_locks": {}}


async def test_a_block_that_fails_lets_go() -> None:
    locks = StreamLocks()
    with pytest.raises(ValueError, match="no"):
        async with locks.hold({"a", "b"}):
            raise ValueError("no")
    async with asyncio.timeout(1), locks.hold({"a", "b"}):
        assert len(vars(locks)["_locks"]) == 2


async def test_who_only_looks_does_not_wait() -> None:
    locks = StreamLocks()
    async with locks.hold({"a"}):
        assert not locks.are_free({"a", "b"})
        assert locks.are_free({"b"})
    assert locks.are_free({"a", "b"})
