"""Records that aiokafka cannot parse, so that they can be parked.

Kafka's protocol says that a header's name is UTF-8, and its brokers take whatever comes. aiokafka
raises on such a record for whoever reads the partition, again at every try: nothing that comes
after it would ever be read. Here such a record is handed on without its headers, under one that
says what is wrong with it; which makes it one more that cannot be read.
"""

import struct
from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy, _DefaultRecordPy
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import decode_varint

from services.kernel.adapters.kafka_records import NOT_UTF8

# Of a batch: its first offset, then its length without these two.
_LENGTH = struct.Struct(">8xi")
_FIRST_MAGIC_WITH_HEADERS = 2


def forgive() -> None:
    """Have every consumer of this process read on behind such a record; done before it reads.

    The client offers no other place for it: it makes this class by its name.
    """
    fetcher.MemoryRecords = ForgivingRecords


class ForgivingRecords:
    """What one partition brought, batch by batch; aiokafka's ``MemoryRecords`` but for one error.

    Args:
        data: Batches as the broker sent them.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._batches: Any = MemoryRecords(data)
        self._at = 0

    def size_in_bytes(self) -> int:
        return int(self._batches.size_in_bytes())

    def has_next(self) -> bool:
        return bool(self._batches.has_next())

    def next_batch(self) -> Any:
        begin = self._at
        batch = self._batches.next_batch()
        if batch is None:
            return None
        self._at += _LENGTH.size + _LENGTH.unpack_from(self._data, begin)[0]
        if batch.is_control_batch or self._data[begin + 16] < _FIRST_MAGIC_WITH_HEADERS:
            return batch
        return _Batch(batch, self._data, begin, self._at)


class _Batch:
    """A batch of records, read by the client's fast code as long as that is able to."""

    def __init__(self, batch: Any, data: bytes, begin: int, end: int) -> None:
        self._batch = batch
        self._data = data
        self._begin, self._end = begin, end

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._batch
        except UnicodeDecodeError:
            # From its beginning: whoever asked passes over the offsets that he has.
            yield from _ForgivingBatch(self._data[self._begin : self._end])


class _ForgivingBatch(_DefaultRecordBatchPy):  # type: ignore[misc] # aiokafka calls it final
    """The client's own plain code, which can be told what to do about one record."""

    def _read_msg(self, decode: Any = decode_varint) -> _DefaultRecordPy:
        try:
            return super()._read_msg(decode)
        except UnicodeDecodeError:
            length, at = decode(self._buffer, self._pos)  # type: ignore[has-type]
            self._pos = at + length
            _, at = decode(self._buffer, at)  # attributes
            age_ms, at = decode(self._buffer, at)
            number, at = decode(self._buffer, at)
            key, at = self._bytes(at, decode)
            value, _ = self._bytes(at, decode)
            return _DefaultRecordPy(
                self.base_offset + number,
                self.first_timestamp + age_ms,
                self.timestamp_type,
                key,
                value,
                [(NOT_UTF8, None)],
            )

    def _bytes(self, at: int, decode: Any) -> tuple[bytes | None, int]:
        length, at = decode(self._buffer, at)
        if length < 0:
            return None, at
        return bytes(self._buffer[at : at + length]), at + length
