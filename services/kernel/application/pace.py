"""Doing a little more at a time instead of a little more often."""

import asyncio

_LONGEST_REST_S = 0.3


class Pace:
    """Keeps the rounds of a loop apart when they come thick and fast.

    A round that comes after a pause goes on at once, so a quiet system answers without delay. In
    a busy one the work of several rounds becomes one batch: one commit, a few statements. That
    is what makes throughput grow with load.

    Args:
        every_s: Shortest time from the beginning of one round to that of the next.
        rests: How long to rest after a round, in times of how long it took. How busy the process
            is shows there; work that nobody waits for steps back by resting.
        longest_rest_s: At most so long.
    """

    def __init__(
        self, every_s: float, rests: float = 0.0, longest_rest_s: float = _LONGEST_REST_S
    ) -> None:
        self._longest_rest_s = longest_rest_s
        self._every_s = every_s
        self._rests = rests
        self._next_s = 0.0
        self._began_s = 0.0

    async def wait(self) -> None:
        """Wait until the next round is due, and begin it."""
        loop = asyncio.get_running_loop()
        early_s = self._next_s - loop.time()
        if early_s > 0:
            await asyncio.sleep(early_s)
        self._began_s = loop.time()
        self._next_s = self._began_s + self._every_s

    def ended(self) -> None:
        """Say that the round is over."""
        now_s = asyncio.get_running_loop().time()
        rest_s = min(self._rests * (now_s - self._began_s), self._longest_rest_s)
        self._next_s = max(self._next_s, now_s + rest_s)
