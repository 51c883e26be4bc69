"""Public events as they travel, and who listens to them. No bus is known here."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.kernel.application.work import Work

# Kafka's own default is 1 MB per batch of records; an event is far below it.
MOST_VALUE_BYTES = 4 << 20


class Unheard(Exception):
    """Why a message cannot be heard as what it says it is; it is parked with this reason."""


@dataclass(slots=True)
class Envelope:
    """One public event with its CloudEvents attributes.

    Never changed once made; not frozen, because one is made per event and a frozen one costs ten
    times as much to make.

    Attributes:
        topic: ``oms.order.v1.events``.
        key: Stream id; order is kept per key.
        value: The wrapper message of the feed, protobuf.
        event_id: Unique for ever; the same on every redelivery.
        type: ``oms.order.v1.OrderPlaced``.
        tenant: The retailer it belongs to.
        stream_version: Version of the stream at this event.
        position: Place in the source's log; grows within one partition.
        recorded_at: When the source's database took it, aware, UTC.
        causation_id: Id of the event or command that led to it.
        correlation_id: Id shared by all that follows from one request.
        traceparent: W3C trace context stored with the event, or empty.
    """

    topic: str
    key: str
    value: bytes
    event_id: str
    type: str
    tenant: str
    stream_version: int
    position: int
    recorded_at: datetime
    causation_id: str
    correlation_id: str
    traceparent: str


type Hear = Callable[[Any, Envelope, Work], Awaitable[None]]
type Prepare = Callable[[Sequence[tuple[Any, Envelope]], Work], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Subscription:
    """What one group does with one feed. Made by ``listen`` only.

    Attributes:
        topic: The feed.
        group: Who listens, for example ``sourcing``; holds the watermark.
        read: An envelope to the feed's wrapper message; raises on one that is not what it says.
        passes_over: Types of events that it does not care for; they are not even decoded.
        hear: Called once per message, in the order of its stream, inside the batch's unit of
            work. Whatever it raises parks the message after the tries are used up.
        is_urgent: Whether somebody waits for what follows from a message.
        takes_turns: Whether its batches wait for those of the service's other groups.
        prepare: Called once per batch before ``hear``, to read what the batch needs in bulk.
    """

    topic: str
    group: str
    read: Callable[[Envelope], Any]
    passes_over: frozenset[str]
    hear: Hear
    prepare: Prepare | None
    is_urgent: bool
    takes_turns: bool
