"""Idempotency keys in PostgreSQL, written in small batches.

Requests that arrive while a statement is in flight go into the next one together: no timer, and
under load one round trip serves dozens of requests.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence

import asyncpg

from services.gateway.application.keys import (
    KEPT,
    LEASE,
    Answer,
    Claim,
    Claimed,
    KeysAway,
    Mismatch,
    Running,
)

# A lost row costs a repeated command, which is harmless; so these commits need not wait for the
# disk. For the pool's ``server_settings``.
POOL_SETTINGS = {"synchronous_commit": "off"}

MAX_BATCH = 200
MAX_WAITING = 5_000
STATEMENT_TIMEOUT_S = 2.0
MAX_DELETED_AT_ONCE = 10_000
FORGET_EVERY_S = 3_600.0
# After a whole page, and after a failure.
FORGET_MORE_AFTER_S, FORGET_AGAIN_AFTER_S = 1.0, 60.0

_CLAIM = """
INSERT INTO idempotency_keys AS known (command_id, route, fingerprint)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[])
ON CONFLICT (command_id) DO UPDATE SET started_at = now()
    WHERE known.status IS NULL AND known.fingerprint = excluded.fingerprint
        AND known.started_at < now() - $4::interval
RETURNING command_id::text
"""
_LOOK = """
SELECT command_id::text, fingerprint, status, headers, body
FROM idempotency_keys WHERE command_id = ANY($1::uuid[])
"""
_FINISH = """
UPDATE idempotency_keys AS known
SET status = done.status, headers = done.headers, body = done.body
FROM unnest($1::uuid[], $2::smallint[], $3::jsonb[], $4::bytea[])
    AS done (command_id, status, headers, body)
WHERE known.command_id = done.command_id
"""
_RELEASE = "DELETE FROM idempotency_keys WHERE command_id = ANY($1::uuid[]) AND status IS NULL"
_FORGET = """
DELETE FROM idempotency_keys WHERE command_id IN (
    SELECT command_id FROM idempotency_keys WHERE started_at < now() - $1::interval LIMIT $2)
"""

_log = logging.getLogger(__name__)

type Asked = tuple[str, str, bytes]


class PostgresKeys:
    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._claims = _Batches(self._claim_all)
        self._finishes = _Batches(self._finish_all)
        self._releases = _Batches(self._release_all)

    async def claim(self, command_id: str, route: str, fingerprint: bytes) -> Claim:
        return await self._claims.add((command_id, route, fingerprint))

    async def finish(self, command_id: str, answer: Answer) -> None:
        await self._finishes.add((command_id, answer))

    async def release(self, command_id: str) -> None:
        await self._releases.add(command_id)

    async def keep_forgetting(self) -> None:
        """Delete what is older than ``KEPT``, in pages, for ever; cancel to stop."""
        while True:
            try:
                pause_s = FORGET_MORE_AFTER_S if await self.forget_old() else FORGET_EVERY_S
            except Exception:  # noqa: BLE001 - who stops now never forgets anything again
                _log.warning("old answers could not be deleted, trying again", exc_info=True)
                pause_s = FORGET_AGAIN_AFTER_S
            await asyncio.sleep(pause_s)

    async def forget_old(self) -> bool:
        """Delete some of the rows older than ``KEPT``; tell whether there may be more."""
        done = await self._pool.execute(_FORGET, KEPT, MAX_DELETED_AT_ONCE, timeout=30)
        return bool(done == f"DELETE {MAX_DELETED_AT_ONCE}")

    async def _claim_all(self, asked: Sequence[Asked]) -> list[Claim]:
        # One statement cannot touch a row twice, so the first of equal ids asks and the others
        # find it running.
        first: dict[str, Asked] = {}
        for one in asked:
            first.setdefault(one[0], one)
        ids, routes, fingerprints = zip(*first.values(), strict=True)
        taken = {row[0] for row in await self._pool.fetch(_CLAIM, ids, routes, fingerprints, LEASE)}
        others = [command_id for command_id in ids if command_id not in taken]
        known = {}
        if others:
            rows = await self._pool.fetch(_LOOK, others)
            known = {row[0]: row for row in rows}
        claims: list[Claim] = []
        for one in asked:
            command_id, _, fingerprint = one
            if command_id in taken:
                is_first = first[command_id] is one
                claims.append(Claimed() if is_first else _beside(first[command_id], fingerprint))
            elif command_id in known:
                claims.append(_claim_of(known[command_id], fingerprint))
            else:  # released between the two statements: the retry after this answer takes it
                claims.append(Running())
        return claims

    async def _finish_all(self, done: Sequence[tuple[str, Answer]]) -> list[None]:
        await self._pool.execute(
            _FINISH,
            [command_id for command_id, _ in done],
            [answer.status for _, answer in done],
            [json.dumps(dict(answer.headers)) for _, answer in done],
            [answer.body for _, answer in done],
        )
        return [None] * len(done)

    async def _release_all(self, ids: Sequence[str]) -> list[None]:
        await self._pool.execute(_RELEASE, ids)
        return [None] * len(ids)


def _beside(first: Asked, fingerprint: bytes) -> Claim:
    return Running() if first[2] == fingerprint else Mismatch()


def _claim_of(row: asyncpg.Record, fingerprint: bytes) -> Claim:
    _, known_fingerprint, status, headers, body = row
    if known_fingerprint != fingerprint:
        return Mismatch()
    if status is None:
        return Running()
    return Answer(status, body, json.loads(headers))


def _as_seen_by_callers(fault: Exception) -> Exception:
    away = (
        *(OSError, TimeoutError),
        *(asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError),
    )
    if not isinstance(fault, away):
        return fault
    seen = KeysAway(str(fault))
    seen.__cause__ = fault
    return seen


class _Batches[Item, Result]:
    """Gathers what is asked while a statement runs, and sends it with the next one."""

    def __init__(self, run: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]]) -> None:
        self._run = run
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._sender: asyncio.Task[None] | None = None

    async def add(self, item: Item) -> Result:
        if len(self._waiting) >= MAX_WAITING:
            raise KeysAway
        answered: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answered))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send())
        return await answered

    async def _send(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
                try:
                    # The pool itself would wait for ever for a connection.
                    async with asyncio.timeout(STATEMENT_TIMEOUT_S):
                        results = await self._run([item for item, _ in batch])
                except Exception as fault:  # noqa: BLE001 - handed to everyone who waits for it
                    for _, answered in batch:
                        if not answered.done():
                            answered.set_exception(_as_seen_by_callers(fault))
                    continue
                for (_, answered), result in zip(batch, results, strict=True):
                    if not answered.done():
                        answered.set_result(result)
        finally:
            self._sender = None
