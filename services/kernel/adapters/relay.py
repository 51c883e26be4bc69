"""The relay: private events become public ones and go to the bus, in commit order."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.message import Message

from services.kernel.adapters.database import Database
from services.kernel.adapters.telemetry import METRICS
from services.kernel.application.bus import Bus
from services.kernel.application.feeds import Envelope
from services.kernel.application.pace import Pace
from services.kernel.domain.messages import Recorded

_CHECKPOINT = "relay"
_NOTE_EVERY_S = 1.0


class Relay:
    """Follows the log of one service and publishes its feed.

    Args:
        database: The service's.
        topic: ``oms.order.v1.events``.
        publish: The service's publications.
        bus: Where to.
    """

    name = "relay"

    def __init__(
        self,
        database: Database,
        topic: str,
        publish: Callable[[Recorded[Any]], Message | None],
        bus: Bus,
    ) -> None:
        self._database = database
        self._topic = topic
        self._publish = publish
        self._bus = bus
        self._next_note_s = 0.0
        self.position = 0
        self.pace = Pace(0.0)

    async def start_position(self) -> int:
        published_to = await self._database.sql.fetchval(
            "SELECT position FROM checkpoints WHERE name = $1", _CHECKPOINT
        )
        self.position = await self._bus.start_position(self._topic, published_to or 0)
        return self.position

    def note_lag(self, events: int) -> None:
        METRICS.relay_lag_events.labels(self._topic).set(events)

    async def follow(self, batch: Sequence[Recorded[Any]]) -> None:
        envelopes: list[Envelope] = []
        if self._bus.is_heard(self._topic):
            envelopes = [e for e in map(self.envelope, batch) if e is not None]
        if envelopes:
            await self._bus.publish(self._topic, envelopes)
            METRICS.relayed.labels(self._topic).inc(len(envelopes))
        self.position = batch[-1].position
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._next_note_s:
            self._next_note_s = now_s + _NOTE_EVERY_S
            await self.note_position()

    async def note_position(self) -> None:
        """Remember how far publishing has come.

        Only now and then: what is published again after a crash is passed over by its watermark.
        """
        await self._database.sql.execute(
            "INSERT INTO checkpoints (name, position) VALUES ($1, $2) ON CONFLICT (name)"
            " DO UPDATE SET position = greatest(checkpoints.position, excluded.position)",
            *(_CHECKPOINT, self.position),
        )

    def envelope(self, recorded: Recorded[Any]) -> Envelope | None:
        """Return the public form of one event, or nothing when it is private."""
        return public_form(self._topic, self._publish, recorded)


def public_form(
    topic: str, publish: Callable[[Recorded[Any]], Message | None], recorded: Recorded[Any]
) -> Envelope | None:
    """Return an event as it travels on its feed, or nothing when it is private."""
    message = publish(recorded)
    if message is None:
        return None
    case = message.WhichOneof("event")
    if case is None:
        raise ValueError(f"{topic}: a publication without an event")
    cause = recorded.cause
    return Envelope(
        topic=topic,
        key=recorded.stream,
        value=message.SerializeToString(),
        event_id=recorded.event_id,
        type=getattr(message, case).DESCRIPTOR.full_name,
        tenant=cause.tenant,
        stream_version=recorded.version,
        position=recorded.position,
        recorded_at=recorded.recorded_at,
        causation_id=cause.causation_id or cause.command_id,
        correlation_id=cause.correlation_id,
        traceparent=cause.traceparent,
    )
