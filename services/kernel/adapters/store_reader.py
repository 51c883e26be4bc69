"""A feed read from its service's event store: what the relay would publish, and nothing is told."""

from collections.abc import Callable
from typing import Any

import asyncpg
from google.protobuf.message import Message

from services.kernel.adapters.event_codec import EventCodec
from services.kernel.adapters.event_log import LOG_COLUMNS, decode_rows
from services.kernel.adapters.parking import reason_of
from services.kernel.adapters.relay import public_form
from services.kernel.application.feeds import Envelope
from services.kernel.application.reading import Page, Period, Place
from services.kernel.domain.messages import Recorded

PAGE_EVENTS = 5_000
_PART = "log"
_STATEMENT_S = 60.0
_WANTED = (
    f"SELECT {LOG_COLUMNS} FROM events WHERE notification_id > $1 AND notification_id <= $2"
    " AND ($3::timestamptz IS NULL OR recorded_at >= $3)"
    " AND ($4::timestamptz IS NULL OR recorded_at < $4) ORDER BY notification_id"
)


async def read_only(dsn: str) -> asyncpg.Connection:
    """Connect so that the database itself refuses every change."""
    return await asyncpg.connect(
        dsn,
        timeout=10,
        command_timeout=_STATEMENT_S,
        server_settings={"default_transaction_read_only": "on", "application_name": "oms reader"},
    )


class StoreReader:
    """Reads one service's log in commit order, which misses nothing.

    Args:
        connection: Made by ``read_only``.
        topic: The service's feed.
        codec: The service's stored names.
        publish: The service's publications.
        period: Which events are wanted.
    """

    def __init__(
        self,
        connection: asyncpg.Connection,
        topic: str,
        codec: EventCodec,
        publish: Callable[[Recorded[Any]], Message | None],
        period: Period,
    ) -> None:
        self._connection = connection
        self.topic = topic
        self._codec = codec
        self._publish = publish
        self._period = period

    async def beginning(self) -> Place:
        return {_PART: (0, 0)}

    async def end(self) -> Place:
        head = await self._connection.fetchval(
            "SELECT coalesce(max(notification_id), 0) FROM events"
        )
        return {_PART: (head, head)}

    async def read(self, place: Place, end: Place | None) -> Page:
        batch, after = await self.recorded(place, end)
        envelopes: list[Envelope] = []
        unsayable: list[str] = []
        for recorded in batch:
            try:
                envelope = public_form(self.topic, self._publish, recorded)
            except Exception as error:
                unsayable.append(
                    f"position {recorded.position} cannot be published: {reason_of(error)}"
                )
            else:
                if envelope is not None:
                    envelopes.append(envelope)
        return Page(envelopes, after, unsayable)

    async def mark(self, place: Place) -> str:
        # A server that lost its last moment gives the same positions to other events.
        return str(
            await self._connection.fetchval(
                "SELECT event_id::text FROM events WHERE notification_id = $1", place[_PART][0]
            )
        )

    async def recorded(self, place: Place, end: Place | None) -> tuple[list[Recorded[Any]], Place]:
        """Return the private events that follow, as the service itself would load them."""
        (until, _) = (end or await self.end())[_PART]
        after = place[_PART][0]
        # Positions have no gaps, so a range of them bounds the page.
        last = min(after + PAGE_EVENTS, until)
        if last <= after:
            return [], place
        rows = await self._connection.fetch(
            _WANTED, after, last, self._period.since, self._period.until
        )
        return decode_rows(self._codec, rows), {_PART: (last, last)}
