"""Pickup codes as a keyed hash: the same group, the same code; without the secret, a guess."""

import hmac
from hashlib import sha256

_CODES = 1_000_000
_DIGEST_BYTES = 16


class HmacPickupCodes:
    """Implements ``PickupCodes``.

    Args:
        secret: Of the installation. Changing it changes the code of every open handover.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def code_of(self, tenant: str, group_id: str) -> str:
        digest = hmac.digest(self._secret, f"{tenant}\x1f{group_id}".encode(), sha256)
        # 64 bits over a million codes: the first codes are likelier by less than 1 in 10^13.
        return f"{int.from_bytes(digest[:8]) % _CODES:06d}"

    def digest_of(self, tenant: str, group_id: str, code: str) -> str:
        given = f"given\x1f{tenant}\x1f{group_id}\x1f{code}"
        return hmac.digest(self._secret, given.encode(), sha256)[:_DIGEST_BYTES].hex()

    def is_right(self, tenant: str, group_id: str, code: str) -> bool:
        return hmac.compare_digest(self.code_of(tenant, group_id).encode(), code.encode())
