"""How far one member of a Kafka group is: what had its effect, and what the broker was told of it.

The watermark in the group's database is the truth. This is for reading on, and for the eyes of
those who watch the lag; so the broker is told now and then, not with every batch.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

_COMMIT_WITHIN_S = 5.0
_COMMIT_EVERY_S = 5.0


class KafkaOffsets:
    """Of the partitions that are held.

    Args:
        client: Returns the aiokafka consumer; raises IllegalStateError where there is none.
    """

    def __init__(self, client: Callable[[], Any]) -> None:
        self._client = client
        # Offset of the last record that had its effect, by partition held.
        self._handled: dict[int, int] = {}
        self._uncommitted: dict[TopicPartition, int] = {}
        self._next_commit_s = 0.0

    def begin(self, places: Mapping[TopicPartition, int]) -> None:
        """Have partitions read from behind the offsets up to which they were had; -1: none."""
        for place, offset in places.items():
            # An offset that the topic no longer has leads to its beginning: the watermark passes
            # over what was had.
            self._client().seek(place, offset + 1)
            self._handled[place.partition] = offset

    def done(self, place: TopicPartition, offset: int) -> None:
        self._handled[place.partition] = offset
        self._uncommitted[place] = offset + 1

    def forget(self) -> None:
        self._handled.clear()

    def is_done(self, place: TopicPartition, offset: int) -> bool:
        return self._handled.get(place.partition, -1) >= offset

    def read_again(self) -> None:
        """Go back to what was handled: a read that fails may have moved on in some partitions.

        aiokafka takes what it has of one partition after the other, and hands over nothing if one
        of them fails.
        """
        with contextlib.suppress(IllegalStateError):
            for place in self._client().assignment():
                handled = self._handled.get(place.partition)
                if handled is not None:
                    self._client().seek(place, handled + 1)

    @property
    def is_commit_due(self) -> bool:
        return asyncio.get_running_loop().time() >= self._next_commit_s

    async def commit(self) -> None:
        """Tell the broker. Whether it succeeds changes nothing."""
        self._next_commit_s = asyncio.get_running_loop().time() + _COMMIT_EVERY_S
        told, self._uncommitted = self._uncommitted, {}
        with contextlib.suppress(KafkaError, TimeoutError):
            # One that was taken away would have the client refuse them all.
            held = self._client().assignment()
            if offsets := {place: offset for place, offset in told.items() if place in held}:
                async with asyncio.timeout(_COMMIT_WITHIN_S):
                    await self._client().commit(offsets)

    def lag(self) -> int:
        """Return how much of what is held waits; what was never read from is not known yet."""
        waiting = 0
        with contextlib.suppress(IllegalStateError):
            # A partition that was taken away while its batch was in flight is still in the list
            # of what was handled, and asking the client for its end is an assertion that fails.
            for place in self._client().assignment():
                handled = self._handled.get(place.partition)
                if handled is not None:
                    waiting += max(0, (self._client().highwater(place) or 0) - handled - 1)
        return waiting
