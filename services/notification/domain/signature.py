"""Signing a delivery after Standard Webhooks: HMAC-SHA256 over ``id.timestamp.body``.

Source  Standard Webhooks 1.0, https://www.standardwebhooks.com: headers ``webhook-id``,
        ``webhook-timestamp`` (seconds), ``webhook-signature`` (space-separated ``v1,<base64>``,
        one per live secret during a rotation).
"""

import base64
import hmac
from collections.abc import Sequence

PREFIX = "whsec_"
SECRET_BYTES = 32


def secret_of(key: bytes) -> str:
    """Return a key as its owner sees it.

    >>> secret_of(bytes(3))
    'whsec_AAAA'
    """
    return PREFIX + base64.b64encode(key).decode()


def signed_headers(
    message_id: str, timestamp_s: int, body: bytes, secrets: Sequence[str]
) -> dict[str, str]:
    """Return the three headers of a delivery.

    Args:
        message_id: The same on every try, so that the receiver can drop repeats.
        timestamp_s: When this try is made, seconds since 1970, so that old ones can be refused.
        body: What is signed, byte for byte what is sent.
        secrets: Live secrets, newest first; at least one.
    """
    signed = b".".join((message_id.encode(), str(timestamp_s).encode(), body))
    signatures = (
        base64.b64encode(
            hmac.digest(base64.b64decode(secret.removeprefix(PREFIX)), signed, "sha256")
        ).decode()
        for secret in secrets
    )
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
