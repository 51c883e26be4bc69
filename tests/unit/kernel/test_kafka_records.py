"""Envelopes as Kafka records, there and back, and whatever else may lie on a topic."""

import contextlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest
from aiokafka.partitioner import murmur2
from hypothesis import given as for_any
from hypothesis import strategies as st

from services.kernel.adapters import kafka_records as records
from services.kernel.application.feeds import Envelope

FEED = "oms.order.v1.events"


@dataclass
class Record:
    """A record as aiokafka hands it over."""

    key: bytes | None = b"demo/order-O1"
    value: bytes | None = b"\x01"
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)
    partition: int = 2
    offset: int = 41
    timestamp: int = 1_767_323_045_000


ENVELOPE = Envelope(
    topic=FEED,
    key="demo/order-O1",
    value=b"\x01",
    event_id="049d9adc-be75-8adb-baaf-16ea8a3f9f0f",
    type="oms.order.v1.OrderPlaced",
    tenant="demo",
    stream_version=3,
    position=17,
    recorded_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    causation_id="c-1",
    correlation_id="r-1",
    traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
)


def spoken(envelope: Envelope = ENVELOPE, **headers: bytes | None) -> Record:
    named: dict[str, bytes | None] = {**dict(records.headers_of(envelope)), **headers}
    return Record(key=records.key_of(envelope), value=envelope.value, headers=list(named.items()))


def test_an_envelope_comes_back_as_it_went() -> None:
    assert records.envelope_of(FEED, spoken()) == ENVELOPE


def test_what_may_be_empty_comes_back_empty() -> None:
    bare = replace(ENVELOPE, causation_id="", correlation_id="", traceparent="", value=b"")
    assert records.envelope_of(FEED, spoken(bare)) == bare


def test_attributes_are_cloudevents_in_binary_mode() -> None:
    assert dict(records.headers_of(ENVELOPE)) == {
        "content-type": b"application/protobuf",
        "ce_specversion": b"1.0",
        "ce_id": b"049d9adc-be75-8adb-baaf-16ea8a3f9f0f",
        "ce_source": b"/oms/order",
        "ce_type": b"oms.order.v1.OrderPlaced",
        "ce_subject": b"demo/order-O1",
        "ce_time": b"2026-01-02T03:04:05.678901+00:00",
        "ce_tenant": b"demo",
        "ce_streamversion": b"3",
        "ce_position": b"17",
        "ce_causationid": b"c-1",
        "ce_correlationid": b"r-1",
        "traceparent": b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    }
    assert records.timestamp_ms(ENVELOPE) == 1_767_323_045_678


@pytest.mark.parametrize(
    ("header", "value", "reason"),
    [
        ("ce_specversion", b"2.0", "ce_specversion is not 1.0"),
        ("ce_specversion", None, "ce_specversion is missing"),
        ("ce_source", b"/oms/picking", "ce_source is not /oms/order"),
        ("ce_subject", b"demo/order-O2", "ce_subject is not the record's key"),
        ("ce_id", b"17", "ce_id is not a UUID"),
        ("ce_id", b"\xff\xfe", "ce_id is not UTF-8"),
        ("ce_type", b"", "ce_type is missing"),
        ("ce_type", b"a" * 513, "ce_type is longer than 512 characters"),
        ("ce_tenant", b"de\x00mo", "ce_tenant holds characters that cannot be printed"),
        ("ce_streamversion", b"0", "ce_streamversion is not within 1 and"),
        ("ce_streamversion", b"9999999999", "ce_streamversion is not within 1 and"),
        ("ce_position", b"-1", "ce_position is not a whole number"),
        ("ce_position", b"1e9", "ce_position is not a whole number"),
        ("ce_position", "٣".encode(), "ce_position is not a whole number"),
        ("ce_position", b"9" * 500, "ce_position is not a whole number"),
        ("ce_time", b"yesterday", "ce_time is not a time"),
        ("ce_time", b"2026-01-02T03:04:05", "ce_time has no zone"),
        ("ce_time", b"0001-01-01T00:00:00+23:59", "ce_time is not a time"),
    ],
)
def test_a_wrong_header_is_named(header: str, value: bytes | None, reason: str) -> None:
    with pytest.raises(records.Unreadable, match=reason):
        records.envelope_of(FEED, spoken(ENVELOPE, **{header: value}))


