"""Starting the server that comes with us, however long it takes to recover from a crash."""

import subprocess
from pathlib import Path

import asyncpg
import pytest

from services.kernel.adapters import embedded_postgres


class Slow:
    """A server that takes a while, then answers."""

    def __init__(self, late: int) -> None:
        self.late = late
        self.asked = 0

    def __call__(self, folder: Path) -> str:
        self.asked += 1
        if self.asked <= self.late:
            raise subprocess.TimeoutExpired("pg_ctl", 10)
        return f"server in {folder}"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_postgres, "_START_PAUSE_S", 0)


async def test_a_server_that_recovers_longer_than_the_package_waits_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = Slow(3)
    monkeypatch.setattr(embedded_postgres, "_server", slow)
    assert await embedded_postgres._started(Path("home")) == "server in home"
    assert slow.asked == 4


async def test_one_that_never_comes_is_told_after_a_bounded_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    never = Slow(1_000)
    monkeypatch.setattr(embedded_postgres, "_server", never)
    with pytest.raises(subprocess.TimeoutExpired):
        await embedded_postgres._started(Path("home"))
    assert never.asked == embedded_postgres._MOST_STARTS


async def test_one_that_still_reads_its_log_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[str | Exception] = [asyncpg.CannotConnectNowError("starting up"), "connection"]

    async def connect(dsn: str, timeout: float) -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(asyncpg, "connect", connect)
    found: object = await embedded_postgres._connected("postgresql://")
    assert found == "connection"
