"""What a stock item can be told: facts that happened, promises to make, and questions.

Quantities are positive base units unless said otherwise.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from services.kernel.domain.record import record
from services.stock_ledger.domain.entry import Cause
from services.stock_ledger.domain.image import Basis, Seen
from services.stock_ledger.domain.postings import Post


@dataclass(frozen=True, slots=True)
class Receive:
    quantity: int
    source_id: str
    occurred_at: datetime


class AdjustmentReason(StrEnum):
    BREAKAGE = Cause.BREAKAGE
    EXPIRY = Cause.EXPIRY
    THEFT = Cause.THEFT
    UNKNOWN_LOSS = Cause.UNKNOWN_LOSS
    COUNT = Cause.COUNT
    QUARANTINE = Cause.QUARANTINE


@dataclass(frozen=True, slots=True)
class Adjust:
    """Negative takes from free, positive gives back to it."""

    reason: AdjustmentReason
    quantity: int
    source_id: str
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class SellAtTill:
    """Negative takes a sale back."""

    quantity: int
    source_id: str
    occurred_at: datetime


@record
class Hold:
    reservation_id: str
    quantity: int
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Check:
    """Ask whether so much could be promised now: silence, or OUT_OF_STOCK."""

    quantity: int


@dataclass(frozen=True, slots=True)
class Allocate:
    """Straight from free: the hold had expired when it was confirmed.

    The quantity is what the reservation is to have in all: what it still holds or was picked
    for it counts.
    """

    reservation_id: str
    quantity: int
    occurred_at: datetime


@record
class Confirm:
    reservation_id: str
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Release:
    reservation_id: str
    occurred_at: datetime
    is_expiry: bool = False


@dataclass(frozen=True, slots=True)
class MoveAway:
    """The reservation has it elsewhere from now on. Its stream tells a repeat."""

    reservation_id: str
    quantity: int
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class MoveHere:
    """The reservation had it elsewhere; allocated where it is confirmed."""

    reservation_id: str
    quantity: int
    is_allocated: bool
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Pick:
    """May exceed what was reserved: weighed goods seldom weigh what was ordered."""

    reservation_id: str
    quantity: int
    source_id: str
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Short:
    reservation_id: str
    quantity: int
    is_damaged: bool
    source_id: str
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class PutBack:
    reservation_id: str
    quantity: int
    source_id: str
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class HandOver:
    """Over: more may leave than was promised, by a pick that exceeded it and is yet to be heard."""

    reservation_id: str
    quantity: int
    source_id: str
    occurred_at: datetime
    may_be_over: bool = False


@dataclass(frozen=True, slots=True)
class Ship:
    """As a handover, to a carrier."""

    reservation_id: str
    quantity: int
    source_id: str
    occurred_at: datetime
    may_be_over: bool = False


@dataclass(frozen=True, slots=True)
class Deliver:
    reservation_id: str
    quantity: int
    source_id: str
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class TakeBack:
    """A customer's return, sellable again or destroyed."""

    quantity: int
    is_sellable: bool
    source_id: str
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Observe:
    """Somebody saw so much at a time.

    Attributes:
        by: A system's image, or a person's count.
        basis: What it counts.
        has_picked: Whether units in totes are counted.
        counted: Base units seen, 0 or more.
        source_id: The source's id of this image of this product at this site.
        occurred_at: Of when it is; never later than now.
        expected: What the ledger has of this basis as of then; the use case finds it out.
    """

    by: Seen
    basis: Basis
    has_picked: bool
    counted: int
    source_id: str
    occurred_at: datetime
    expected: int = 0


@dataclass(frozen=True, slots=True)
class PromiseOnline:
    """A hold, a placement or a release that an e-commerce platform reports, part by part.

    Attributes:
        cause: ``HOLD`` takes from free, ``CONFIRM`` from what is held and then from free,
            ``RELEASE`` gives back what is held and then what is allocated.
    """

    cause: Literal[Cause.HOLD, Cause.CONFIRM, Cause.RELEASE]
    reservation_id: str
    quantity: int
    source_id: str
    occurred_at: datetime


type OfReservation = PromiseOnline | Pick | Short | PutBack | HandOver | Ship | Deliver
type Sourced = Receive | Adjust | SellAtTill | TakeBack | OfReservation
type Movement = (
    Receive
    | Adjust
    | SellAtTill
    | Post
    | PromiseOnline
    | Pick
    | Short
    | PutBack
    | HandOver
    | Ship
    | Deliver
    | TakeBack
)
type Command = (
    Movement | Observe | Check | Hold | Allocate | Confirm | Release | MoveAway | MoveHere
)


class Refusal(StrEnum):
    OUT_OF_STOCK = "OUT_OF_STOCK"
    STEP_CONFLICT = "STEP_CONFLICT"
    IDEMPOTENCY_MISMATCH = "IDEMPOTENCY_MISMATCH"
