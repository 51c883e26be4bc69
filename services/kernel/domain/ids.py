"""Ids that follow from what they name: the same input gives the same id, everywhere, for ever."""

import re
from hashlib import blake2b
from uuid import UUID

from services.kernel.domain.errors import Invalid

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,63}")
_SEPARATOR = "\x1f"


def derive(*parts: str | int) -> str:
    """Return the id that belongs to these parts, as a canonical UUID (version 8, RFC 9562).

    >>> derive("message-1", 0)
    '049d9adc-be75-8adb-baaf-16ea8a3f9f0f'
    """
    digest = bytearray(blake2b(_SEPARATOR.join(map(str, parts)).encode(), digest_size=16).digest())
    digest[6] = (digest[6] & 0x0F) | 0x80
    digest[8] = (digest[8] & 0x3F) | 0x80
    return str(UUID(bytes=bytes(digest)))


def identifier(value: str, field: str) -> str:
    """Return ``value`` if it may serve as an id, else raise ``Invalid`` naming ``field``.

    Ids are 1 to 64 letters, digits, dots, underscores, tildes and hyphens, and begin with a
    letter or digit. They appear in stream names, topics' keys and URLs, so nothing else is safe.
    """
    if _IDENTIFIER.fullmatch(value) is None:
        raise Invalid(
            (field, "must be 1 to 64 characters of A-Z a-z 0-9 . _ ~ -, first a letter or digit")
        )
    return value
