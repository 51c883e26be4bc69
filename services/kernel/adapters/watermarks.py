"""How far one group is in the partitions of one feed, and that nobody else went on meanwhile.

A watermark is a position in the source's log. It moves by compare-and-set, in the transaction of
what it vouches for: who finds it elsewhere was not the only owner.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.kernel.adapters.database import Database, is_outage
from services.kernel.application.feeds import Envelope

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Part:
    """What one partition brings.

    Attributes:
        partition: One that was assigned.
        envelopes: In its order.
        bus_offset: Where the bus has the last of them; -1: the bus has no places, or not yet.
    """

    partition: int
    envelopes: Sequence[Envelope]
    bus_offset: int = -1


class WatermarkMoved(Exception):
    """Another owner of the partition went on; what it did must not be done again."""


class Watermarks:
    """Of one group on one feed.

    Attributes:
        stored: Up to where the database knows that messages were handled, by partition. Memory
            runs ahead over messages that came to nothing: hearing those again comes to nothing
            again.
    """

    def __init__(self, group: str, topic: str, database: Database, *, note_every_s: float) -> None:
        self._group = group
        self._topic = topic
        self._database = database
        self._note_every_s = note_every_s
        self._next_note = 0.0
        self._handled: dict[int, int] = {}
        self._bus_offsets: dict[int, int] = {}
        self.stored: dict[int, int] = {}

    def __getitem__(self, partition: int) -> int:
        """Return the position up to which messages of a partition have had their effect."""
        return self._handled[partition]

    def pass_over(self, partition: int, position: int) -> None:
        """Note in memory that nothing up to ``position`` is left to do."""
        self._handled[partition] = max(self._handled[partition], position)

    def passed(self, part: Part) -> None:
        """Note in memory that a part is dealt with, and where the bus has its end."""
        self.pass_over(part.partition, part.envelopes[-1].position)
        self.passed_in_bus(part.partition, part.bus_offset)

    def passed_in_bus(self, partition: int, bus_offset: int) -> None:
        """Note in memory up to where the bus need not bring anything again."""
        self._bus_offsets[partition] = bus_offset

    def kept(self, partition: int, position: int) -> None:
        """Note that the database knows a position now."""
        self._handled[partition] = self.stored[partition] = position

    async def assign(self, partition: int) -> int:
        """Begin where the group is; return the bus offset after which to read (-1: none)."""
        row = await self._database.sql.fetchrow(
            "INSERT INTO watermarks (group_name, topic, partition, position) VALUES ($1, $2, $3, 0)"
            " ON CONFLICT (group_name, topic, partition)"
            " DO UPDATE SET position = watermarks.position RETURNING position, bus_offset",
            *(self._group, self._topic, partition),
        )
        self.kept(partition, row[0])
        self._bus_offsets.pop(partition, None)
        return int(row[1])

    async def is_of(self, partition: int, topic_id: str) -> bool:
        """Tell whether what was read of a partition was of this topic, and note that it is now.

        If it was not, the partition is to be read from its beginning, as in ``forget_offset``.
        """
        before = await self._database.sql.fetchval(
            "UPDATE watermarks w SET bus_topic = $4,"
            " bus_offset = CASE b.bus_topic WHEN '' THEN w.bus_offset ELSE -1 END"
            " FROM watermarks b WHERE w.group_name = $1 AND w.topic = $2 AND w.partition = $3"
            " AND b.group_name = $1 AND b.topic = $2 AND b.partition = $3 AND b.bus_topic <> $4"
            " RETURNING b.bus_topic",
            *(self._group, self._topic, partition, topic_id),
        )
        return not before  # the same, or not noted so far

    async def forget_offset(self, partition: int) -> None:
        """Have a partition read from its beginning: what the bus has there is not what it had.

        The watermark stays: what was heard before is passed over.
        """
        self._bus_offsets.pop(partition, None)
        await self._database.sql.execute(
            "UPDATE watermarks SET bus_offset = -1"
            " WHERE group_name = $1 AND topic = $2 AND partition = $3",
            *(self._group, self._topic, partition),
        )

    async def advance(self, sql: Any, partition: int, position: int, bus_offset: int) -> None:
        """Move one watermark from where it is known to be; the caller says when that is ``kept``.

        Raises:
            WatermarkMoved: It is elsewhere.
        """
        moved = await sql.execute(
            "UPDATE watermarks SET position = $4,"
            " bus_offset = CASE WHEN $6 < 0 THEN bus_offset ELSE $6 END"
            " WHERE group_name = $1 AND topic = $2 AND partition = $3 AND position = $5",
            *(self._group, self._topic, partition, position),
            *(self.stored[partition], bus_offset),
        )
        if moved != "UPDATE 1":
            raise WatermarkMoved(self._group)

    async def advance_several(self, sql: Any, parts: Sequence[Part]) -> None:
        """Move the watermarks of several partitions, all or none.

        Raises:
            WatermarkMoved: One of them is elsewhere.
        """
        moved = await sql.execute(
            "UPDATE watermarks w SET position = p.position,"
            " bus_offset = CASE WHEN p.bus_offset < 0 THEN w.bus_offset ELSE p.bus_offset END"
            " FROM unnest($3::int[], $4::bigint[], $5::bigint[], $6::bigint[])"
            " AS p (partition, stored, position, bus_offset)"
            " WHERE w.group_name = $1 AND w.topic = $2 AND w.partition = p.partition"
            " AND w.position = p.stored",
            *(self._group, self._topic),
            [part.partition for part in parts],
            [self.stored[part.partition] for part in parts],
            [part.envelopes[-1].position for part in parts],
            [part.bus_offset for part in parts],
        )
        if moved != f"UPDATE {len(parts)}":
            raise WatermarkMoved(self._group)

    async def advance_offset(self, sql: Any, partition: int, bus_offset: int) -> bool:
        """Move only the place in the bus, forwards; tell whether it was further back before."""
        moved = await sql.execute(
            "UPDATE watermarks SET bus_offset = $4 WHERE group_name = $1"
            " AND topic = $2 AND partition = $3 AND bus_offset < $4",
            *(self._group, self._topic, partition, bus_offset),
        )
        return bool(moved == "UPDATE 1")

    async def note(self, *, at_once: bool = False) -> None:
        """Store the watermarks that ran ahead of the database.

        Args:
            at_once: Also when that was done less than an interval ago.
        """
        loop_time = asyncio.get_running_loop().time()
        if loop_time < self._next_note and not at_once:
            return
        self._next_note = loop_time + self._note_every_s
        for partition, position in self._handled.items():
            if position <= self.stored[partition]:
                continue
            offset = self._bus_offsets.get(partition, -1)
            try:
                await self.advance(self._database.sql, partition, position, offset)
            except WatermarkMoved:
                await self.assign(partition)
            except Exception as error:
                if not is_outage(error):
                    raise
                _log.warning("%s could not note its watermark", self._group, exc_info=True)
            else:
                self.stored[partition] = position
