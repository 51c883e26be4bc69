"""The address of one order's page: a signed token that says which order, and nothing else.

And that of a tenant's stock: the same token, of a subject that no order can be named.
"""

import base64
import binascii
import hmac
from collections.abc import Sequence
from hashlib import sha256

_MAC_BYTES = 16
_SEPARATOR = "\x1f"
MAX_TOKEN_CHARACTERS = 300
# No order can have this id, so no order's address opens the stock, nor the other way round.
STOCK_SUBJECT = "~stock"


class Links:
    """Signs and checks tokens.

    Args:
        secrets: The first signs; all are accepted, so that a secret can be changed in steps.
        public_url: Put before the path; may be empty.
    """

    def __init__(self, secrets: Sequence[bytes], public_url: str = "") -> None:
        self._secrets = secrets
        self._public_url = public_url.rstrip("/")

    def track(self, tenant: str, order_id: str) -> str:
        """Return the address of the page of an order."""
        return f"{self._public_url}/track/{self.token(tenant, order_id)}"

    def stock(self, tenant: str) -> str:
        """Return the address of the stock pages of a tenant."""
        return f"{self._public_url}/stock/{self.token(tenant, STOCK_SUBJECT)}"

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
