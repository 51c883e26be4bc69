"""API keys in PostgreSQL: ``oms_<env>_<id>_<secret>``, the secret kept as a keyed hash only.

A plain keyed hash is enough, because the secret has 256 random bits: there is nothing to guess
that a slow hash would protect, and a slow one would cost more than the call it guards.

What a key says is remembered for a minute at most, by its id: a wrong secret therefore costs one
hash and no query. Ids that do not exist are remembered apart, so that a flood of them cannot push
out those that do.
"""

import asyncio
import hmac
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from services.kernel.adapters.database import is_outage
from services.kernel.application.authenticator import IssuedKey, Key
from services.kernel.application.clock import Clock
from services.kernel.application.runner import Overloaded
from services.kernel.application.work import Sql
from services.kernel.domain.errors import Invalid
from services.kernel.domain.ids import identifier

REMEMBERED_S = 60.0
REMEMBERED_KEYS = 10_000
_ID_BYTES = 8
_SECRET_BYTES = 32
_RETRY_AFTER_MS = 500
_ENVIRONMENT = re.compile(r"[a-z0-9]{1,16}")
_TOKEN = re.compile(r"oms_([a-z0-9]{1,16})_([0-9a-f]{16})_([0-9a-f]{64})")
_SCOPE = re.compile(r"[a-z_]{1,32}:[a-z_]{1,32}")
_MOST_SCOPES = 64
_LEAST_PEPPER_BYTES = 16


