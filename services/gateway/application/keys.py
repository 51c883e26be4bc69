"""Answers remembered under an idempotency key: what is promised, whatever keeps them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

KEPT = timedelta(days=7)
# A request that has been running for longer belongs to a process that died: its command may be
# run again, since the services know the command's id.
LEASE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it was given: enough to give it again."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Claimed:
    """The caller of ``claim`` is the one to run the command."""


@dataclass(frozen=True, slots=True)
class Running:
    """Another request with this key is running the command."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The key was used for another request."""


type Claim = Claimed | Running | Mismatch | Answer


class KeysAway(Exception):
    """The keys cannot be reached now. Running the command is still harmless: its id is fixed."""


class Keys(Protocol):
    async def claim(self, command_id: str, route: str, fingerprint: bytes) -> Claim:
        """Take the key, or say what became of it.

        Args:
            command_id: Derived from caller, route and key; a canonical UUID.
            route: For operators.
            fingerprint: Of method, path and body.

        Raises:
            KeysAway: Nothing was taken.
        """

    async def finish(self, command_id: str, answer: Answer) -> None:
        """Remember the answer for ``KEPT``."""

    async def release(self, command_id: str) -> None:
        """Forget a claim whose command has no final answer, so that a retry runs it again."""
