"""What the demo needs of the world: the public API, and somewhere to tell how far it is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

OK, CREATED, ACCEPTED = 200, 201, 202
BAD_REQUEST, NOT_FOUND, CONFLICT = 400, 404, 409

# What is being done, how much of it is done, and how much there is.
type Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the API; a refusal is an answer too.

    Attributes:
        status: HTTP status.
        body: Decoded JSON.
        is_replayed: True when the same request had been answered before this one was first made.
    """

    status: int
    body: Any
    is_replayed: bool = False

    @property
    def is_ok(self) -> bool:
        return OK <= self.status < BAD_REQUEST

    @property
    def reason(self) -> str:
        """The registry reason of a refusal."""
        reason = self.body.get("reason", "") if isinstance(self.body, Mapping) else ""
        return reason or f"HTTP_{self.status}"

    @property
    def problem(self) -> str:
        """What is wrong, in one line."""
        detail = self.body.get("detail", "") if isinstance(self.body, Mapping) else ""
        return f"{self.reason}: {detail}" if detail else self.reason


class Api(Protocol):
    """The public HTTP API. Faults that pass are retried behind it, within a limit.

    Raises:
        ApiAway: No answer in spite of every retry.
    """

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Reply: ...
    async def post(self, path: str, body: Any, key: str, prefer: str = "") -> Reply: ...


class ApiAway(Exception):
    """The API did not answer in spite of every retry."""
