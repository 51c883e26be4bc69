"""A promise of several lines that expires unless it is confirmed.

Stream  ``reservation-{reservation_id}``; the reservation of an order has the order's id
Rule    all lines or none, unless the caller asked for what there is; a closed reservation never
        holds again; a newer plan replaces only what holds nothing; what is promised changes its
        place as one, and at most so often. What a caller reserved is never an order's, also where
        the two have one id: the order is told, and refused.

What each line still has lives with the stock items; here is what was promised, and until when.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import assert_never

from services.kernel.domain.decider import Decider, Kind
from services.kernel.domain.errors import Rejected
from services.stock_ledger.domain.reservation_commands import (
    Close,
    Command,
    Confirm,
    DeclinePlan,
    Expire,
    Extend,
    Hold,
    Look,
    Move,
    Refusal,
    RefuseMove,
    Release,
    Restore,
    Withdraw,
)
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
from services.stock_ledger.domain.reservation_lines import by_place, less, summed
from services.stock_ledger.domain.reservation_state import Reservation, Status, evolve

MOST_MOVES = 50


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
            less(command.lines, lines) if command.shortages else (),
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


RULE: Decider[Command, Reservation, Event] = Decider(Reservation(), decide, evolve)
RESERVATION: Kind[Command, Reservation, Event] = Kind("reservation", RULE)
