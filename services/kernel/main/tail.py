"""Showing events as they come: decoded, one line each."""

import json
import shutil
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.kernel.adapters.feed_columns import plain
from services.kernel.adapters.feed_contracts import PublicEvent
from services.kernel.application.feeds import Envelope
from services.kernel.application.reading import FeedReader
from services.kernel.main.reading import Unreadable, events, merged

_MOST_NESTED = 3
_MOST_SORTED = 10_000
_LONGEST_NAME = 22


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events are shown.

    Attributes:
        order_id: Only those of this order; empty: of any.
        tenant: Only those of this tenant; empty: of any.
        names: Only events so called; empty: any.
    """

    order_id: str = ""
    tenant: str = ""
    names: Sequence[str] = ()

    def envelope(self, envelope: Envelope) -> bool:
        """Tell whether an event may be wanted; cheap, before it is decoded."""
        return (
            (not self.tenant or envelope.tenant == self.tenant)
            and (not self.names or envelope.type.rpartition(".")[2] in self.names)
            # Text lies in the value as it is.
            and (not self.order_id or self.order_id.encode() in envelope.value)
        )

    def event(self, event: PublicEvent) -> bool:
        if not self.order_id:
            return True
        return getattr(event.message, "order_id", "") == self.order_id


async def tail(
    readers: Sequence[FeedReader],
    wanted: Wanted,
    unreadable: Unreadable,
    *,
    limit: int,
    from_now: bool,
    follow: bool,
) -> AsyncGenerator[PublicEvent]:
    """Yield the events of some feeds, oldest first, then live.

    Args:
        readers: The feeds.
        wanted: Which events.
        unreadable: Told of what is no event.
        limit: End after so many; 0: never.
        from_now: Begin with what comes from now on, instead of with the readers' period.
        follow: Go on when everything there is was shown.
    """
    feeds = [
        events(
            reader,
            unreadable,
            wanted.envelope,
            begins=await reader.end() if from_now else None,
            follow=follow,
        )
        for reader in readers
    ]
    shown = 0
    async with aclosing(merged(feeds)) as merging:
        wanting = (event async for event in merging if wanted.event(event))
        async for event in wanting if follow or not wanted.order_id else _by_time(wanting):
            yield event
            shown += 1
            if shown == limit:
                return


async def _by_time(found: AsyncIterator[PublicEvent]) -> AsyncIterator[PublicEvent]:
    """Yield one order's events in the order of their times.

    A feed hands over one partition after another, so what lies in several is not in that order. One
    order's events are few; should they not be, those beyond are merged as they come.
    """
    first: list[PublicEvent] = []
    async for event in found:
        first.append(event)
        if len(first) == _MOST_SORTED:
            break
    first.sort(key=lambda event: event.envelope.recorded_at)
    for event in first:
        yield event
    async for event in found:
        yield event


def as_json(event: PublicEvent) -> str:
    """Return an event as one line of JSON."""
    envelope = event.envelope
    fields = {
        "feed": envelope.topic,
        "event": event.name,
        "event_id": envelope.event_id,
        "tenant": envelope.tenant,
        "stream": envelope.key,
        "stream_version": envelope.stream_version,
        "position": envelope.position,
        "recorded_at": envelope.recorded_at,
        "causation_id": envelope.causation_id,
        "correlation_id": envelope.correlation_id,
        "traceparent": envelope.traceparent,
        "payload": None if event.message is None else plain(event.message),
    }
    return json.dumps(fields, default=_iso, ensure_ascii=False)


def line_width() -> int | None:
    """Return how long a line may be: as wide as the terminal, or any, where there is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def as_text(event: PublicEvent, width: int | None) -> str:
    """Return an event as one line for people."""
    envelope = event.envelope
    at = f"{envelope.recorded_at:%Y-%m-%d %H:%M:%S.%f}"[:-3]
    fields = "(newer than this program)"
    if event.message is not None:
        fields = " ".join(_pairs(plain(event.message), 0))
    line = f"{at}  {event.name:<{_LONGEST_NAME}} {envelope.key}  {fields}"
    return line if width is None or len(line) <= width else line[: width - 1] + "…"


def _pairs(fields: dict[str, Any], depth: int) -> list[str]:
    return [f"{name}={_short(value, depth)}" for name, value in fields.items() if _says(value)]


def _says(value: Any) -> bool:
    return value not in (None, "", 0, False, [])


def _short(value: Any, depth: int) -> str:
    match value:
        case dict():
            return "{" + " ".join(_pairs(value, depth + 1)) + "}" if depth < _MOST_NESTED else "{…}"
        case list():
            return "[" + ", ".join(_short(one, depth + 1) for one in value) + "]"
        case datetime():
            return value.isoformat()
        case str() if " " in value:
            return json.dumps(value, ensure_ascii=False)
        case _:
            return str(value)


_iso: Callable[[Any], str] = datetime.isoformat
