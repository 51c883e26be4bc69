"""Secrets of one installation: made at its first start, kept beside its data, never shown."""

import json
import os
import secrets
from pathlib import Path

_NAMES = (
    "app_password",
    "api_key_pepper",
    "internal_token",
    "pickup_code_secret",
    "tracking_secret",
)
_BYTES = 32


def installation_secrets(folder: Path) -> dict[str, str]:
    """Return the installation's secrets by name, making those that lack.

    The file is readable by its owner only. In production each secret comes from the platform
    through its own ``OMS_…`` variable instead, which wins over this file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "secrets.json"
    known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    if missing := [name for name in _NAMES if name not in known]:
        known |= {name: secrets.token_urlsafe(_BYTES) for name in missing}
        fresh = file.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as out:
            json.dump(known, out, indent=1)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(file)
    return known
