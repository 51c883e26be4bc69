"""A promise of several lines that expires unless it is confirmed.

Stream  ``reservation-{reservation_id}``; the reservation of an order has the order's id
Rule    all lines or none, unless the caller asked for what there is; a closed reservation never
        holds again; a newer plan replaces only what holds nothing; what is promised changes its
        place as one, and at most so often. What a caller reserved is never an order's, also where
        the two have one id: the order is told, and refused.

What each line still has lives with the stock items; here is what was promised, and until when.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import assert_never

from services.kernel.domain.decider import Decider, Kind
from services.kernel.domain.errors import Rejected
from services.kernel.domain.record import record

# Events. Fields are storage format: add, never rename. Names are in adapters/event_codec.py.


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


# Commands.


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


# State.


class Status(StrEnum):
    NEW = "new"
    HELD = "held"
    REFUSED = "refused"
    CONFIRMED = "confirmed"
    RELEASED = "released"
    EXPIRED = "expired"
    CLOSED = "closed"


MOST_MOVES = 50
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


def decide(command: Command, reservation: Reservation) -> Sequence[Event]:  # noqa: C901, PLR0911, PLR0912 - one per kind
    match command:
        case Look():
            return []
        case Hold():
            return _hold(command, reservation)
        case DeclinePlan(order_id, plan_revision):
            if plan_revision <= reservation.declined or reservation.status is Status.CLOSED:
                return []
            why = Refusal.IDEMPOTENCY_MISMATCH.value
            return [PlanDeclined(order_id, plan_revision, why)]
        case Extend():
            return _extend(command, reservation)
        case Move():
            return _move(command, reservation)
        case RefuseMove(plan_revision, shortages):
            if plan_revision <= reservation.plan_revision:
                return []
            return [ReservationMoveRefused(reservation.order_id, plan_revision, shortages)]
        case Restore(plan_revision, lines):
            is_news = plan_revision > reservation.restored
            if not (is_news and lines and reservation.status is Status.CONFIRMED):
                return []
            return [ReservationRestored(reservation.order_id, plan_revision, lines)]
        case Confirm():
            return _confirm(command, reservation)
        case Release() | Expire() | Withdraw() | Close():
            return _end(command, reservation)
        case _:
            assert_never(command)


def _expect_time(reservation: Reservation, now: datetime) -> None:
    if reservation.status is Status.EXPIRED or (
        reservation.status is Status.HELD and now >= reservation.expires_at
    ):
        raise Rejected(
            Refusal.RESERVATION_EXPIRED, "the hold has run out; reserve under another id"
        )


def _extend(command: Extend, reservation: Reservation) -> Sequence[Event]:
    before = reservation.extended(command.command_id) if command.command_id else None
    if before is not None:
        if before.hold_seconds != command.hold_seconds:
            raise Rejected(
                Refusal.IDEMPOTENCY_MISMATCH,
                f"this request id made the hold last {before.hold_seconds} seconds, not"
                f" {command.hold_seconds}; choose a new one",
            )
        return []
    _expect_time(reservation, command.now)
    if reservation.status is not Status.HELD:
        raise Rejected(
            Refusal.STEP_CONFLICT,
            f"a {reservation.status.value} reservation has no hold to extend; reserve first",
        )
    if command.expires_at <= reservation.expires_at and not command.command_id:
        return []
    # One that makes it no longer is noted too: it might, should it come again later.
    until = max(command.expires_at, reservation.expires_at)
    return [ReservationExtended(until, command.command_id, command.hold_seconds)]


def _move(command: Move, reservation: Reservation) -> Sequence[Event]:
    if reservation.moved(command.move_id) is not None:
        return []
    _expect_time(reservation, command.now)
    # A completed order may still have what was moved for groups that it did not take up.
    gives_back = reservation.status is Status.CLOSED and command.left and not command.came
    if not (reservation.is_promised or gives_back):
        raise Rejected(
            Refusal.STEP_CONFLICT,
            f"a {reservation.status.value} reservation has nothing to move; reserve first",
        )
    # What is only given back is bounded by the groups of the order.
    if command.came and sum(bool(move.came) for move in reservation.moves) >= MOST_MOVES:
        raise Rejected(
            Refusal.STEP_CONFLICT,
            f"the reservation has moved {MOST_MOVES} times; release it and reserve anew",
        )
    promised = by_place(reservation.lines)
    for line in command.left:
        there = promised.get((line.site_id, line.sku), 0)
        if line.quantity > there:
            raise Rejected(
                Refusal.STEP_CONFLICT,
                f"{there} of {line.sku} at {line.site_id} are promised, not {line.quantity};"
                " move at most what is there",
            )
    return [
        ReservationMoved(
            reservation.order_id,
            command.plan_revision or reservation.plan_revision,
            *(command.move_id, command.left, command.came),
        )
    ]


def by_place(lines: Iterable[Line]) -> dict[tuple[str, str], int]:
    """Return base units by site and product."""
    needs: dict[tuple[str, str], int] = {}
    for line in lines:
        place = (line.site_id, line.sku)
        needs[place] = needs.get(place, 0) + line.quantity
    return needs


def summed(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Return one line per site and product, in a settled order."""
    return tuple(
        Line(*place, quantity) for place, quantity in sorted(by_place(lines).items()) if quantity
    )


