"""Keys in memory keep the promise; the memory in front of the table forgets and has a limit."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from services.kernel.adapters.api_keys import PostgresApiKeys
from services.kernel.application.authenticator import ApiKeys, Key
from services.kernel.application.runner import Overloaded
from tests.support.api_keys_suite import SCOPES, ApiKeysSuite, MemoryApiKeys, MovableClock

PEPPER = b"0123456789abcdef"


@dataclass
class Table:
    """Just enough of the table, with its queries counted."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    reads: int = 0
    is_away: bool = False
    slow: asyncio.Event | None = None

    async def execute(self, query: str, *args: Any) -> str:
        if query.startswith("INSERT"):
            tenant, key_id, digest, scopes, _, expires_at = args
            self.rows[key_id] = {
                "tenant": tenant, "digest": digest, "scopes": scopes, "expires_at": expires_at
            }  # fmt: skip
            return "INSERT 0 1"
        row = self.rows.get(args[1])
        if row is None or row["tenant"] != args[0]:
            return "UPDATE 0"
        del self.rows[args[1]]
        return "UPDATE 1"

    async def fetchrow(self, _: str, *args: Any) -> Any:
        self.reads += 1
        if self.is_away:
            raise ConnectionResetError
        row = self.rows.get(args[0])
        if self.slow is not None:
            await self.slow.wait()
        return row

    async def executemany(self, query: str, args: Iterable[Sequence[Any]]) -> None: ...
    async def fetch(self, query: str, *args: Any) -> list[Any]:
        return []

    async def fetchval(self, query: str, *args: Any) -> Any:
        return None


@dataclass
class Stand:
    table: Table = field(default_factory=Table)
    clock: MovableClock = field(default_factory=MovableClock)
    monotonic_s: float = 0.0

    def keys(self, remembered_keys: int = 100, pepper: bytes = PEPPER) -> PostgresApiKeys:
        return PostgresApiKeys(
            self.table,
            pepper=pepper,
            environment="test",
            clock=self.clock,
            remembered_keys=remembered_keys,
            remembered_s=3_600,  # more than is allowed
            monotonic_s=lambda: self.monotonic_s,
        )


class TestMemoryApiKeys(ApiKeysSuite):
    @pytest.fixture
    def keys(self, clock: MovableClock) -> ApiKeys:
        return MemoryApiKeys(clock)


class TestPostgresApiKeysWithoutPostgres(ApiKeysSuite):
    @pytest.fixture
    def keys(self, clock: MovableClock) -> ApiKeys:
        return Stand(clock=clock).keys()


async def test_the_secret_is_not_kept() -> None:
    stand = Stand()
    issued = await stand.keys().issue("demo", SCOPES)
    secret = issued.token.rpartition("_")[2]
    [row] = stand.table.rows.values()
    assert secret not in repr(row)
    assert bytes.fromhex(secret) not in row["digest"]
    assert len(row["digest"]) == 32


async def test_without_the_pepper_a_stolen_table_is_worth_nothing() -> None:
    stand = Stand()
    issued = await stand.keys().issue("demo", SCOPES)
    assert await stand.keys(pepper=b"another pepper, as long").authenticate(issued.token) is None


async def test_a_key_is_read_once_a_minute_and_a_revocation_elsewhere_takes_no_longer() -> None:
    stand = Stand()
    here, elsewhere = stand.keys(), stand.keys()
    issued = await here.issue("demo", SCOPES)
    for _ in range(10):
        assert await here.authenticate(issued.token) == issued.key
    assert stand.table.reads == 1
    await elsewhere.revoke("demo", issued.key.key_id)
    stand.monotonic_s = 59.9
    assert await here.authenticate(issued.token) == issued.key
    stand.monotonic_s = 60.0
    assert await here.authenticate(issued.token) is None


async def test_expiry_holds_for_remembered_keys_too() -> None:
    stand = Stand()
    keys = stand.keys()
    issued = await keys.issue("demo", SCOPES, stand.clock.now() + timedelta(seconds=1))
    assert await keys.authenticate(issued.token) is not None
    stand.clock.time += timedelta(seconds=1)
    assert await keys.authenticate(issued.token) is None


async def test_guesses_cost_no_queries_and_push_no_key_out() -> None:
    stand = Stand()
    keys = stand.keys(remembered_keys=10)
    issued = await keys.issue("demo", SCOPES)
    await keys.authenticate(issued.token)
    prefix = issued.token.rpartition("_")[0]
    for guess in range(100):
        assert await keys.authenticate(f"{prefix}_{guess:064x}") is None
    assert stand.table.reads == 1
    for unknown in range(100):
        assert await keys.authenticate(f"oms_test_{unknown:016x}_{0:064x}") is None
    assert stand.table.reads == 101
    await keys.authenticate(f"oms_test_{99:016x}_{0:064x}")
    await keys.authenticate(issued.token)
    assert stand.table.reads == 101
    assert len(keys._unknown) == 10


async def test_calls_at_the_same_time_share_one_query() -> None:
    stand = Stand()
    keys = stand.keys()
    issued = await keys.issue("demo", SCOPES)
    stand.table.slow = asyncio.Event()
    calls = [asyncio.ensure_future(keys.authenticate(issued.token)) for _ in range(50)]
    await asyncio.sleep(0)
    calls[0].cancel()  # the first to ask goes away; the others are served
    await asyncio.sleep(0)
    stand.table.slow.set()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert stand.table.reads == 1
    assert answers[1:] == [issued.key] * 49


async def test_a_revocation_beats_a_read_under_way() -> None:
    stand = Stand()
    keys = stand.keys()
    issued = await keys.issue("demo", SCOPES)
    stand.table.slow = asyncio.Event()
    call = asyncio.ensure_future(keys.authenticate(issued.token))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await keys.revoke("demo", issued.key.key_id)
    stand.table.slow.set()
    assert await call is None
    assert await keys.authenticate(issued.token) is None


async def test_when_the_keys_cannot_be_read_nobody_gets_in_and_nothing_is_remembered() -> None:
    stand = Stand()
    keys = stand.keys()
    issued = await keys.issue("demo", SCOPES)
    stand.table.is_away = True
    with pytest.raises(Overloaded):
        await keys.authenticate(issued.token)
    stand.table.is_away = False
    answer: Key | None = await keys.authenticate(issued.token)
    assert answer == issued.key


def test_a_weak_pepper_is_refused() -> None:
    with pytest.raises(ValueError, match="pepper"):
        Stand().keys(pepper=b"short")
