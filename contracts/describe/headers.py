"""The headers of a record: found by making one, and by taking each header away in turn."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from services.kernel.adapters import kafka_records
from services.kernel.application.feeds import Envelope
from services.kernel.domain.ids import derive

_EXAMPLE = Envelope(
    topic="oms.order.v1.events",
    key="demo/order-O-17",
    value=b"\x0a\x00",
    event_id=derive("an example"),
    type="oms.order.v1.OrderPlaced",
    tenant="demo",
    stream_version=1,
    position=4711,
    recorded_at=datetime(2026, 1, 2, 10, 30, 0, 123456, tzinfo=UTC),
    causation_id="place-O-17",
    correlation_id="f1c0",
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)
# What each is for; one that is not described here stops the generator.
_MEANING = {
    "content-type": "What the value is.",
    "ce_specversion": "Version of CloudEvents.",
    "ce_id": "Id of the event, a UUID: unique for ever, the same on every redelivery.",
    "ce_source": "Who says so: the service.",
    "ce_type": "Full name of the event's message.",
    "ce_subject": "The stream; equal to the record's key.",
    "ce_time": "When the event was recorded, RFC 3339, UTC.",
    "ce_tenant": "The retailer whose event it is; the first part of the key.",
    "ce_streamversion": "Place of the event in its stream, from 1. Private events take places too.",
    "ce_position": "Place of the event in its service's log. Grows within a partition; a record"
    " that is not above the last one is a repetition.",
    "ce_causationid": "Id of the event or command that led to it.",
    "ce_correlationid": "Shared by all that follows from one request.",
    "traceparent": "W3C trace context of the request.",
}


@dataclass(frozen=True, slots=True)
class Header:
    """One header.

    Attributes:
        name: As it travels.
        meaning: What it is for.
        example: A value.
        is_required: Whether a record without it is parked as unreadable.
    """

    name: str
    meaning: str
    example: str
    is_required: bool


@dataclass(frozen=True, slots=True)
class _Record:
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]]
    partition: int = 0
    offset: int = 0
    timestamp: int = 0


def headers() -> list[Header]:
    """Return every header that our records carry, in their order."""
    every = kafka_records.headers_of(_EXAMPLE)
    return [
        Header(name, _MEANING[name], value.decode(), not _is_readable_without(name, every))
        for name, value in every
    ]


def _is_readable_without(name: str, every: Sequence[tuple[str, bytes]]) -> bool:
    rest = [(other, value) for other, value in every if other != name]
    record = _Record(kafka_records.key_of(_EXAMPLE), _EXAMPLE.value, rest)
    try:
        kafka_records.envelope_of(_EXAMPLE.topic, record)
    except kafka_records.Unreadable:
        return False
    return True