def _less(lines: Iterable[Line], taken: Iterable[Line]) -> tuple[Line, ...]:
    return summed([*lines, *(Line(one.site_id, one.sku, -one.quantity) for one in taken)])


def _end(command: Release | Expire | Withdraw | Close, reservation: Reservation) -> Sequence[Event]:
    order_id, status = reservation.order_id, reservation.status
    match command:
        case Release(lines):
            return [ReservationReleased(order_id, lines)] if reservation.is_promised else []
        case Expire(now):
            is_due = status is Status.HELD and now >= reservation.expires_at
            return [ReservationExpired(order_id, reservation.plan_revision)] if is_due else []
        case Withdraw(lines) if status is Status.CONFIRMED:
            told = by_place(reservation.endangered)
            news = tuple(
                line for line in lines if line.quantity > told.get((line.site_id, line.sku), 0)
            )
            if not news:
                return []
            return [ReservationEndangered(order_id, reservation.plan_revision, news)]
        case Withdraw():
            is_held = status is Status.HELD
            return [ReservationExpired(order_id, reservation.plan_revision)] if is_held else []
        case Close(reason):
            return [] if status is Status.CLOSED else [ReservationClosed(reason)]
        case _:
            assert_never(command)


def _hold(command: Hold, reservation: Reservation) -> Sequence[Event]:
    if reservation.status is Status.CLOSED:
        raise Rejected(Refusal.STEP_CONFLICT, "the reservation is closed; reserve under another id")
    if command.plan_revision <= reservation.plan_revision:
        if command.plan_revision == reservation.plan_revision and reservation.is_promised:
            _same_lines(command, reservation)
        return []  # a repeat, or a plan that a newer one has replaced
    if reservation.is_promised:
        raise Rejected(
            Refusal.STEP_CONFLICT,
            f"revision {reservation.plan_revision} is still {reservation.status.value};"
            " release it first",
        )
    lines = command.lines
    if command.shortages:
        lines = _there(command) if command.takes_what_there_is else ()
        if not lines:
            return [ReservationRefused(command.order_id, command.plan_revision, command.shortages)]
    return [
        ReservationHeld(
            command.order_id,
            command.plan_revision,
            lines,
            command.expires_at,
            _less(command.lines, lines) if command.shortages else (),
            command.holder_id,
        )
    ]


def _there(command: Hold) -> tuple[Line, ...]:
    """Return what can be held of what is asked for."""
    free = by_place(command.shortages)
    return summed(
        [
            replace(
                line, quantity=min(line.quantity, free.get((line.site_id, line.sku), line.quantity))
            )
            for line in command.lines
        ]
    )


def _same_lines(command: Hold, reservation: Reservation) -> None:
    whose = (command.order_id, command.holder_id)
    is_same = whose == (reservation.order_id, reservation.holder_id)
    if not is_same or set(command.lines) != set(reservation.asked):
        raise Rejected(
            Refusal.IDEMPOTENCY_MISMATCH,
            "the reservation id was used for other lines or somebody else;"
            " reserve under another id",
        )


def _confirm(command: Confirm, reservation: Reservation) -> Sequence[Event]:
    order_id = reservation.order_id
    match reservation.status:
        case Status.HELD:
            return [ReservationConfirmed(order_id)]
        case Status.CONFIRMED:
            return []
        case Status.EXPIRED if command.shortages:
            return [ReservationRefused(order_id, reservation.plan_revision, command.shortages)]
        case Status.EXPIRED:
            return [ReservationConfirmed(order_id, is_anew=True)]
        case Status.NEW | Status.REFUSED | Status.RELEASED | Status.CLOSED:
            raise Rejected(
                Refusal.STEP_CONFLICT,
                f"a {reservation.status.value} reservation holds nothing to confirm; reserve first",
            )
        case _:
            assert_never(reservation.status)


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
                lines=summed([*_less(reservation.lines, left), *came]),
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


RULE: Decider[Command, Reservation, Event] = Decider(Reservation(), decide, evolve)
RESERVATION: Kind[Command, Reservation, Event] = Kind("reservation", RULE)
