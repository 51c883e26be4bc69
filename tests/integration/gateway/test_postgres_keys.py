"""Idempotency keys on a real database: one runner per key, however many ask at once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from services.gateway.adapters import postgres_keys
from services.gateway.adapters.postgres_keys import POOL_SETTINGS, PostgresKeys
from services.gateway.application.keys import (
    KEPT,
    LEASE,
    Answer,
    Claimed,
    KeysAway,
    Mismatch,
    Running,
)
from services.kernel.domain.ids import derive
from tests.support.stack import a_database, eventually

pytestmark = pytest.mark.stack
MIGRATIONS = Path(__file__).parents[3] / "services" / "gateway" / "migrations"
ONE, SAME, OTHER = derive("one"), b"f" * 16, b"g" * 16
DONE = Answer(201, b'{"order_id":"O-1"}', {"location": "/v1/orders/O-1"})


@pytest.fixture
async def pool(postgres_dsn: str) -> AsyncIterator[asyncpg.Pool]:
    dsn = await a_database(postgres_dsn, MIGRATIONS, event_store=False)
    async with asyncpg.create_pool(
        dsn, min_size=1, max_size=3, server_settings=POOL_SETTINGS
    ) as opened:
        yield opened


@pytest.fixture
def keys(pool: asyncpg.Pool) -> PostgresKeys:
    return PostgresKeys(pool)


async def test_an_answer_is_given_again_and_only_to_the_same_request(keys: PostgresKeys) -> None:
    assert await keys.claim(ONE, "POST /x", SAME) == Claimed()
    assert await keys.claim(ONE, "POST /x", SAME) == Running()
    assert await keys.claim(ONE, "POST /x", OTHER) == Mismatch()
    await keys.finish(ONE, DONE)
    assert await keys.claim(ONE, "POST /x", SAME) == DONE
    assert await keys.claim(ONE, "POST /x", OTHER) == Mismatch()


async def test_of_many_at_once_exactly_one_runs(keys: PostgresKeys) -> None:
    ids = [derive("many", number) for number in range(50)]
    claims = await asyncio.gather(
        *(keys.claim(one, "POST /x", SAME) for one in ids for _ in range(8))
    )
    assert sum(isinstance(claim, Claimed) for claim in claims) == len(ids)
    assert sum(isinstance(claim, Running) for claim in claims) == len(ids) * 7
    await asyncio.gather(*(keys.finish(one, DONE) for one in ids))
    again = await asyncio.gather(*(keys.claim(one, "POST /x", SAME) for one in ids))
    assert again == [DONE] * len(ids)


async def test_a_released_key_runs_again_and_a_finished_one_is_not_released(
    keys: PostgresKeys,
) -> None:
    await keys.claim(ONE, "POST /x", SAME)
    await keys.release(ONE)
    assert await keys.claim(ONE, "POST /x", SAME) == Claimed()
    await keys.finish(ONE, DONE)
    await keys.release(ONE)
    assert await keys.claim(ONE, "POST /x", SAME) == DONE


async def test_the_key_of_a_process_that_died_is_taken_over_once(
    keys: PostgresKeys, pool: asyncpg.Pool
) -> None:
    await keys.claim(ONE, "POST /x", SAME)
    await pool.execute("UPDATE idempotency_keys SET started_at = now() - $1::interval", LEASE)
    assert await keys.claim(ONE, "POST /x", OTHER) == Mismatch()
    assert await keys.claim(ONE, "POST /x", SAME) == Claimed()
    assert await keys.claim(ONE, "POST /x", SAME) == Running()


async def test_old_answers_are_forgotten(keys: PostgresKeys, pool: asyncpg.Pool) -> None:
    await keys.claim(ONE, "POST /x", SAME)
    await keys.finish(ONE, DONE)
    await keys.forget_old()
    assert await keys.claim(ONE, "POST /x", SAME) == DONE
    await pool.execute("UPDATE idempotency_keys SET started_at = now() - $1::interval", KEPT)
    await keys.forget_old()
    assert await keys.claim(ONE, "POST /x", SAME) == Claimed()


async def test_all_that_is_old_is_forgotten_in_pages_and_after_a_failure(
    keys: PostgresKeys, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More become old in an hour than one page holds; and a server may be away at that moment."""
    monkeypatch.setattr(postgres_keys, "MAX_DELETED_AT_ONCE", 3)
    monkeypatch.setattr(postgres_keys, "FORGET_MORE_AFTER_S", 0.01)
    monkeypatch.setattr(postgres_keys, "FORGET_AGAIN_AFTER_S", 0.01)
    for number in range(10):
        await keys.claim(derive("old", number), "POST /x", SAME)
    await pool.execute("UPDATE idempotency_keys SET started_at = now() - $1::interval", KEPT)
    await keys.claim(ONE, "POST /x", SAME)
    fails = 1
    forget = keys.forget_old

    async def forget_old() -> bool:
        nonlocal fails
        fails -= 1
        if fails == 0:
            raise ConnectionResetError("the server was restarted")
        return await forget()

    monkeypatch.setattr(keys, "forget_old", forget_old)
    forgetting = asyncio.create_task(keys.keep_forgetting())

    async def is_forgotten() -> bool:
        return bool(await pool.fetchval("SELECT count(*) = 1 FROM idempotency_keys"))

    try:
        await eventually(is_forgotten)
        assert not forgetting.done()
        assert await keys.claim(ONE, "POST /x", SAME) == Running()
    finally:
        forgetting.cancel()


async def test_a_database_that_is_away_is_said_to_be(
    keys: PostgresKeys, pool: asyncpg.Pool
) -> None:
    await pool.close()
    with pytest.raises(KeysAway):
        await keys.claim(ONE, "POST /x", SAME)
