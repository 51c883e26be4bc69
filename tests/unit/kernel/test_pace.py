"""Rounds that come thick and fast are kept apart; one after a pause goes on at once."""

from typing import Any

import pytest

from services.kernel.application import pace as paces
from services.kernel.application.pace import Pace


class _Clock:
    """A loop's clock that only sleeping and working move."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.slept_s: list[float] = []

    def time(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(round(seconds, 6))
        self.now_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    clock = _Clock()

    class _Loop:
        time = staticmethod(clock.time)

    class _Asyncio:
        sleep = staticmethod(clock.sleep)

        @staticmethod
        def get_running_loop() -> Any:
            return _Loop

    monkeypatch.setattr(paces, "asyncio", _Asyncio)
    return clock


async def _round(pace: Pace, clock: _Clock, took_s: float) -> None:
    await pace.wait()
    clock.now_s += took_s
    pace.ended()


async def test_a_round_after_a_pause_goes_on_at_once(clock: _Clock) -> None:
    pace = Pace(0.02, rests=3)
    await _round(pace, clock, 0.001)
    clock.now_s += 1
    await _round(pace, clock, 0.001)
    assert clock.slept_s == []


async def test_rounds_begin_no_closer_together_than_asked(clock: _Clock) -> None:
    pace = Pace(0.02)
    await _round(pace, clock, 0.005)
    await _round(pace, clock, 0.005)
    assert clock.slept_s == [0.015]


async def test_a_rest_is_as_many_times_as_long_as_the_round_within_a_bound(clock: _Clock) -> None:
    pace = Pace(0.02, rests=3)
    await _round(pace, clock, 0.05)
    await _round(pace, clock, 5.0)
    await _round(pace, clock, 0.0)
    assert clock.slept_s == [0.15, 0.3]


async def test_whoever_is_looked_at_rests_no_longer_than_he_says(clock: _Clock) -> None:
    pace = Pace(0.02, rests=3, longest_rest_s=0.1)
    await _round(pace, clock, 5.0)
    await _round(pace, clock, 0.0)
    assert clock.slept_s == [0.1]
