"""Sees which streams other processes write to, on behalf of everybody here who waits for one.

One light query per look, however many wait; nobody waits, nobody looks.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from services.kernel.adapters.database import Database, is_outage

_log = logging.getLogger(__name__)

_SHORTEST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.25
_SLOWING = 1.1
_PAGE = 2_000
_NEWS = (
    "SELECT originator_id, originator_version, notification_id FROM events"
    " WHERE notification_id > $1 ORDER BY notification_id LIMIT $2"
)


class Lookout:
    """Follows the log for the names and versions in it, from when it is first asked to.

    Looks when told that there is news; where nobody tells, often while something happens or
    somebody has just come to wait, then less and less.

    Args:
        database: Whose log.
        began: Called with the position behind which it begins to look, at first and whenever it
            begins anew: nobody was told of what was written in between.
        seen: Called with stream, version and position of each event, in the order of the log.
        is_wanted: Whether anybody waits still.
        is_told: Whether there is somebody who calls ``wake`` at the moment.
    """

    def __init__(
        self,
        database: Database,
        began: Callable[[int], None],
        seen: Callable[[str, int, int], None],
        is_wanted: Callable[[], bool],
        is_told: Callable[[], bool],
    ) -> None:
        self._database = database
        self._began = began
        self._seen = seen
        self._is_wanted = is_wanted
        self._is_told = is_told
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._knows_where = asyncio.Event()
        self._pause_s = _SHORTEST_PAUSE_S

    @property
    def is_looking(self) -> bool:
        """Whether it tells of all that is written from now on."""
        return self._task is not None and not self._task.done() and self._knows_where.is_set()

    async def begin(self) -> bool:
        """Look out from now on; tell whether it did so already.

        If not, what was written before is for the caller to look up, after this.
        """
        self._pause_s = _SHORTEST_PAUSE_S
        if self.is_looking:
            return True
        if self._task is None or self._task.done():
            self._knows_where.clear()
            self._task = asyncio.create_task(self._run(), name="lookout")
        began = asyncio.create_task(self._knows_where.wait())
        try:
            await asyncio.wait([began, self._task], return_when=asyncio.FIRST_COMPLETED)
        finally:
            began.cancel()
        return False

    def wake(self) -> None:
        """Look now."""
        self._news.set()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        try:
            position = int(
                await self._database.sql.fetchval(
                    "SELECT coalesce(max(notification_id), 0) FROM events"
                )
            )
            self._began(position)
            self._knows_where.set()
            while self._is_wanted():
                self._news.clear()
                rows = await self._database.sql.fetch(_NEWS, position, _PAGE)
                for stream, version, at in rows:
                    self._seen(stream, version, at)
                    position = at
                if len(rows) < _PAGE:
                    await self._rest(is_quiet=not rows)
        except Exception as error:
            # Who waits looks for himself as well, now and then; the next one begins this anew.
            if not is_outage(error):
                _log.exception("the lookout failed")

    async def _rest(self, *, is_quiet: bool) -> None:
        longer_s = min(self._pause_s * _SLOWING, _LONGEST_PAUSE_S)
        self._pause_s = longer_s if is_quiet else _SHORTEST_PAUSE_S
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_PAUSE_S if self._is_told() else self._pause_s):
                await self._news.wait()
