"""What may have happened to what of an order may come back, and the values that the events carry.

Fields are storage format: add, never rename. Stored names are in adapters/event_codec.py.
"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class DeliveredPart:
    """The units of an order line that one group brought, at their frozen net price."""

    line_id: str
    sku: str
    quantity: int
    net_minor: int


@dataclass(frozen=True, slots=True)
class GroupDelivered:
    group_id: str
    currency: str
    delivered_at: datetime
    parts: tuple[DeliveredPart, ...]


@dataclass(frozen=True, slots=True)
class Captured:
    """``captured_minor`` is the total after this capture, so that a read model needs no sum."""

    capture_id: str
    amount_minor: int
    captured_minor: int


@dataclass(frozen=True, slots=True)
class ClaimedPart:
    """Units ``start`` + 1 to ``start`` + ``quantity`` of a part: what they are worth is fixed.

    ``claimed`` is how many units of the part are in cases after this, so that a read model needs
    no sum. Events from before cases could be withdrawn say 0: it is ``start`` + ``quantity``.
    """

    group_id: str
    line_id: str
    sku: str
    start: int
    quantity: int
    refund_minor: int
    claimed: int = 0


@dataclass(frozen=True, slots=True)
class UnitsClaimed:
    return_id: str
    parts: tuple[ClaimedPart, ...]


@dataclass(frozen=True, slots=True)
class Refunded:
    """``refunded_minor`` is the total after this refund."""

    return_id: str
    amount_minor: int
    refunded_minor: int


@dataclass(frozen=True, slots=True)
class ReleasedPart:
    """``claimed`` is how many units of the part are in cases after this."""

    group_id: str
    line_id: str
    claimed: int


@dataclass(frozen=True, slots=True)
class UnitsReleased:
    """The case was withdrawn: its units are in none."""

    return_id: str
    parts: tuple[ReleasedPart, ...]


type Event = GroupDelivered | Captured | UnitsClaimed | Refunded | UnitsReleased
