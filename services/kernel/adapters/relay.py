"""The relay: private events become public ones and go to the bus, in commit order.

Listeners pass over what lies before their watermark, so a feed cannot say an event later than the
log has it. One whose public form cannot be made therefore holds its feed: what lies before it goes
out, it is listed among the parked messages with its reason, and it is tried again until a version
comes that can say it, or until a person gives it up.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.message import Message

from services.kernel.adapters.database import Database
from services.kernel.adapters.parking import encode_envelope, reason_of
from services.kernel.adapters.telemetry import METRICS
from services.kernel.application.bus import Bus
from services.kernel.application.feeds import MOST_VALUE_BYTES, Envelope
from services.kernel.application.pace import Pace
from services.kernel.domain.messages import Recorded

_CHECKPOINT = "relay"
_NOTE_EVERY_S = 1.0
# What a topic takes, less the headers. Long before, whoever hears it parks it with its stream.
_MOST_BYTES = 2 * MOST_VALUE_BYTES - (64 << 10)
# Under this name, where groups stand, what a relay could not publish is parked.
RELAY = "relay"


class NotPublishable(RuntimeError):
    """An event whose public form cannot be made; its feed waits for it."""


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
        # Where publishing stands, because of an event that is parked; None where nothing is.
        self._held_at: int | None = None
        self.position = 0
        self.pace = Pace(0.0)

    async def start_position(self) -> int:
        published_to = await self._database.sql.fetchval(
            "SELECT position FROM checkpoints WHERE name = $1", _CHECKPOINT
        )
        self.position = await self._bus.start_position(self._topic, published_to or 0)
        held_at = await self._database.sql.fetchval(
            "SELECT min(position) FROM parked WHERE group_name = $1 AND topic = $2",
            *(RELAY, self._topic),
        )
        self._hold_at(held_at)
        return self.position

    def note_lag(self, events: int) -> None:
        METRICS.relay_lag_events.labels(self._topic).set(events)

    async def follow(self, batch: Sequence[Recorded[Any]]) -> None:
        if self._has_failed_in(batch):
            batch = [one for one in batch if one.position > self.position]
        envelopes: list[Envelope] = []
        if self._bus.is_heard(self._topic):
            for recorded in batch:
                try:
                    envelope = self.envelope(recorded)
                except Exception as error:
                    if await self._is_given_up(recorded):
                        continue
                    await self._publish_all(envelopes)
                    await self._hold(recorded, error)
                    raise NotPublishable(f"{self._topic} at {recorded.position}") from error
                if envelope is not None:
                    envelopes.append(envelope)
        await self._publish_all(envelopes)
        self.position = batch[-1].position
        if self._held_at is not None and self.position >= self._held_at:
            await self._let_go()
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

    def _has_failed_in(self, batch: Sequence[Recorded[Any]]) -> bool:
        """Tell whether this batch comes again because publishing stands within it."""
        return self._held_at is not None and batch[0].position <= self.position < self._held_at

    async def _publish_all(self, envelopes: Sequence[Envelope]) -> None:
        if envelopes:
            await self._bus.publish(self._topic, envelopes)
            METRICS.relayed.labels(self._topic).inc(len(envelopes))

    async def _is_given_up(self, recorded: Recorded[Any]) -> bool:
        return bool(
            await self._database.sql.fetchval(
                "SELECT 1 FROM unpublished WHERE topic = $1 AND position = $2 AND event_id = $3",
                *(self._topic, recorded.position, recorded.event_id),
            )
        )

    async def _hold(self, recorded: Recorded[Any], error: Exception) -> None:
        """Park the event, for a person to see; what lies before it is published."""
        self.position = recorded.position - 1
        if self._held_at is not None and self.position >= self._held_at:
            await self._let_go()
        service = self._topic.split(".")[1]
        envelope = Envelope(
            topic=self._topic,
            key=recorded.stream,
            value=b"",
            event_id=recorded.event_id,
            type=type(recorded.event).__name__,
            tenant=recorded.tenant,
            stream_version=recorded.version,
            position=recorded.position,
            recorded_at=recorded.recorded_at,
            causation_id="",
            correlation_id=recorded.cause.correlation_id,
            traceparent="",
        )
        reason = (
            f"the whole feed waits here until services/{service}/adapters/publications.py can say"
            f" this event, or it is dropped and never said: {reason_of(error)}"
        )
        await self._database.sql.execute(
            "INSERT INTO parked (group_name, topic, stream, position, event_id, tenant, type,"
            " envelope, reason, attempts) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1)"
            " ON CONFLICT (group_name, topic, stream, position) DO UPDATE SET"
            " attempts = parked.attempts + 1, reason = excluded.reason, redrive = false",
            *(RELAY, self._topic, recorded.stream, recorded.position, recorded.event_id),
            *(recorded.tenant, envelope.type, encode_envelope(envelope), reason),
        )
        self._hold_at(recorded.position)

    async def _let_go(self) -> None:
        """Take off the list what was published, or passed over, since."""
        await self._database.sql.execute(
            "DELETE FROM parked WHERE group_name = $1 AND topic = $2 AND position <= $3",
            *(RELAY, self._topic, self.position),
        )
        self._hold_at(None)

    def _hold_at(self, position: int | None) -> None:
        self._held_at = position
        METRICS.parked.labels(RELAY, self._topic).set(position is not None)

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
    value = message.SerializeToString()
    if len(value) > _MOST_BYTES:
        raise ValueError(f"{len(value)} bytes, and a feed takes at most {_MOST_BYTES}")
    cause = recorded.cause
    return Envelope(
        topic=topic,
        key=recorded.stream,
        value=value,
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
