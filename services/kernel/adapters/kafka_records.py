"""Envelopes as Kafka records: CloudEvents in binary mode, the attributes in headers.

A record that is not one of ours is never an error of the loop that reads it: ``envelope_of`` says
what is wrong with it, and ``stand_in`` makes the envelope under which it is parked.
"""

import calendar
import re
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

from services.kernel.application.feeds import MOST_VALUE_BYTES, Envelope
from services.kernel.domain.ids import derive

SPEC_VERSION = "1.0"
CONTENT_TYPE = "application/protobuf"
_MOST_TEXT = 512
_MOST_DIGITS = 19
_MOST_VERSION = 2**31 - 1
_MOST_POSITION = 2**62
# No log grows by so much between two events of one partition; what claims it would make its group
# pass over every true event that follows.
_LONGEST_STEP = 1_000_000_000
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# The only header of a record that has one whose name cannot be read.
NOT_UTF8 = "the name of a header that is not UTF-8"
_OURS = frozenset(
    {
        *("ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_time"),
        *("ce_tenant", "ce_streamversion", "ce_position", "ce_causationid", "ce_correlationid"),
        *("traceparent", NOT_UTF8),
    }
)
# Before every real position, so that a stream waits behind its unreadable record, and growing
# with the offset, so that two of them keep their order.
_UNREADABLE = -(2**62)
_MIX, _WORD = 0x5BD1E995, 0xFFFFFFFF


class Unreadable(Exception):
    """What is wrong with a record."""


class Record(Protocol):
    """What is needed of ``aiokafka.ConsumerRecord``."""

    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


def parked_headers(
    envelope: Envelope, group: str, reason: str, attempts: int
) -> list[tuple[str, bytes]]:
    """Return the headers of a parked message: its own, and by whom and why it was parked."""
    own = headers_of(envelope)
    more = {
        "oms_group": group,
        "oms_topic": envelope.topic,
        "oms_reason": reason,
        "oms_attempts": str(attempts),
    }
    return [*own, *((name, text.encode()) for name, text in more.items())]


@lru_cache(1_000)
def source_of(topic: str) -> str:
    """Return the CloudEvents source of a feed.

    >>> source_of("oms.order.v1.events")
    '/oms/order'
    """
    return "/" + "/".join(topic.split(".")[:2])


@lru_cache(65_536)
def partition_of(key: str, partitions: int) -> int:
    """Return the partition of a key: Kafka's own choice (murmur2), the same in every client.

    >>> partition_of("demo/order-O1", 6)
    0
    """
    data = key.encode()
    words = len(data) >> 2
    mixed = 0x9747B28C ^ len(data)
    for word in struct.unpack_from(f"<{words}I", data):
        part = word * _MIX & _WORD
        mixed = (mixed * _MIX ^ (part ^ part >> 24) * _MIX) & _WORD
    if rest := data[words << 2 :]:
        mixed = (mixed ^ int.from_bytes(rest, "little")) * _MIX & _WORD
    mixed = (mixed ^ mixed >> 13) * _MIX & _WORD
    return ((mixed ^ mixed >> 15) & 0x7FFFFFFF) % partitions


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
    texts = _texts(record.headers)
    if _text(texts, "ce_specversion") != SPEC_VERSION:
        raise Unreadable(f"header ce_specversion is not {SPEC_VERSION}")
    if _text(texts, "ce_source") != source_of(topic):
        # Its positions would be those of another log.
        raise Unreadable(f"header ce_source is not {source_of(topic)}")
    key = _key(record)
    if _text(texts, "ce_subject") != key:
        raise Unreadable("header ce_subject is not the record's key")
    value = record.value
    if value is None:
        raise Unreadable("no value")
    if len(value) > MOST_VALUE_BYTES:
        raise Unreadable(f"value of {len(value)} bytes, at most {MOST_VALUE_BYTES}")
    event_id = _text(texts, "ce_id")
    if _UUID.fullmatch(event_id) is None:
        raise Unreadable("header ce_id is not a UUID in lower case")
    return Envelope(
        topic=topic,
        key=key,
        value=value,
        event_id=event_id,
        type=_text(texts, "ce_type"),
        tenant=_text(texts, "ce_tenant"),
        stream_version=_number(texts, "ce_streamversion", _MOST_VERSION),
        position=_number(texts, "ce_position", _MOST_POSITION),
        recorded_at=_time(texts),
        causation_id=texts.get("ce_causationid", ""),
        correlation_id=texts.get("ce_correlationid", ""),
        traceparent=texts.get("traceparent", ""),
    )


def check_step(position: int, mark: int) -> None:
    """Check that a position may follow the one up to which a partition was had (0: none was).

    Raises:
        Unreadable: It is too far away to be true.
    """
    if mark and position - mark > _LONGEST_STEP:
        raise Unreadable(f"header ce_position {position} is too far beyond {mark} to be true")


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


def _texts(headers: Sequence[tuple[str, bytes | None]]) -> dict[str, str]:
    """Return our headers as text; those that other tools added are none of our business."""
    texts: dict[str, str] = {}
    for name, value in headers:
        if name in _OURS:
            if name == NOT_UTF8:
                raise Unreadable("the name of a header is not UTF-8")
            if name in texts:
                raise Unreadable(f"header {name} stands twice")
            try:
                texts[name] = value.decode() if value else ""
            except UnicodeDecodeError:
                raise Unreadable(f"header {name} is not UTF-8") from None
    together = "".join(texts.values())  # looked at once, for speed
    if len(together) > _MOST_TEXT or not together.isprintable():
        for name, text in texts.items():
            _check(text, f"header {name}")
    return texts


def _check(text: str, what: str) -> None:
    if len(text) > _MOST_TEXT:
        raise Unreadable(f"{what} is longer than {_MOST_TEXT} characters")
    if not text.isprintable():
        raise Unreadable(f"{what} holds characters that cannot be printed")


def _text(texts: dict[str, str], name: str) -> str:
    text = texts.get(name)
    if not text:
        raise Unreadable(f"header {name} is missing")
    return text


def _key(record: Record) -> str:
    if not record.key:
        raise Unreadable("no key")
    try:
        key = record.key.decode()
    except UnicodeDecodeError:
        raise Unreadable("key is not UTF-8") from None
    _check(key, "key")
    return key


def _number(texts: dict[str, str], name: str, most: int) -> int:
    text = _text(texts, name)
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise Unreadable(f"header {name} is not a whole number")
    number = int(text)
    if not 1 <= number <= most:
        raise Unreadable(f"header {name} is not within 1 and {most}")
    return number


def _time(texts: dict[str, str]) -> datetime:
    try:
        at = datetime.fromisoformat(_text(texts, "ce_time"))
    except ValueError:
        raise Unreadable("header ce_time is not a time") from None
    if at.tzinfo is None:
        raise Unreadable("header ce_time has no zone")
    try:
        return at if at.tzinfo is UTC else at.astimezone(UTC)
    except OverflowError:  # within a day of the calendar's ends
        raise Unreadable("header ce_time is not a time") from None
