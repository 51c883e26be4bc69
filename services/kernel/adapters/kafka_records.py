"""Envelopes as Kafka records: CloudEvents in binary mode, the attributes in headers.

A record that is not one of ours is never an error of the loop that reads it: ``envelope_of`` says
what is wrong with it, and ``stand_in`` makes the envelope under which it is parked.
"""

import calendar
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from services.kernel.application.feeds import Envelope
from services.kernel.domain.ids import derive

SPEC_VERSION = "1.0"
CONTENT_TYPE = "application/protobuf"
# Kafka's own default is 1 MB per batch of records; an event is far below it.
MOST_VALUE_BYTES = 4 << 20
_MOST_KEY = 512
_MOST_TEXT = 512
_MOST_VERSION = 2**31 - 1
_MOST_POSITION = 2**62
# Before every real position, so that a stream waits behind its unreadable record, and growing
# with the offset, so that two of them keep their order.
_UNREADABLE = -(2**62)


class Unreadable(Exception):
    """What is wrong with a record."""


class Record(Protocol):
    """What is needed of ``aiokafka.ConsumerRecord``."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


def source_of(topic: str) -> str:
    """Return the CloudEvents source of a feed.

    >>> source_of("oms.order.v1.events")
    '/oms/order'
    """
    return "/" + "/".join(topic.split(".")[:2])


def key_of(envelope: Envelope) -> bytes:
    return envelope.key.encode()


def timestamp_ms(envelope: Envelope) -> int:
    """Return when the event was recorded: topics are searched by it."""
    at = envelope.recorded_at
    return calendar.timegm(at.utctimetuple()) * 1_000 + at.microsecond // 1_000


def headers_of(envelope: Envelope) -> list[tuple[str, bytes]]:
    """Return the attributes of an envelope as headers.

    Extension attributes have the spelling that CloudEvents asks for (lower case, no separators);
    ``traceparent`` stands alone, where tracing tools look for it.
    """
    headers = [
        ("content-type", CONTENT_TYPE),
        ("ce_specversion", SPEC_VERSION),
        ("ce_id", envelope.event_id),
        ("ce_source", source_of(envelope.topic)),
        ("ce_type", envelope.type),
        ("ce_subject", envelope.key),
        ("ce_time", envelope.recorded_at.isoformat()),
        ("ce_tenant", envelope.tenant),
        ("ce_streamversion", str(envelope.stream_version)),
        ("ce_position", str(envelope.position)),
        ("ce_causationid", envelope.causation_id),
        ("ce_correlationid", envelope.correlation_id),
        ("traceparent", envelope.traceparent),
    ]
    return [(name, value.encode()) for name, value in headers if value]


def envelope_of(topic: str, record: Record) -> Envelope:
    """Return the envelope that a record carries.

    Args:
        topic: The feed, without an installation's prefix.
        record: As received.

    Raises:
        Unreadable: With the first thing that is wrong.
    """
    headers = _named(record.headers)
    if _text(headers, "ce_specversion") != SPEC_VERSION:
        raise Unreadable(f"header ce_specversion is not {SPEC_VERSION}")
    if _text(headers, "ce_source") != source_of(topic):
        # Its positions would be those of another log.
        raise Unreadable(f"header ce_source is not {source_of(topic)}")
    key = _key(record)
    if _text(headers, "ce_subject", most=_MOST_KEY) != key:
        raise Unreadable("header ce_subject is not the record's key")
    if record.value is None:
        raise Unreadable("no value")
    if len(record.value) > MOST_VALUE_BYTES:
        raise Unreadable(f"value of {len(record.value)} bytes, at most {MOST_VALUE_BYTES}")
    return Envelope(
        topic=topic,
        key=key,
        value=record.value,
        event_id=_event_id(headers),
        type=_text(headers, "ce_type"),
        tenant=_text(headers, "ce_tenant"),
        stream_version=_number(headers, "ce_streamversion", _MOST_VERSION),
        position=_number(headers, "ce_position", _MOST_POSITION),
        recorded_at=_time(headers),
        causation_id=_text(headers, "ce_causationid", required=False),
        correlation_id=_text(headers, "ce_correlationid", required=False),
        traceparent=_text(headers, "traceparent", required=False),
    )


def stand_in(topic: str, record: Record) -> Envelope:
    """Return the envelope under which an unreadable record is parked.

    It stands in the record's stream if the key can be read, so that the stream waits behind it;
    else in a stream of its own. The same record always gets the same one.
    """
    try:
        key = _key(record)
    except Unreadable:
        key = f"unreadable/{topic}-{record.partition}"
    at_ms = min(max(record.timestamp, 0), 4_102_444_800_000)  # not beyond the year 2100
    return Envelope(
        topic=topic,
        key=key,
        value=record.value or b"",
        event_id=derive("unreadable", topic, record.partition, record.offset),
        type="unreadable",
        tenant="",
        stream_version=0,
        position=_UNREADABLE + record.offset,
        recorded_at=datetime.fromtimestamp(at_ms / 1_000, UTC),
        causation_id="",
        correlation_id="",
        traceparent="",
    )


def _named(headers: Any) -> dict[str, bytes]:
    named: dict[str, bytes] = {}
    for name, value in headers:
        if name in named:
            raise Unreadable(f"header {name[:_MOST_TEXT]!r} stands twice")
        named[name] = value if value is not None else b""
    return named


def _text(
    headers: dict[str, bytes], name: str, *, required: bool = True, most: int = _MOST_TEXT
) -> str:
    value = headers.get(name, b"")
    if not value:
        if required:
            raise Unreadable(f"header {name} is missing")
        return ""
    return _decoded(value, f"header {name}", most)


def _decoded(value: bytes, what: str, most: int) -> str:
    if len(value) > most:
        raise Unreadable(f"{what} is longer than {most} bytes")
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise Unreadable(f"{what} is not UTF-8") from None
    if not text.isprintable():
        raise Unreadable(f"{what} holds characters that cannot be printed")
    return text


def _key(record: Record) -> str:
    if not record.key:
        raise Unreadable("no key")
    return _decoded(record.key, "key", _MOST_KEY)


def _number(headers: dict[str, bytes], name: str, most: int) -> int:
    text = _text(headers, name)
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most))):
        raise Unreadable(f"header {name} is not a whole number")
    number = int(text)
    if not 1 <= number <= most:
        raise Unreadable(f"header {name} is not within 1 and {most}")
    return number


def _event_id(headers: dict[str, bytes]) -> str:
    try:
        return str(uuid.UUID(_text(headers, "ce_id")))
    except ValueError:
        raise Unreadable("header ce_id is not a UUID") from None


def _time(headers: dict[str, bytes]) -> datetime:
    try:
        at = datetime.fromisoformat(_text(headers, "ce_time"))
    except ValueError:
        raise Unreadable("header ce_time is not a time") from None
    if at.tzinfo is None:
        raise Unreadable("header ce_time has no zone")
    return at.astimezone(UTC)
