"""The address of one order's page: a signed token that says which order, and nothing else.

And that of a tenant's stock: the same token, of a subject that no order can be named, with the day
until which it holds. Whoever has it sees all of the stock, and addresses get about.
"""

import base64
import binascii
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from services.kernel.application.clock import Clock, SystemClock

_MAC_BYTES = 16
_SEPARATOR = "\x1f"
MAX_TOKEN_CHARACTERS = 300
# No order can have this id, so no order's address opens the stock, nor the other way round.
_STOCK_SUBJECT = "~stock~"


@dataclass(frozen=True, slots=True)
class StockPages:
    """A tenant's stock pages: their token, and until when it opens them."""

    tenant: str
    token: str
    expires_at: datetime


class Links:
    """Signs and checks tokens.

    Args:
        secrets: The first signs; all are accepted, so that a secret can be changed in steps.
        public_url: Put before the path; may be empty.
        stock_days: How many days the address of stock pages holds, that of today not counted.
        clock: Says which day it is.
    """

    def __init__(
        self,
        secrets: Sequence[bytes],
        public_url: str = "",
        stock_days: int = 30,
        clock: Clock | None = None,
    ) -> None:
        self._secrets = secrets
        self._public_url = public_url.rstrip("/")
        self._stock_days = stock_days
        self._clock = clock or SystemClock()

    def track(self, tenant: str, order_id: str) -> str:
        """Return the address of the page of an order."""
        return f"{self._public_url}/track/{self.token(tenant, order_id)}"

    def stock(self, tenant: str) -> tuple[str, datetime]:
        """Return the address of the stock pages of a tenant, and until when it holds."""
        pages = self.stock_pages(tenant)
        return f"{self._public_url}/stock/{pages.token}", pages.expires_at

    def stock_pages(self, tenant: str) -> StockPages:
        """Return what opens the stock pages of a tenant; all day long it is the same."""
        today = self._clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
        expires_at = today + timedelta(days=self._stock_days + 1)
        token = self.token(tenant, f"{_STOCK_SUBJECT}{expires_at:%Y%m%d}")
        return StockPages(tenant, token, expires_at)

    def read_stock(self, token: str) -> StockPages | None:
        """Return whose stock pages a token of ours opens, or opened while it held."""
        tenant, subject = self.read(token) or ("", "")
        if not subject.startswith(_STOCK_SUBJECT):
            return None
        day = subject.removeprefix(_STOCK_SUBJECT)
        return StockPages(tenant, token, datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC))

    def has_expired(self, pages: StockPages) -> bool:
        return self._clock.now() >= pages.expires_at

    def token(self, tenant: str, order_id: str) -> str:
        """Return the token of an order; the same order has the same token."""
        named = f"{tenant}{_SEPARATOR}{order_id}".encode()
        sealed = _mac(self._secrets[0], named) + named
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def read(self, token: str) -> tuple[str, str] | None:
        """Return tenant and order id, or None when we did not sign this."""
        if len(token) > MAX_TOKEN_CHARACTERS or not token.isascii():
            return None
        try:
            sealed = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        mac, named = sealed[:_MAC_BYTES], sealed[_MAC_BYTES:]
        if not any(hmac.compare_digest(mac, _mac(secret, named)) for secret in self._secrets):
            return None
        tenant, _, order_id = named.decode().partition(_SEPARATOR)
        return tenant, order_id


def _mac(secret: bytes, named: bytes) -> bytes:
    return hmac.digest(secret, b"track:" + named, sha256)[:_MAC_BYTES]
