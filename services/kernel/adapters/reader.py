"""Answers queries from the read models, and waits for them where a caller asks it to."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from services.kernel.adapters.database import Database
from services.kernel.adapters.event_codec import EventCodec
from services.kernel.adapters.event_log import NewEvent, decode_rows, read_stream
from services.kernel.adapters.lookout import Lookout
from services.kernel.adapters.projector import Projector
from services.kernel.application.runner import Overloaded
from services.kernel.application.work import Sql
from services.kernel.domain.messages import Recorded

_FRESH_WITHIN_S = 2.0
_POLL_S = 0.1
_FIRST_POLL_S, _LONGEST_POLL_S = 0.01, 0.02
# How often who waits sees to it that somebody still tells of what others wrote: less and less.
_FIRST_LOOK_S = 0.5
_LONGEST_LOOK_S = 2.0
_MOST_WRITTEN = 50_000
_UNKNOWN: tuple[int, int | None] = (-1, None)


class PostgresReader:
    """Implements ``Reader``.

    Woken in process where the writer lives in the same one; looks out for others otherwise.

    Args:
        database: The service's.
        codec: Gives its names to classes, once the service is built.
        is_sole_writer: Whether no other process writes there.
        is_told: Whether ``written`` and ``moved`` are called for what others do, at the moment.
    """

    def __init__(
        self,
        database: Database,
        codec: Callable[[], EventCodec],
        *,
        is_sole_writer: bool = True,
        is_told: Callable[[], bool] = lambda: False,
    ) -> None:
        self._database = database
        self._codec = codec
        self._lookout = (
            None
            if is_sole_writer
            else Lookout(
                database,
                self._begin_to_be_told,
                self._written_to,
                lambda: bool(self._changes),
                is_told,
            )
        )
        self._is_told = is_told
        self._has_moved = asyncio.Event()
        # Names of the service's read models; set once the service is built.
        self.models: list[str] = []
        self._changes: dict[str, set[asyncio.Event]] = defaultdict(set)
        # Last version of streams that were written to, and its position, as far as this process
        # did or saw it; forgotten all at once when full.
        self._written: dict[str, tuple[int, int]] = {}
        # All that lies behind this position is told; what lies before it may have had successors
        # that were not.
        self._told_after = 0
        # What the read models show up to this position was told by who fills them.
        self._told_shown = 0
        self.projector: Projector | None = None
        self._asking: asyncio.Future[int] | None = None

    @property
    def sql(self) -> Sql:
        return self._database.sql

    async def at_least(self, stream: str, version: int) -> None:
        known, position = self._written.get(stream, _UNKNOWN)
        if known != version:
            position = await self._database.sql.fetchval(
                "SELECT notification_id FROM events"
                " WHERE originator_id = $1 AND originator_version = $2",
                *(stream, version),
            )
        if position is None:
            raise Overloaded("that version is not recorded here", int(_POLL_S * 1000))
        try:
            pause_s = _FIRST_POLL_S
            async with asyncio.timeout(_FRESH_WITHIN_S):
                while True:
                    # Before the question: what moves while it is asked must not be missed.
                    moved = self._has_moved
                    if self._told_shown >= position or await self._position() >= position:
                        return
                    await self._projected(pause_s, moved)
                    pause_s = min(pause_s * 2, _LONGEST_POLL_S)
        except TimeoutError:
            raise Overloaded("read models are behind", int(_FRESH_WITHIN_S * 1000)) from None

    async def recorded(self, stream: str, after_version: int, limit: int) -> list[Recorded[Any]]:
        rows = await read_stream(self._database.sql, stream, after_version, limit)
        return decode_rows(self._codec(), rows)

    async def changed(self, stream: str, after_version: int, timeout_s: float) -> int:
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        pause_s = _FIRST_LOOK_S
        news = asyncio.Event()
        self._changes[stream].add(news)
        try:
            is_told = timeout_s > 0 and (self._lookout is None or await self._lookout.begin())
            told_after = self._told_after
            # What this process wrote or saw itself needs no look into the log: under load,
            # looking once per caller would be the service's most frequent query.
            version = self._written.get(stream, _UNKNOWN)[0]
            if version < after_version or not is_told:
                version = await self._version(stream)
            while version <= after_version:
                left_s = until - loop.time()
                if left_s <= 0:
                    break
                try:
                    async with asyncio.timeout(min(left_s, pause_s)):
                        await news.wait()
                except TimeoutError:
                    if self._lookout is not None and not (
                        self._lookout.is_looking and self._told_after == told_after
                    ):
                        # It failed; what was written until it began anew nobody tells.
                        await self._lookout.begin()
                        told_after = self._told_after
                        version = await self._version(stream)
                    pause_s = min(pause_s * 2, _LONGEST_LOOK_S)
                else:
                    news.clear()
                    version = max(version, self._written.get(stream, _UNKNOWN)[0])
            return version
        finally:
            self._changes[stream].discard(news)
            if not self._changes[stream]:
                del self._changes[stream]

    async def _version(self, stream: str) -> int:
        return int(
            await self._database.sql.fetchval(
                "SELECT originator_version FROM events WHERE originator_id = $1"
                " ORDER BY originator_version DESC LIMIT 1",
                stream,
            )
            or 0
        )

    async def projected(self, timeout_s: float) -> None:
        await self._projected(timeout_s, self._has_moved)

    async def _projected(self, timeout_s: float, has_moved: asyncio.Event) -> None:
        if self.projector is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_S if self._is_told() else min(timeout_s, _POLL_S)):
                    await has_moved.wait()
            return
        try:
            async with asyncio.timeout(timeout_s), self.projector.moved:
                await self.projector.moved.wait()
        except TimeoutError:
            return

    def forget(self) -> None:
        """Drop what memory knows of streams; the log says what is true."""
        self._written.clear()
        self._told_shown = 0

    def committed(self, events: Sequence[NewEvent], last_position: int) -> None:
        """Wake those who wait for one of these streams to change."""
        for position, event in enumerate(events, last_position - len(events) + 1):
            self._written_to(event.stream, event.version, position)

    def seen(self, batch: Sequence[Recorded[Any]]) -> None:
        """Do the same with events that were read: nobody may have been told of their commit."""
        if self._lookout is not None:
            return  # It reads for those who wait, and here mostly nobody does.
        for event in batch:
            self._written_to(event.stream, event.version, event.position)

    def written(self) -> None:
        """Say that another process wrote to the log."""
        if self._lookout is not None:
            self._lookout.wake()

    def moved(self, position: int) -> None:
        """Say up to which position of the log another process moved the read models."""
        self._told_shown = position
        self.written()
        # A question that is on its way may be answered with what was true before.
        self._asking = None
        self._has_moved.set()
        self._has_moved = asyncio.Event()

    async def stop(self) -> None:
        """Look out no more."""
        if self._lookout is not None:
            await self._lookout.stop()

    def _begin_to_be_told(self, after_position: int) -> None:
        self._told_after = after_position
        self._written.clear()

    def _written_to(self, stream: str, version: int, position: int) -> None:
        if position <= self._told_after:
            return
        if len(self._written) > _MOST_WRITTEN:
            self._written.clear()
        if version > self._written.get(stream, _UNKNOWN)[0]:
            self._written[stream] = (version, position)
        for news in self._changes.get(stream, ()):
            news.set()

    async def _position(self) -> int:
        if self.projector is not None and self.projector.position:
            return self.projector.position
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._stored_position())
        # One question for all who wait: what it answers may be a moment old, and is asked again.
        return await asyncio.shield(self._asking)

    async def _stored_position(self) -> int:
        return int(
            await self._database.sql.fetchval(
                "SELECT coalesce(min(position), 0) FROM checkpoints WHERE name = ANY($1)",
                self.models,
            )
        )
