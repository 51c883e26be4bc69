"""Doing a little more at a time instead of a little more often."""

import asyncio


class Pace:
    """Keeps the rounds of a loop at least ``every_s`` apart when they come thick and fast.

    A round that comes after a pause goes on at once, so a quiet system answers without delay. In
    a busy one the work of several rounds becomes one batch: one commit, a few statements. That
    is what makes throughput grow with load.
    """

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._next_s = 0.0

    async def wait(self) -> None:
        """Wait until the next round is due; at most ``every_s``."""
        loop = asyncio.get_running_loop()
        early_s = self._next_s - loop.time()
        if early_s > 0:
            await asyncio.sleep(early_s)
        self._next_s = loop.time() + self._every_s
