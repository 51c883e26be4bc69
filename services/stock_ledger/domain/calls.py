"""Which calls said something, by their ids: the newest of them, so that a repeat is known.

A call all of which was known already is noted too: what it said may not be so any more when it
comes again.

Rule    a call that comes again after another one's change is the repeat of what it was: it changes
        nothing, and is answered as before. The same id with other content is another call's.

What was forgotten is refused by the event log, where its id stands for ever.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b

from services.kernel.domain.errors import Rejected

MOST_REMEMBERED = 50


class Refusal(StrEnum):
    IDEMPOTENCY_MISMATCH = "IDEMPOTENCY_MISMATCH"


@dataclass(frozen=True, slots=True)
class Call:
    """A call by its command id, and by what it said, as a digest.

    Attributes:
        changes: How much of it was news here.
    """

    command_id: str = ""
    content: str = ""
    changes: int = 1


NO_CALL = Call()


# An event of the streams that remember calls. Fields are storage format: add, never rename.


@dataclass(frozen=True, slots=True)
class CallNoted:
    """A call said what was known already: it changed nothing."""

    command_id: str
    content: str


# And the command that leads to it.


@dataclass(frozen=True, slots=True)
class NoteCall:
    call: Call


def noted(command: NoteCall, calls: Sequence[Call]) -> list[CallNoted]:
    """Return the note of a call that can come again; one without an id cannot."""
    call = command.call
    if not call.command_id or changes_of(call, calls) is not None:
        return []
    return [CallNoted(call.command_id, call.content)]


def call_of(command_id: str, said: Sequence[object]) -> Call:
    """Return a call by its id and all that it says."""
    return Call(command_id, blake2b(repr(said).encode(), digest_size=8).hexdigest())


def including(
    calls: tuple[Call, ...], command_id: str, content: str, changes: int = 1
) -> tuple[Call, ...]:
    """Return the newest calls with this one, oldest first; one without an id is not remembered."""
    if not command_id:
        return calls
    if calls and calls[-1].command_id == command_id:
        last = calls[-1]
        return (*calls[:-1], Call(command_id, last.content, last.changes + changes))
    return (*calls[1 - MOST_REMEMBERED :], Call(command_id, content, changes))


def changes_of(call: Call, remembered: Sequence[Call]) -> int | None:
    """Return how much this call changed here before; nothing where it is not known.

    Raises:
        Rejected: The id is known for other content.
    """
    before = next((one for one in remembered if one.command_id == call.command_id), None)
    if before is None:
        return None
    if before.content != call.content:
        raise Rejected(
            Refusal.IDEMPOTENCY_MISMATCH,
            "this request id was used for another command: choose a new one",
        )
    return before.changes
