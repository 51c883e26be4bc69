"""Ids that follow from what they name: the same input gives the same id, everywhere, for ever."""

import re
from hashlib import blake2b

from services.kernel.domain.errors import Invalid

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,63}")
_SEPARATOR = "\x1f"
# The first hexadecimal digit of a UUID's clock sequence, its two highest bits set to 10.
_VARIANTS = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def derive(*parts: str | int) -> str:
    """Return the id that belongs to these parts, as a canonical UUID (version 8, RFC 9562).

    >>> derive("message-1", 0)
    '049d9adc-be75-8adb-baaf-16ea8a3f9f0f'
    """
    digest = blake2b(_SEPARATOR.join(map(str, parts)).encode(), digest_size=16).hexdigest()
    # Spelled out, because UUID(bytes=...) costs four times as much and this runs once per event.
    variant = _VARIANTS[digest[16]]
    return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:]}"


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
