"""The time is the server's: whatever the machine's clock says, and however long the way is."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.kernel.adapters import store_clock
from services.kernel.adapters.store_clock import StoreClock
from services.kernel.application.clock import SystemClock
from services.kernel.application.runner import Overloaded

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Server:
    """Tells the time, after a while; what the process counts goes on with it."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self.counted_s = 100.0
        self.ways_s = [0.0]
        self.asked = 0
        self.is_away = False

    def count_s(self) -> float:
        return self.counted_s

    @property
    def time(self) -> datetime:
        return NOON + timedelta(seconds=self.counted_s - 100 + self.ahead_s)

    async def fetchval(self, _: str) -> datetime:
        self.asked += 1
        if self.is_away:
            raise Overloaded("away", 100)
        way_s = self.ways_s[self.asked % len(self.ways_s)]
        self.counted_s += way_s / 3
        told = self.time
        self.counted_s += way_s * 2 / 3
        return told


@pytest.fixture
def server() -> Any:
    return Server()


async def test_it_is_the_servers_time_and_counts_on(server: Any) -> None:
    clock = StoreClock(server.count_s)
    await clock.ask(server)
    server.counted_s += 3_600
    assert clock.now() == NOON + timedelta(hours=1)
    server.ahead_s = -600  # the server's clock was set back
    await clock.ask(server)
    assert clock.now() == server.time


async def test_a_long_way_is_believed_least(server: Any) -> None:
    server.ways_s = [3.0, 0.006, 0.9]
    clock = StoreClock(server.count_s)
    await clock.ask(server)
    assert abs(clock.now() - server.time) <= timedelta(seconds=0.003)
    before = clock.now()
    server.ways_s = [3.0]
    counted_s = server.counted_s
    await clock.ask(server)
    assert clock.now() - before == timedelta(seconds=server.counted_s - counted_s), "no news"


async def test_without_the_server_it_counts_on(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_clock, "_ASK_EVERY_S", 0.001)
    clock = StoreClock(server.count_s)
    await clock.start(server)
    server.is_away, server.ahead_s = True, 50
    asked = server.asked
    async with asyncio.timeout(5):
        while server.asked < asked + 3:
            await asyncio.sleep(0.001)
    server.counted_s += 60
    assert clock.now() == NOON + timedelta(minutes=1)
    server.is_away = False
    async with asyncio.timeout(5):
        while clock.now() != server.time:
            await asyncio.sleep(0.001)
    await clock.stop()


def test_before_it_was_asked_it_is_the_machines() -> None:
    assert abs(StoreClock().now() - SystemClock().now()) < timedelta(seconds=5)
