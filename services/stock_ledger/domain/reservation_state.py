"""A reservation's state: what is promised, and by what a repeat is known."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import assert_never

from services.stock_ledger.domain.reservation_events import (
    Event,
    Line,
    PlanDeclined,
    ReservationClosed,
    ReservationConfirmed,
    ReservationEndangered,
    ReservationExpired,
    ReservationExtended,
    ReservationHeld,
    ReservationMoved,
    ReservationMoveRefused,
    ReservationRefused,
    ReservationReleased,
    ReservationRestored,
)
from services.stock_ledger.domain.reservation_lines import less, summed


class Status(StrEnum):
    NEW = "new"
    HELD = "held"
    REFUSED = "refused"
    CONFIRMED = "confirmed"
    RELEASED = "released"
    EXPIRED = "expired"
    CLOSED = "closed"


_MOST_EXTENSIONS = 50  # that are remembered; whoever repeats an older one chooses a new id
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Reservation:
    """State: what is promised, and what was asked for, by which a repeat is known.

    Attributes:
        lines: What it was promised, where it is now.
        lacking: What was asked for beyond it.
        asked: What was asked for, and where, whatever became of it.
        endangered: What was told may lack of it, where it is.
        moves: Every change of place, oldest first.
        extensions: The newest, oldest first, by which a repeat is known.
        declined: The newest plan of an order that it does not hold for.
        restored: The newest plan that the order declined, and kept groups apart from.
        was_confirmed: Whatever became of it since.
    """

    status: Status = Status.NEW
    order_id: str = ""
    plan_revision: int = 0
    lines: tuple[Line, ...] = ()
    expires_at: datetime = _NEVER
    lacking: tuple[Line, ...] = ()
    holder_id: str = ""
    asked: tuple[Line, ...] = ()
    endangered: tuple[Line, ...] = ()
    moves: tuple[ReservationMoved, ...] = ()
    extensions: tuple[ReservationExtended, ...] = ()
    declined: int = 0
    restored: int = 0
    was_confirmed: bool = False

    @property
    def is_no_orders(self) -> bool:
        """Somebody reserved under this id himself; an order that has it, too, has nothing here."""
        return self.status not in (Status.NEW, Status.CLOSED) and not self.order_id

    @property
    def is_promised(self) -> bool:
        return self.status in (Status.HELD, Status.CONFIRMED)

    def moved(self, move_id: str) -> ReservationMoved | None:
        """Return what was moved under this id, if anything was."""
        return next((one for one in self.moves if one.move_id == move_id), None)

    def extended(self, command_id: str) -> ReservationExtended | None:
        """Return by what this command made the hold last longer, if it did."""
        return next((one for one in self.extensions if one.command_id == command_id), None)

    def awaits(self, plan_revision: int) -> bool:
        """Say whether a plan of this revision is news that may still be held."""
        return (
            self.status is not Status.CLOSED
            and not self.is_promised
            and not self.is_no_orders
            and plan_revision > self.plan_revision
        )


def evolve(reservation: Reservation, event: Event) -> Reservation:  # noqa: C901, PLR0911, PLR0912 - one per event
    match event:
        case ReservationHeld(order_id, plan_revision, lines, expires_at, lacking, holder_id):
            asked = summed([*lines, *lacking]) if lacking else lines
            return Reservation(
                *(Status.HELD, order_id, plan_revision, lines, expires_at),
                *(lacking, holder_id, asked),
            )
        case ReservationRefused(order_id, plan_revision, _):
            return Reservation(Status.REFUSED, order_id, plan_revision)
        case PlanDeclined(_, plan_revision):
            is_new = reservation.status is Status.NEW  # whoever reserved did so by another feed
            status = Status.REFUSED if is_new else reservation.status
            return replace(reservation, status=status, declined=plan_revision)
        case ReservationExtended(expires_at):
            extensions = (*reservation.extensions[1 - _MOST_EXTENSIONS :], event)
            return replace(reservation, expires_at=expires_at, extensions=extensions)
        case ReservationEndangered(_, _, lines):
            news = {(line.site_id, line.sku) for line in lines}
            known = [o for o in reservation.endangered if (o.site_id, o.sku) not in news]
            return replace(reservation, endangered=(*known, *lines))
        case ReservationMoveRefused(_, plan_revision, _):
            return replace(reservation, plan_revision=plan_revision)
        case ReservationMoved(_, plan_revision, _, left, came):
            gone = {(line.site_id, line.sku) for line in left}
            return replace(
                reservation,
                lines=summed([*less(reservation.lines, left), *came]),
                endangered=tuple(
                    one for one in reservation.endangered if (one.site_id, one.sku) not in gone
                ),
                moves=(*reservation.moves, event),
                plan_revision=max(plan_revision, reservation.plan_revision),
            )
        case ReservationRestored(_, plan_revision, lines):
            together = summed([*reservation.lines, *lines])
            return replace(reservation, lines=together, restored=plan_revision)
        case ReservationConfirmed():
            return replace(reservation, status=Status.CONFIRMED, was_confirmed=True)
        case ReservationReleased():
            return replace(reservation, status=Status.RELEASED)
        case ReservationExpired():
            return replace(reservation, status=Status.EXPIRED)
        case ReservationClosed():
            return replace(reservation, status=Status.CLOSED)
        case _:
            assert_never(event)
