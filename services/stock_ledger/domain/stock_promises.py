"""Promises: what is held, allocated, given back or moved elsewhere; never more than is free."""

from collections.abc import Sequence
from typing import assert_never

from services.kernel.domain.errors import Rejected
from services.stock_ledger.domain.entry import ALLOCATED, FREE, HELD, Cause
from services.stock_ledger.domain.image import moment_after
from services.stock_ledger.domain.stock_commands import (
    Allocate,
    Confirm,
    Hold,
    MoveAway,
    MoveHere,
    Refusal,
    Release,
)
from services.stock_ledger.domain.stock_entries import entry_of, take_from
from services.stock_ledger.domain.stock_state import NOTHING, Event, StockItem


def promise(command: Hold | Allocate, item: StockItem) -> Sequence[Event]:
    quantity = command.quantity
    reserved = item.open.get(command.reservation_id) or NOTHING
    match command:
        case Hold():
            if reserved.held and reserved.held != quantity:
                raise Rejected(
                    Refusal.IDEMPOTENCY_MISMATCH,
                    f"reservation {command.reservation_id} already has {reserved.held} here,"
                    f" not {quantity}; use another reservation id",
                )
            cause, moved = Cause.HOLD, 0 if reserved.held else quantity
            changes = {HELD: moved, FREE: -moved}
        case Allocate():
            wanted = missing(command.reservation_id, quantity, item)
            cause, moved = Cause.CONFIRM, wanted + reserved.held
            changes = {ALLOCATED: moved, FREE: -wanted, HELD: -reserved.held}
        case _:
            assert_never(command)
    if not moved:
        return []
    if changes[FREE]:
        expect_free(-changes[FREE], item)
    return [
        entry_of(
            item,
            cause,
            changes,
            moved,
            moment_after(item.observed, command.occurred_at),
            reservation_id=command.reservation_id,
        )
    ]


def missing(reservation_id: str, quantity: int, item: StockItem) -> int:
    """Return what must be taken from free so that the reservation has so much in all."""
    had = item.open.get(reservation_id) or NOTHING
    return max(quantity - had.held - had.allocated - had.picked - had.transit - had.ahead, 0)


def expect_free(quantity: int, item: StockItem) -> None:
    if quantity > item.buckets.free:
        raise Rejected(
            Refusal.OUT_OF_STOCK,
            f"{quantity} wanted, {max(item.buckets.free, 0)} free; ask for less or elsewhere",
        )


def settle(command: Confirm | Release, item: StockItem) -> Sequence[Event]:
    reserved = item.open.get(command.reservation_id) or NOTHING
    held, allocated = reserved.held, reserved.allocated
    match command:
        case Confirm():
            cause, quantity = Cause.CONFIRM, held
            changes = {ALLOCATED: held, HELD: -held}
        case Release():
            cause = Cause.HOLD_EXPIRED if command.is_expiry else Cause.RELEASE
            quantity = held + allocated
            changes = {FREE: quantity, HELD: -held, ALLOCATED: -allocated}
        case _:
            assert_never(command)
    if not quantity:
        return []
    return [
        entry_of(
            item,
            cause,
            changes,
            quantity,
            moment_after(item.observed, command.occurred_at),
            reservation_id=command.reservation_id,
        )
    ]


def change_place(command: MoveAway | MoveHere, item: StockItem) -> Sequence[Event]:
    reservation_id, quantity = command.reservation_id, command.quantity
    if isinstance(command, MoveHere):
        expect_free(quantity, item)
        account = ALLOCATED if command.is_allocated else HELD
        cause, changes = Cause.MOVED_HERE, {account: quantity, FREE: -quantity}
    else:
        reserved = item.open.get(reservation_id) or NOTHING
        taken, lacking = take_from(reserved, (HELD, ALLOCATED), quantity)
        if lacking:
            raise Rejected(
                Refusal.STEP_CONFLICT,
                f"reservation {reservation_id} has {quantity - lacking} left here that nobody has"
                f" picked, not {quantity}; move at most that",
            )
        cause, changes = Cause.MOVED_AWAY, {FREE: quantity, **taken}
    at = moment_after(item.observed, command.occurred_at)
    return [entry_of(item, cause, changes, quantity, at, reservation_id=reservation_id)]
