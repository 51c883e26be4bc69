"""Holds that were taken together and run out together: one note, so one timer, for all of them.

Stream  ``expiry-{id}``; the id of the round that took the holds
Rule    noted once; what becomes of each hold until then is its reservation's own matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from services.kernel.domain.decider import Decider, Kind

# Events. Fields are storage format: add, never rename. Names are in adapters/event_codec.py.


@dataclass(frozen=True, slots=True)
class ExpiryNoted:
    reservation_ids: tuple[str, ...]
    expires_at: datetime


# Commands.


@dataclass(frozen=True, slots=True)
class Note:
    reservation_ids: tuple[str, ...]
    expires_at: datetime


# State.

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Expiry:
    reservation_ids: tuple[str, ...] = ()
    expires_at: datetime = _NEVER


def decide(command: Note, expiry: Expiry) -> Sequence[ExpiryNoted]:
    if expiry.reservation_ids:
        return []
    return [ExpiryNoted(command.reservation_ids, command.expires_at)]


def evolve(_: Expiry, event: ExpiryNoted) -> Expiry:
    return Expiry(event.reservation_ids, event.expires_at)


EXPIRY: Kind[Note, Expiry, ExpiryNoted] = Kind("expiry", Decider(Expiry(), decide, evolve))
