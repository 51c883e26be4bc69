"""What a reservation can be told, and what it answers no with."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.kernel.domain.record import record
from services.stock_ledger.domain.reservation_events import Line


@record
class Hold:
    """Shortages: the lines that lack stock, with the quantity that is free.

    With one of them nothing is held, unless the caller takes what there is.
    """

    order_id: str
    plan_revision: int
    lines: tuple[Line, ...]
    expires_at: datetime
    shortages: tuple[Line, ...] = ()
    takes_what_there_is: bool = False
    holder_id: str = ""


@dataclass(frozen=True, slots=True)
class DeclinePlan:
    """Hold nothing for an order whose id somebody has reserved under."""

    order_id: str
    plan_revision: int


@dataclass(frozen=True, slots=True)
class Confirm:
    """Shortages: what lacks to hold anew, should the hold have expired."""

    shortages: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class Release:
    """The lines carry what the stock items gave back."""

    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Expire:
    now: datetime


@dataclass(frozen=True, slots=True)
class Extend:
    """Let the hold last until then; it never gets shorter. A repeat has the same id."""

    expires_at: datetime
    now: datetime
    command_id: str = ""
    hold_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Move:
    """Have in other places what is left in these, as one; the stock items say whether they can."""

    move_id: str
    left: tuple[Line, ...]
    came: tuple[Line, ...]
    now: datetime
    plan_revision: int = 0


@dataclass(frozen=True, slots=True)
class RefuseMove:
    """What a plan wants moved cannot be."""

    plan_revision: int
    shortages: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Restore:
    """Promise these lines as well: the order keeps groups apart from a plan that it declined."""

    plan_revision: int
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Withdraw:
    """What was promised may not be there: a hold ends, whoever has an allocation is told.

    The lines carry what lacks.
    """

    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Close:
    reason: str


@dataclass(frozen=True, slots=True)
class Look:
    """Decide nothing. The kernel reads the stream again before it believes such a silence."""


type Command = (
    Look
    | Hold
    | DeclinePlan
    | Confirm
    | Release
    | Expire
    | Extend
    | Move
    | RefuseMove
    | Restore
    | Withdraw
    | Close
)


class Refusal(StrEnum):
    STEP_CONFLICT = "STEP_CONFLICT"
    RESERVATION_EXPIRED = "RESERVATION_EXPIRED"
    IDEMPOTENCY_MISMATCH = "IDEMPOTENCY_MISMATCH"
