"""What every ``ApiKeys`` promises, and one that keeps it in memory for tests of others."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from services.kernel.application.authenticator import ApiKeys, IssuedKey, Key
from services.kernel.application.clock import Clock
from services.kernel.domain.errors import Invalid
from services.kernel.domain.ids import identifier

SCOPES = frozenset({"orders:read", "orders:write"})


@dataclass
class MovableClock:
    time: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


@dataclass
class MemoryApiKeys:
    clock: Clock
    keys: dict[str, IssuedKey] = field(default_factory=dict)

    async def issue(
        self, tenant: str, scopes: Iterable[str], expires_at: datetime | None = None
    ) -> IssuedKey:
        allowed = frozenset(scopes)
        if not allowed or not all(":" in scope for scope in allowed):
            raise Invalid(("scopes", "must be given, each of the form 'orders:write'"))
        key = Key(secrets.token_hex(8), identifier(tenant, "tenant"), allowed)
        issued = IssuedKey(key, f"oms_test_{key.key_id}_{secrets.token_hex(32)}", expires_at)
        self.keys[issued.token] = issued
        return issued

    async def revoke(self, tenant: str, key_id: str) -> bool:
        for token, issued in self.keys.items():
            if (issued.key.tenant, issued.key.key_id) == (tenant, key_id):
                del self.keys[token]
                return True
        return False

    async def authenticate(self, token: str) -> Key | None:
        issued = self.keys.get(token)
        if issued is None or (issued.expires_at and issued.expires_at <= self.clock.now()):
            return None
        return issued.key


class ApiKeysSuite:
    """Subclass it with a fixture ``keys``, on ``clock``, for environment ``test``."""

    @pytest.fixture
    def clock(self) -> MovableClock:
        return MovableClock()

    async def test_a_key_says_whose_it_is_and_what_it_allows(self, keys: ApiKeys) -> None:
        issued = await keys.issue("demo", SCOPES)
        assert await keys.authenticate(issued.token) == issued.key
        assert (issued.key.tenant, issued.key.scopes) == ("demo", SCOPES)

    async def test_a_token_names_its_environment_and_id_and_has_a_long_secret(
        self, keys: ApiKeys
    ) -> None:
        issued = await keys.issue("demo", SCOPES)
        name, environment, key_id, secret = issued.token.split("_")
        assert (name, environment, key_id) == ("oms", "test", issued.key.key_id)
        assert len(bytes.fromhex(secret)) * 8 >= 128

    async def test_a_wrong_token_is_nobody_s(self, keys: ApiKeys) -> None:
        token = (await keys.issue("demo", SCOPES)).token
        other = (await keys.issue("demo", SCOPES)).token
        for wrong in (
            "",
            "oms",
            token[:-1],
            token + "0",
            token[:-1] + ("0" if token[-1] != "0" else "1"),
            token.replace("oms_test", "oms_prod"),
            token.upper(),
            token + "\n",
            "_".join([*token.split("_")[:3], other.split("_")[3]]),
            "oms_test_" + "0" * 16 + "_" + "0" * 64,
            "é" * 20,
        ):
            assert await keys.authenticate(wrong) is None
        assert await keys.authenticate(token) is not None

    async def test_an_expired_key_is_refused_from_that_moment_on(
        self, keys: ApiKeys, clock: MovableClock
    ) -> None:
        issued = await keys.issue("demo", SCOPES, clock.now() + timedelta(hours=1))
        clock.time += timedelta(minutes=59)
        assert await keys.authenticate(issued.token) is not None
        clock.time += timedelta(minutes=1)
        assert await keys.authenticate(issued.token) is None

    async def test_a_revoked_key_is_refused_at_once_where_it_was_revoked(
        self, keys: ApiKeys
    ) -> None:
        issued = await keys.issue("demo", SCOPES)
        assert await keys.authenticate(issued.token) is not None
        assert await keys.revoke("demo", issued.key.key_id)
        assert await keys.authenticate(issued.token) is None
        assert not await keys.revoke("demo", issued.key.key_id)

    async def test_nobody_revokes_another_tenant_s_key(self, keys: ApiKeys) -> None:
        issued = await keys.issue("demo", SCOPES)
        assert not await keys.revoke("other", issued.key.key_id)
        assert await keys.authenticate(issued.token) is not None

    async def test_two_keys_live_side_by_side_while_one_replaces_the_other(
        self, keys: ApiKeys
    ) -> None:
        old, new = await keys.issue("demo", SCOPES), await keys.issue("demo", SCOPES)
        assert await keys.authenticate(old.token) == old.key
        assert await keys.authenticate(new.token) == new.key
        await keys.revoke("demo", old.key.key_id)
        assert await keys.authenticate(old.token) is None
        assert await keys.authenticate(new.token) == new.key

    @pytest.mark.parametrize(
        ("tenant", "scopes"), [("", SCOPES), ("a b", SCOPES), ("demo", []), ("demo", ["orders"])]
    )
    async def test_a_key_for_nobody_or_nothing_is_not_issued(
        self, keys: ApiKeys, tenant: str, scopes: Iterable[str]
    ) -> None:
        with pytest.raises(Invalid):
            await keys.issue(tenant, scopes)
