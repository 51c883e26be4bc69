"""What happens to a reservation.

Fields are storage format: add, never rename. Names are in adapters/event_codec.py.
"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Line:
    """A quantity of one product at one site, in base units."""

    site_id: str
    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class ReservationHeld:
    """Lacking: what was asked for beyond what there was, where the caller takes what there is.

    The holder is whom the caller counts it for, by an opaque id; empty for nobody.
    """

    order_id: str
    plan_revision: int
    lines: tuple[Line, ...]
    expires_at: datetime
    lacking: tuple[Line, ...] = ()
    holder_id: str = ""


@dataclass(frozen=True, slots=True)
class ReservationRefused:
    """Shortages carry the quantity that was free."""

    order_id: str
    plan_revision: int
    shortages: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class PlanDeclined:
    """An order has the id of what somebody reserved himself. That stands; the plan holds nothing.

    Reason: registry name, for the order.
    """

    order_id: str
    plan_revision: int
    reason: str


@dataclass(frozen=True, slots=True)
class ReservationConfirmed:
    """Anew: the hold had expired, and the lines were taken from free again."""

    order_id: str
    is_anew: bool = False


@dataclass(frozen=True, slots=True)
class ReservationReleased:
    """The lines carry what really became free."""

    order_id: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class ReservationExpired:
    order_id: str
    plan_revision: int


@dataclass(frozen=True, slots=True)
class ReservationEndangered:
    """The lines carry what may be lacking: a till sale or another fact took it first."""

    order_id: str
    plan_revision: int
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class ReservationExtended:
    """The hold lasts until then, at least as long as before.

    Who asked is told by his command's id and by how long he asked.
    """

    expires_at: datetime
    command_id: str = ""
    hold_seconds: int = 0


@dataclass(frozen=True, slots=True)
class ReservationMoved:
    """What it had in one place it has in another, or no longer where ``came`` is empty."""

    order_id: str
    plan_revision: int
    move_id: str
    left: tuple[Line, ...]
    came: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class ReservationMoveRefused:
    """Shortages carry what was free where it was to go; none: it is picked or given back."""

    order_id: str
    plan_revision: int
    shortages: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class ReservationRestored:
    """What an order has apart from a plan that it declined is promised again: these lines."""

    order_id: str
    plan_revision: int
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class ReservationClosed:
    reason: str


type Event = (
    ReservationHeld
    | ReservationRefused
    | PlanDeclined
    | ReservationConfirmed
    | ReservationReleased
    | ReservationExpired
    | ReservationEndangered
    | ReservationExtended
    | ReservationMoved
    | ReservationMoveRefused
    | ReservationRestored
    | ReservationClosed
)
