"""Messages that could not be handled: put aside with their reason, with what follows in its stream.

They wait for a person, who asks for another try or gives them up; nothing else waits for them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from services.kernel.adapters.database import Database
from services.kernel.adapters.telemetry import METRICS
from services.kernel.application.feeds import Envelope

encode_envelope = msgspec.json.Encoder().encode
decode_envelope = msgspec.json.Decoder(Envelope).decode

# Taken by whoever adds to or takes from what is parked of a stream: group, feed, stream.
HOLD_PARKED = (
    "SELECT pg_advisory_xact_lock("
    "hashtextextended(concat_ws(' ', $1::text, $2::text, $3::text), 7235003))"
)
_WAITS = "waits behind an earlier message of its stream"
_LONGEST_REASON = 2_000
_REDRIVE_MESSAGES = 1_000


@dataclass(frozen=True, slots=True)
class Parked:
    """A message that waits for a person.

    Attributes:
        envelope: As it was received, or what could be read of it.
        reason: Why it could not be handled.
        attempts: How often it was tried; 0 when it only waits behind another.
    """

    envelope: Envelope
    reason: str
    attempts: int


class Parking:
    """What is parked of one group on one feed."""

    def __init__(self, group: str, topic: str, database: Database) -> None:
        self._group = group
        self._topic = topic
        self._database = database
        self._blocked: set[str] = set()

    def __len__(self) -> int:
        """Return how many streams are blocked."""
        return len(self._blocked)

    def blocks(self, envelope: Envelope) -> bool:
        """Tell whether an earlier message of the stream is parked."""
        return envelope.key in self._blocked

    def block(self, envelope: Envelope) -> None:
        """Have what follows in the stream wait, once the message is parked for certain."""
        self._blocked.add(envelope.key)
        self._tell()

    async def reload(self) -> None:
        """Read which streams are blocked."""
        rows = await self._database.sql.fetch(
            "SELECT DISTINCT stream FROM parked WHERE group_name = $1 AND topic = $2",
            *(self._group, self._topic),
        )
        self._blocked = {row[0] for row in rows}
        self._tell()

    def _tell(self) -> None:
        METRICS.parked.labels(self._group, self._topic).set(len(self._blocked))

    async def put(self, sql: Any, envelope: Envelope, reason: str, attempts: int) -> None:
        """Park a message, within the caller's transaction."""
        await sql.execute(
            "INSERT INTO parked (group_name, topic, stream, position, event_id, tenant, type,"
            " envelope, reason, attempts) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
            # An unreadable one is read again after the offset was set back.
            " ON CONFLICT DO NOTHING",
            *(self._group, self._topic, envelope.key, envelope.position, envelope.event_id),
            *(envelope.tenant, envelope.type, encode_envelope(envelope), reason, attempts),
        )

    async def put_behind(self, sql: Any, envelopes: Sequence[Envelope]) -> None:
        """Park messages behind others of their stream.

        What they waited for may have been driven or dropped meanwhile, here or in another process:
        then nobody would ever ask for them, so they ask themselves.
        """
        for envelope in envelopes:
            await self._hold(sql, envelope)
            await self.put(sql, envelope, _WAITS, 0)
            await sql.execute(
                "UPDATE parked SET redrive = true WHERE group_name = $1 AND topic = $2"
                " AND stream = $3 AND position = $4 AND NOT EXISTS (SELECT FROM parked e"
                "  WHERE e.group_name = $1 AND e.topic = $2 AND e.stream = $3 AND e.position < $4)",
                *(self._group, self._topic, envelope.key, envelope.position),
            )

    async def take(self, sql: Any, envelope: Envelope) -> bool:
        """Take a message out, within the caller's transaction; False: it is there no longer."""
        await self._hold(sql, envelope)
        gone = await sql.execute(
            "DELETE FROM parked WHERE group_name = $1 AND topic = $2 AND stream = $3"
            " AND position = $4",
            *(self._group, self._topic, envelope.key, envelope.position),
        )
        if gone != "DELETE 1":
            return False
        # What came after the wish to drive the stream again was not there to be asked for.
        await sql.execute(
            "UPDATE parked SET redrive = true WHERE group_name = $1 AND topic = $2 AND stream = $3"
            " AND position = (SELECT min(position) FROM parked"
            "  WHERE group_name = $1 AND topic = $2 AND stream = $3)",
            *(self._group, self._topic, envelope.key),
        )
        return True

    async def _hold(self, sql: Any, envelope: Envelope) -> None:
        """Let nobody else add to or take from what is parked of a stream until the commit."""
        await sql.execute(HOLD_PARKED, self._group, self._topic, envelope.key)

    async def asked_for(self) -> list[Envelope]:
        """Return the first of the messages that someone wants tried again, with their streams."""
        rows = await self._database.sql.fetch(
            "SELECT envelope FROM parked p WHERE group_name = $1 AND topic = $2 AND EXISTS"
            " (SELECT FROM parked r WHERE r.group_name = $1 AND r.topic = $2"
            "  AND r.stream = p.stream AND r.redrive)"
            " ORDER BY position LIMIT $3",
            *(self._group, self._topic, _REDRIVE_MESSAGES),
        )
        return [decode_envelope(row[0]) for row in rows]

    async def failed_again(self, envelope: Envelope, error: Exception) -> None:
        """Note that a message failed once more: its whole stream has had its try."""
        await self._database.sql.execute(
            "UPDATE parked SET redrive = false,"
            " attempts = attempts + (position = $4)::int,"
            " reason = CASE WHEN position = $4 THEN $5 ELSE reason END"
            " WHERE group_name = $1 AND topic = $2 AND stream = $3",
            *(self._group, self._topic, envelope.key, envelope.position, reason_of(error)),
        )

    async def untold(self, limit: int) -> list[Parked]:
        """Return messages that nobody has been told of yet, oldest first."""
        rows = await self._database.sql.fetch(
            "SELECT envelope, reason, attempts FROM parked WHERE group_name = $1 AND topic = $2"
            " AND NOT is_told ORDER BY parked_at, position LIMIT $3",
            *(self._group, self._topic, limit),
        )
        return [Parked(decode_envelope(row[0]), row[1], row[2]) for row in rows]

    async def told(self, parked: Sequence[Parked]) -> None:
        """Note that these were told."""
        await self._database.sql.execute(
            "UPDATE parked SET is_told = true WHERE group_name = $1 AND topic = $2"
            " AND (stream, position) IN (SELECT * FROM unnest($3::text[], $4::bigint[]))",
            *(self._group, self._topic),
            [one.envelope.key for one in parked],
            [one.envelope.position for one in parked],
        )


def reason_of(error: Exception | None) -> str:
    """Return what went wrong as a table can hold it: an error may quote whatever came."""
    said = f"{type(error).__name__}: {error}"[:_LONGEST_REASON]
    return said.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
