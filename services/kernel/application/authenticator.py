"""Who may call: what an API key says, and the port that checks one."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Key:
    """What a valid API key says of its bearer.

    Attributes:
        key_id: Public part of the key; the ``actor`` of all that is done with it.
        tenant: The retailer whose data the bearer may see.
        scopes: What the bearer may do, for example ``orders:write``.
    """

    key_id: str
    tenant: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key. ``token`` is shown once and kept nowhere.

    Attributes:
        key: What it says.
        token: ``oms_<env>_<id>_<secret>``, what the caller sends.
        expires_at: From when on it is refused, aware, UTC; None: never.
    """

    key: Key
    token: str
    expires_at: datetime | None


class Unauthenticated(Exception):
    """Nobody we know: the token is missing, malformed, wrong, expired or revoked."""


class Denied(Exception):
    """Known, but not allowed.

    Attributes:
        scope: What the call asks for; empty when nobody may call it.
    """

    def __init__(self, scope: str) -> None:
        super().__init__(f"scope {scope!r} is missing" if scope else "nobody may call this")
        self.scope = scope


class Authenticator(Protocol):
    async def authenticate(self, token: str) -> Key | None:
        """Return what ``token`` says, or None when it is not a key that is valid now.

        Raises:
            Overloaded: The keys cannot be read at the moment.
        """


class ApiKeys(Authenticator, Protocol):
    """Issues and withdraws keys. Several keys of one tenant may be valid at once (rotation)."""

    async def issue(
        self, tenant: str, scopes: Iterable[str], expires_at: datetime | None = None
    ) -> IssuedKey:
        """Make a new key for ``tenant``; the only moment at which its token is known."""

    async def revoke(self, tenant: str, key_id: str) -> bool:
        """Withdraw a key for good; False when ``tenant`` has no such key that is not yet revoked.

        Here it is refused at once, by other processes within a minute.
        """
