"""Keys that nobody has, by the dozen."""

import asyncio

import pytest

from services.kernel.application.authenticator import Key
from services.kernel.application.guesses import Doorkeeper, GuessedTooOften

GOOD, OTHER = Key("k1", "demo", frozenset()), Key("k2", "demo", frozenset())


class Keys:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.valid = {"good": GOOD, "other": OTHER}

    async def authenticate(self, token: str) -> Key | None:
        self.asked.append(token)
        await asyncio.sleep(0)
        return self.valid.get(token)


class Stand:
    def __init__(self) -> None:
        self.keys, self.now_s = Keys(), 0.0
        self.door = Doorkeeper(self.keys, at_once=3, per_s=0.5, monotonic_s=lambda: self.now_s)

    async def guess(self, count: int, address: str = "a") -> None:
        for n in range(count):
            assert await self.door.key_of(f"bad{n}", address) is None


@pytest.fixture
def stand() -> Stand:
    return Stand()


async def test_more_guesses_than_allowed_are_not_looked_up(stand: Stand) -> None:
    await stand.guess(3)
    asked = len(stand.keys.asked)
    with pytest.raises(GuessedTooOften) as refused:
        await stand.door.key_of("bad", "a")
    assert refused.value.retry_after_ms == 2_000
    assert len(stand.keys.asked) == asked
    await stand.guess(1, "b")  # another address has its own


async def test_guesses_come_back_with_time_but_never_more_than_at_once(stand: Stand) -> None:
    await stand.guess(3)
    stand.now_s = 1.9
    with pytest.raises(GuessedTooOften):
        await stand.guess(1)
    stand.now_s = 2.0
    await stand.guess(1)
    stand.now_s = 1_000.0
    await stand.guess(3)
    with pytest.raises(GuessedTooOften):
        await stand.guess(1)


async def test_a_key_that_was_valid_lately_passes_whatever_its_neighbours_do(stand: Stand) -> None:
    assert await stand.door.key_of("good", "a") == GOOD
    await stand.guess(3)
    assert await stand.door.key_of("good", "a") == GOOD
    with pytest.raises(GuessedTooOften):
        await stand.door.key_of("other", "a")
    del stand.keys.valid["good"]  # withdrawn: from now on it is a guess like any other
    assert await stand.door.key_of("good", "a") is None
    with pytest.raises(GuessedTooOften):
        await stand.door.key_of("good", "a")


async def test_valid_keys_cost_nothing(stand: Stand) -> None:
    for _ in range(10):
        assert await stand.door.key_of("good", "a") == GOOD
        assert await stand.door.key_of("other", "a") == OTHER
    await stand.guess(3)


async def test_guesses_at_the_same_moment_are_counted_before_they_are_answered(
    stand: Stand,
) -> None:
    answers = await asyncio.gather(
        *(stand.door.key_of(f"bad{n}", "a") for n in range(50)), return_exceptions=True
    )
    assert answers.count(None) == 3
    assert len(stand.keys.asked) == 3


async def test_a_network_of_ipv6_is_one_address(stand: Stand) -> None:
    for n in range(3):
        await stand.guess(1, f"2001:db8::{n}")
    with pytest.raises(GuessedTooOften):
        await stand.guess(1, "2001:db8::ffff")


async def test_what_is_remembered_is_bounded(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.kernel.application.guesses._MOST_ADDRESSES", 5)
    monkeypatch.setattr("services.kernel.application.guesses._MOST_TOKENS", 1)
    for n in range(20):
        await stand.guess(1, f"192.0.2.{n}")
    assert len(stand.door._left) == 5
    await stand.door.key_of("good", "x")
    await stand.door.key_of("other", "x")
    assert len(stand.door._valid) == 1
