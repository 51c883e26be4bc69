"""The port of a bus: where public events go."""

from collections.abc import Sequence
from typing import Protocol

from services.kernel.application.feeds import Envelope


class Bus(Protocol):
    async def start_position(self, topic: str, published_to: int) -> int:
        """Return the position in the source's log after which publishing must begin.

        Args:
            topic: The feed.
            published_to: Up to where the relay knows that it published.
        """

    def is_heard(self, topic: str) -> bool:
        """Tell whether publishing on ``topic`` reaches anybody, now or later."""

    async def publish(self, topic: str, envelopes: Sequence[Envelope]) -> None:
        """Hand over a batch, in order; return once the bus will not lose it."""
