"""Reservations that many ask for at once: what is wanted, and what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.kernel.domain.messages import Cause
from services.stock_ledger.domain.reservation_events import Line

type Needs = tuple[tuple[str, int], ...]
"""Stock keys with quantities, none of them twice, in a settled order."""


@dataclass(slots=True)
class Wanted:
    """A reservation that somebody asks for. Never changed once made.

    Attributes:
        reservation_id: Chosen by the caller; repeated, it is answered as the first time.
        lines: One per site and product, in a settled order.
        needs: The same lines as stock keys with quantities.
        hold_for: How long.
        holder_id: Whom it counts for, an opaque id; empty: nobody.
    """

    reservation_id: str
    lines: tuple[Line, ...]
    needs: Needs
    hold_for: timedelta
    holder_id: str = ""


@dataclass(slots=True)
class Answer:
    """What became of a reservation: held until, or not, and why. Never changed once made.

    Attributes:
        expires_at: Until when it is held; nothing when it is not.
        shortages: The lines that lack stock, with what is free.
        reason: Registry name, where it is not held.
        detail: One sentence.
    """

    expires_at: datetime | None = None
    shortages: tuple[Line, ...] = ()
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Round:
    """What is decided together: the calls of one tenant, in the order of their arrival.

    Attributes:
        cause: Of what all of them share: the stock items' entries and the expiry.
        calls: Of each call its cause, and what it wants.
    """

    cause: Cause
    calls: Sequence[tuple[Cause, Sequence[Wanted]]]


TAKEN = Answer()
"""It is granted; its end is not known yet."""