@pytest.mark.parametrize(
    "header",
    [
        *("ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_time"),
        *("ce_tenant", "ce_streamversion", "ce_position"),
    ],
)
def test_a_missing_header_is_named(header: str) -> None:
    record = spoken()
    record.headers = [(name, value) for name, value in record.headers if name != header]
    with pytest.raises(records.Unreadable, match=f"{header} is missing"):
        records.envelope_of(FEED, record)


def test_a_header_may_not_stand_twice() -> None:
    record = spoken()
    record.headers.append(("ce_position", b"1"))
    with pytest.raises(records.Unreadable, match="ce_position stands twice"):
        records.envelope_of(FEED, record)


def test_no_key_no_value_and_a_huge_value_are_unreadable() -> None:
    for change, reason in (
        ({"key": None}, "no key"),
        ({"value": None}, "no value"),
        ({"value": b"x" * ((4 << 20) + 1)}, "value of 4194305 bytes"),
    ):
        record = spoken()
        for name, value in change.items():
            setattr(record, name, value)
        with pytest.raises(records.Unreadable, match=reason):
            records.envelope_of(FEED, record)


def test_the_stand_in_waits_in_the_records_stream_before_all_that_follows() -> None:
    first = records.stand_in(FEED, Record(offset=41))
    second = records.stand_in(FEED, Record(offset=42))
    assert first.key == "demo/order-O1"
    assert first.position < second.position < 0
    assert first == records.stand_in(FEED, Record(offset=41))
    assert first.event_id != second.event_id


def test_without_a_key_the_stand_in_has_a_stream_of_its_own() -> None:
    for key in (None, b"", b"\xff", b"nul\x00", b"x" * 513):
        assert records.stand_in(FEED, Record(key=key)).key == f"unreadable/{FEED}-2"


headers = st.lists(
    st.tuples(
        st.sampled_from([*dict(records.headers_of(ENVELOPE)), "other"]),
        st.one_of(st.none(), st.binary(max_size=20), st.integers().map(lambda n: b"%d" % n)),
    ),
    max_size=15,
)


@for_any(
    st.builds(
        Record,
        key=st.one_of(st.none(), st.binary(max_size=20), st.just(b"demo/order-O1")),
        value=st.one_of(st.none(), st.binary(max_size=20)),
        headers=headers,
        timestamp=st.integers(-1, 2**63 - 1),
        offset=st.integers(0, 2**61),
    )
)
def test_no_record_breaks_the_reader(record: Record) -> None:
    with contextlib.suppress(records.Unreadable):
        assert records.envelope_of(FEED, record).position > 0
    assert records.stand_in(FEED, record).position < 0


@for_any(st.text(max_size=60), st.integers(1, 1_000))
def test_partitions_are_those_of_every_kafka_client(key: str, partitions: int) -> None:
    expected = (murmur2(key.encode()) & 0x7FFFFFFF) % partitions
    assert records.partition_of(key, partitions) == expected


def test_a_step_that_no_log_takes_is_not_believed() -> None:
    records.check_step(2**60, 0)  # who has had nothing yet cannot know where a feed begins
    records.check_step(1_000_000_007, 7)
    records.check_step(3, 2**60)
    with pytest.raises(records.Unreadable, match="ce_position 1000000008 is too far beyond 7"):
        records.check_step(1_000_000_008, 7)


def test_headers_of_other_tools_do_no_harm() -> None:
    record = spoken()
    record.headers += [("x-datadog", b"\xff\x00"), ("x-datadog", None)]
    assert records.envelope_of(FEED, record) == ENVELOPE