@dataclass(frozen=True, slots=True)
class _Stored:
    key: Key
    digest: bytes
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key as its owner may see it later: without its secret."""

    key: Key
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class _Remembered[T]:
    """A bounded memory that forgets after a while; the least recently read go first."""

    def __init__(self, most: int, for_s: float, monotonic_s: Callable[[], float]) -> None:
        self._most = most
        self._for_s = for_s
        self._monotonic_s = monotonic_s
        self._entries: OrderedDict[str, tuple[float, T]] = OrderedDict()

    def get(self, name: str) -> T | None:
        entry = self._entries.get(name)
        if entry is None:
            return None
        if entry[0] <= self._monotonic_s():
            del self._entries[name]
            return None
        self._entries.move_to_end(name)
        return entry[1]

    def put(self, name: str, value: T) -> None:
        self._entries[name] = (self._monotonic_s() + self._for_s, value)
        self._entries.move_to_end(name)
        if len(self._entries) > self._most:
            self._entries.popitem(last=False)

    def forget(self, name: str) -> None:
        self._entries.pop(name, None)

    def __len__(self) -> int:
        return len(self._entries)


class PostgresApiKeys:
    """``ApiKeys`` on the table ``api_keys``."""

    def __init__(
        self,
        sql: Sql,
        *,
        pepper: bytes,
        environment: str,
        clock: Clock,
        remembered_s: float = REMEMBERED_S,
        remembered_keys: int = REMEMBERED_KEYS,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Use the keys of one installation.

        Args:
            sql: The database ``oms_access``.
            pepper: Secret of the installation, at least 128 bits, kept outside of the database.
            environment: ``prod``, ``test``...: a key of another one is refused.
            clock: For expiry.
            remembered_s: How long a revoked key may still work in other processes; at most 60.
            remembered_keys: At most so many at once.
            monotonic_s: For tests.
        """
        if len(pepper) < _LEAST_PEPPER_BYTES:
            raise ValueError("the pepper has at least 16 bytes")
        if _ENVIRONMENT.fullmatch(environment) is None:
            raise ValueError("an environment's name is 1 to 16 small letters and digits")
        self._sql = sql
        self._pepper = pepper
        self._environment = environment
        self._clock = clock
        remembered_s = min(remembered_s, REMEMBERED_S)
        self._known: _Remembered[_Stored] = _Remembered(remembered_keys, remembered_s, monotonic_s)
        self._unknown: _Remembered[bool] = _Remembered(remembered_keys, remembered_s, monotonic_s)
        self._reading: dict[str, asyncio.Task[_Stored | None]] = {}

    async def issue(
        self, tenant: str, scopes: Iterable[str], expires_at: datetime | None = None
    ) -> IssuedKey:
        """See ``ApiKeys``."""
        allowed = _checked(scopes)
        key = Key(secrets.token_hex(_ID_BYTES), identifier(tenant, "tenant"), allowed)
        token = f"oms_{self._environment}_{key.key_id}_{secrets.token_hex(_SECRET_BYTES)}"
        await self._sql.execute(
            "INSERT INTO api_keys (tenant, key_id, digest, scopes, created_at, expires_at)"
            " VALUES ($1, $2, $3, $4, $5, $6)",
            key.tenant,
            key.key_id,
            self._digest(token),
            sorted(allowed),
            self._clock.now(),
            expires_at,
        )
        return IssuedKey(key, token, expires_at)

    async def revoke(self, tenant: str, key_id: str) -> bool:
        """See ``ApiKeys``."""
        done = await self._sql.execute(
            "UPDATE api_keys SET revoked_at = $3"
            " WHERE tenant = $1 AND key_id = $2 AND revoked_at IS NULL",
            tenant,
            key_id,
            self._clock.now(),
        )
        self._known.forget(key_id)
        if reading := self._reading.pop(key_id, None):
            reading.cancel()  # it may have read the row before
        return done.endswith(" 1")

    async def of_tenant(self, tenant: str, limit: int) -> list[KnownKey]:
        """Return the keys of a tenant, the oldest first; those that are revoked too."""
        rows = await self._sql.fetch(
            "SELECT key_id, scopes, created_at, expires_at, revoked_at FROM api_keys"
            " WHERE tenant = $1 ORDER BY created_at, key_id LIMIT $2",
            identifier(tenant, "tenant"),
            limit,
        )
        return [KnownKey(Key(row[0], tenant, frozenset(row[1])), *row[2:]) for row in rows]

    async def authenticate(self, token: str) -> Key | None:
        """See ``Authenticator``."""
        parts = _TOKEN.fullmatch(token)
        if parts is None or parts[1] != self._environment:
            return None
        stored = self._known.get(parts[2]) or await self._find(parts[2])
        if stored is None or not hmac.compare_digest(stored.digest, self._digest(token)):
            return None
        if stored.expires_at is not None and stored.expires_at <= self._clock.now():
            return None
        return stored.key

    async def _find(self, key_id: str) -> _Stored | None:
        """Read a key; calls that ask for the same one at the same time share the query."""
        if self._unknown.get(key_id):
            return None
        reading = self._reading.get(key_id)
        if reading is None:
            reading = self._reading[key_id] = asyncio.create_task(self._read(key_id))
            reading.add_done_callback(lambda done: self._was_read(key_id, done))
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            if reading.cancelled():  # revoked meanwhile, and we are still wanted
                return None
            raise

    async def _read(self, key_id: str) -> _Stored | None:
        try:
            row = await self._sql.fetchrow(
                "SELECT tenant, digest, scopes, expires_at FROM api_keys"
                " WHERE key_id = $1 AND revoked_at IS NULL",
                key_id,
            )
        except Exception as error:
            if is_outage(error) and not isinstance(error, Overloaded):
                raise Overloaded("the keys cannot be read", _RETRY_AFTER_MS) from error
            raise
        if row is None:
            return None
        key = Key(key_id, row["tenant"], frozenset(row["scopes"]))
        return _Stored(key, bytes(row["digest"]), row["expires_at"])

    def _was_read(self, key_id: str, done: "asyncio.Task[_Stored | None]") -> None:
        if self._reading.get(key_id) is not done:
            return  # revoked meanwhile: what was read may be older than that
        del self._reading[key_id]
        if done.cancelled() or done.exception() is not None:
            return
        if (stored := done.result()) is None:
            self._unknown.put(key_id, value=True)
        else:
            self._known.put(key_id, stored)

    def _digest(self, token: str) -> bytes:
        return hmac.digest(self._pepper, token.encode(), "sha256")


def _checked(scopes: Iterable[str]) -> frozenset[str]:
    allowed = frozenset(scopes)
    if not 1 <= len(allowed) <= _MOST_SCOPES:
        raise Invalid(("scopes", f"must be 1 to {_MOST_SCOPES}"))
    if wrong := sorted(scope for scope in allowed if _SCOPE.fullmatch(scope) is None):
        raise Invalid(("scopes", f"{wrong[0]!r} is not of the form 'orders:write'"))
    return allowed
