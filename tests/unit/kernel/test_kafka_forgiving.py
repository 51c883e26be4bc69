"""A record that the client cannot parse holds up none that follows."""

import struct
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBase, DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from services.kernel.adapters.kafka_forgiving import ForgivingRecords, forgive
from services.kernel.adapters.kafka_records import Unreadable, envelope_of, stand_in

GZIP, PLAIN = 1, 0
PLACE = TopicPartition("t", 0)


def a_batch(
    first: int, names: list[str], *, compression: int = PLAIN, value: bytes | None = b"v"
) -> bytes:
    """Return a batch of one record per header name; in ``bad`` a byte stands that no text has."""
    builder = DefaultRecordBatchBuilder(
        2, compression, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=0,
        batch_size=1 << 20,
    )  # fmt: skip
    for n, name in enumerate(names):
        headers = [("before", b"1"), (name, None), ("after", b"2")]
        builder.append(n, timestamp=1_000 + n, key=b"k%d" % n, value=value, headers=headers)
    batch = bytearray(builder.build())
    if compression == PLAIN:
        batch = batch.replace(b"bad", b"\xffad")
    struct.pack_into(">q", batch, 0, first)
    at = DefaultRecordBase.CRC_OFFSET
    struct.pack_into(">I", batch, at, calc_crc32c(bytes(batch[at + 4 :])))
    return bytes(batch)


def read(data: bytes, begin: int = 0) -> Iterator[Any]:
    yield from fetcher.PartitionRecords(
        tp=PLACE,
        records=fetcher.MemoryRecords(data),
        aborted_transactions=[],
        fetch_offset=begin,
        key_deserializer=None,
        value_deserializer=None,
        check_crcs=True,
        isolation_level=fetcher.READ_UNCOMMITTED,
    )


@pytest.fixture(autouse=True)
def forgiving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "MemoryRecords", fetcher.MemoryRecords)
    forgive()


def test_what_follows_a_record_that_cannot_be_parsed_is_read() -> None:
    data = a_batch(7, ["x", "bad", "y", "bad"]) + a_batch(11, ["z"])
    found = list(read(data))
    assert [one.offset for one in found] == [7, 8, 9, 10, 11]
    assert [one.key for one in found] == [b"k0", b"k1", b"k2", b"k3", b"k0"]
    assert found[2].headers == (("before", b"1"), ("y", None), ("after", b"2"))


def test_it_keeps_its_place_and_says_what_is_wrong_with_it() -> None:
    _, bad = read(a_batch(0, ["x", "bad"], value=None))
    assert (bad.offset, bad.timestamp, bad.key, bad.value) == (1, 1_001, b"k1", None)
    with pytest.raises(Unreadable, match="the name of a header is not UTF-8"):
        envelope_of("oms.order.v1.events", bad)
    assert stand_in("oms.order.v1.events", bad).key == "k1"


def test_reading_may_begin_at_it_or_behind_it() -> None:
    data = a_batch(0, ["x", "bad", "y"])
    assert [one.offset for one in read(data, begin=1)] == [1, 2]
    assert [one.offset for one in read(data, begin=2)] == [2]


def test_what_can_be_parsed_is_read_as_ever() -> None:
    for compression in (PLAIN, GZIP):
        data = a_batch(3, ["x", "y"], compression=compression) + a_batch(5, ["z"])
        assert [one.offset for one in read(data)] == [3, 4, 5]


def test_a_broken_checksum_is_not_forgiven() -> None:
    data = bytearray(a_batch(0, ["x"]))
    data[-1] ^= 1
    records = ForgivingRecords(bytes(data))
    assert records.has_next()
    assert not records.next_batch().validate_crc()
    assert not records.has_next()
    assert records.next_batch() is None
    assert records.size_in_bytes() == len(data)
