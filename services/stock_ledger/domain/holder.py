"""Whose unpaid holds there are: one customer, or one session of nobody in particular.

Stream  ``holder-{holder_id}``; the id is the caller's own, opaque, never a name
Rule    at most so many reservations are held for one holder at any time; each counts once.

Reservations of one holder are streams of their own, and two of them never meet. This stream is
where they do: it is appended to in the unit that holds, so of two holds at the same time one loses
the race and is decided again with the other counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from services.kernel.domain.decider import Decider, Kind
from services.kernel.domain.errors import Rejected

# Events. Fields are storage format: add, never rename. Names are in adapters/event_codec.py.


@dataclass(frozen=True, slots=True)
class HoldCounted:
    reservation_id: str


@dataclass(frozen=True, slots=True)
class HoldUncounted:
    """It was confirmed, released or ran out."""

    reservation_id: str


type Event = HoldCounted | HoldUncounted


# Commands.


@dataclass(frozen=True, slots=True)
class CountHold:
    reservation_id: str
    most: int


@dataclass(frozen=True, slots=True)
class UncountHold:
    reservation_id: str


type Command = CountHold | UncountHold


class Refusal(StrEnum):
    TOO_MANY_HOLDS = "TOO_MANY_HOLDS"


# State.


@dataclass(frozen=True, slots=True)
class Holder:
    """The reservations held and not paid for; never more than the highest limit there was."""

    held: frozenset[str] = frozenset()


def decide(command: Command, holder: Holder) -> Sequence[Event]:
    match command:
        case CountHold(reservation_id, most):
            if reservation_id in holder.held:
                return []
            if len(holder.held) >= most:
                raise Rejected(Refusal.TOO_MANY_HOLDS, too_many(len(holder.held), most))
            return [HoldCounted(reservation_id)]
        case UncountHold(reservation_id):
            return [HoldUncounted(reservation_id)] if reservation_id in holder.held else []
        case _:
            assert_never(command)


def too_many(held: int, most: int) -> str:
    """Return the sentence that says so, and what to do about it."""
    return (
        f"this customer has {held} unpaid holds and may have {most};"
        " confirm or release one of them, or let it run out"
    )


def evolve(holder: Holder, event: Event) -> Holder:
    match event:
        case HoldCounted(reservation_id):
            return Holder(holder.held | {reservation_id})
        case HoldUncounted(reservation_id):
            return Holder(holder.held - {reservation_id})
        case _:
            assert_never(event)


RULE: Decider[Command, Holder, Event] = Decider(Holder(), decide, evolve)
HOLDER: Kind[Command, Holder, Event] = Kind("holder", RULE)
