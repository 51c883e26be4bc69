"""When to read on: together what comes together, at once what somebody waits for.

aiokafka has one fetch under way per broker. While records of one partition wait to be handled, it
asks for the others after a tenth of a second, and what comes for that one then waits until the
broker answers. Where somebody waits for it, all is asked for together, as it is handled together;
unless so much came lately that the broker answers at once, while that is handled.
"""

import asyncio
from typing import Any

from services.kernel.application.pace import Pace

# Reads of a feed for which somebody waits, and of others: far enough apart that what one commit or
# several orders spread over partitions comes together, in one transaction.
_URGENT_S, _UNHURRIED_S = 0.01, 0.1
_NOT_WITHOUT_ALL_S, _AHEAD_S = 5.0, 0.1
_LATELY_S = 1.0


class Fetching:
    """The pace of one reader.

    Args:
        batch_messages: Most of one read; as many come to who is far behind.
        is_urgent: Whether somebody waits for what it brings.
    """

    def __init__(self, batch_messages: int, *, is_urgent: bool) -> None:
        self._is_urgent = is_urgent
        self._batch_messages = batch_messages
        self._pace = Pace(_URGENT_S) if is_urgent else Pace(_UNHURRIED_S, rests=3)
        self._is_far_behind = False
        self._far_behind_until = 0.0

    async def wait(self) -> None:
        """Rest until the next read is due; who is far behind does not."""
        if not self._is_far_behind:
            await self._pace.wait()

    def handled(self) -> None:
        """Note that what was read had its effect."""
        self._pace.ended()

    def note(self, client: Any, messages: int) -> None:
        """Note how much a read brought, and have the client fetch on accordingly."""
        self._is_far_behind = messages == self._batch_messages
        self.tell(client)

    def tell(self, client: Any) -> None:
        """Have a client, perhaps a new one, fetch on."""
        if not self._is_urgent:
            return
        now = asyncio.get_running_loop().time()
        if self._is_far_behind:
            self._far_behind_until = now + _LATELY_S
        pause_s = _AHEAD_S if now < self._far_behind_until else _NOT_WITHOUT_ALL_S
        client._fetcher._prefetch_backoff = pause_s  # noqa: SLF001 - it has no option for it
