"""Movements: what each kind of fact takes from which account, and gives to which."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import assert_never

from services.kernel.domain.errors import Rejected
from services.stock_ledger.domain.ahead import caught_up, timeless
from services.stock_ledger.domain.counted import fingerprint
from services.stock_ledger.domain.entry import (
    ALLOCATED,
    COUNT_DIFFERENCE,
    CUSTOMER,
    DAMAGED,
    DESTROYED,
    FREE,
    HELD,
    PICKED,
    QUARANTINE,
    SHRINK_BREAKAGE,
    SHRINK_EXPIRY,
    SHRINK_THEFT,
    SHRINK_UNKNOWN,
    SUPPLIER,
    TRANSIT,
    Cause,
    Report,
    Reserved,
)
from services.stock_ledger.domain.stock_commands import (
    Adjust,
    AdjustmentReason,
    Deliver,
    HandOver,
    OfReservation,
    Pick,
    PromiseOnline,
    PutBack,
    Receive,
    Refusal,
    SellAtTill,
    Ship,
    Short,
    Sourced,
    TakeBack,
)
from services.stock_ledger.domain.stock_entries import is_repeat, take_from, with_offsets
from services.stock_ledger.domain.stock_promises import expect_free
from services.stock_ledger.domain.stock_state import NOTHING, Event, StockItem, evolve

_SHRINK: Mapping[AdjustmentReason, str] = {
    AdjustmentReason.BREAKAGE: SHRINK_BREAKAGE,
    AdjustmentReason.EXPIRY: SHRINK_EXPIRY,
    AdjustmentReason.THEFT: SHRINK_THEFT,
    AdjustmentReason.UNKNOWN_LOSS: SHRINK_UNKNOWN,
    AdjustmentReason.COUNT: COUNT_DIFFERENCE,
}
_RESERVED = (PromiseOnline, Pick, Short, PutBack, HandOver, Ship, Deliver)


def move(command: Sourced, item: StockItem) -> Sequence[Event]:
    cause = _cause_of(command)
    reservation_id = command.reservation_id if isinstance(command, _RESERVED) else ""
    if is_repeat(item, command.source_id, fingerprint(cause, command.quantity, reservation_id)):
        return []
    report = Report(command.source_id, command.quantity, command.occurred_at)
    if isinstance(command, Pick):
        return _picked(report, reservation_id, item)
    changes, ahead = _changes(command, item)
    return with_offsets(item, cause, changes, report, reservation_id, ahead)


def _picked(report: Report, reservation_id: str, item: StockItem) -> list[Event]:
    """Return the entries of a pick; of what had left already, that it was in a tote until then."""
    reserved = item.open.get(reservation_id) or NOTHING
    late = caught_up(reserved, min(reserved.ahead, report.quantity))[0]
    before = report.quantity - sum(part.quantity for part in late)
    more: list[Event] = []
    if before:
        pick = Pick(reservation_id, before, report.source_id, report.occurred_at)
        changes, ahead = _reserved_changes(pick, replace(reserved, ahead=timeless(reserved)))
        more = with_offsets(item, Cause.PICK, changes, report, reservation_id, ahead)
    entries = [*more]
    for part in late:
        for entry in more:
            item = evolve(item, entry)
        changes = {PICKED: part.quantity, part.account: -part.quantity}
        more = with_offsets(
            item, Cause.PICK, changes, report, reservation_id, -part.quantity, part.occurred_at
        )
        entries += more
    return entries


def _cause_of(command: Sourced) -> Cause:  # noqa: C901, PLR0911 - one line per command
    match command:
        case Receive():
            return Cause.GOODS_RECEIPT
        case Adjust():
            return Cause(command.reason.value)
        case SellAtTill():
            return Cause.TILL_SALE
        case TakeBack():
            return Cause.RETURN_RESTOCK if command.is_sellable else Cause.RETURN_WRITE_OFF
        case PromiseOnline():
            return command.cause
        case Pick():
            return Cause.PICK
        case Short():
            return Cause.SHORT_DAMAGED if command.is_damaged else Cause.SHORT_NOT_FOUND
        case PutBack():
            return Cause.PUT_BACK
        case HandOver():
            return Cause.HANDOVER
        case Ship():
            return Cause.SHIPMENT
        case Deliver():
            return Cause.DELIVERY
        case _:
            assert_never(command)


def _changes(command: Sourced, item: StockItem) -> tuple[dict[str, int], int]:
    """Return what each account gains, and by how much the reservation gets ahead of its picks."""
    quantity = command.quantity
    match command:
        case Receive():
            return {FREE: quantity, SUPPLIER: -quantity}, 0
        case Adjust():
            return _adjustment(command, item), 0
        case SellAtTill():
            return {CUSTOMER: quantity, FREE: -quantity}, 0
        case TakeBack():
            gains = FREE if command.is_sellable else DESTROYED
            return {gains: quantity, CUSTOMER: -quantity}, 0
        case PromiseOnline():
            had = item.open.get(command.reservation_id) or NOTHING
            return _online_changes(command, had, item), 0
        case Pick() | Short() | PutBack() | HandOver() | Ship() | Deliver():
            return _reserved_changes(command, item.open.get(command.reservation_id) or NOTHING)
        case _:
            assert_never(command)


def _adjustment(command: Adjust, item: StockItem) -> dict[str, int]:
    quantity = command.quantity
    if command.reason is not AdjustmentReason.QUARANTINE:
        return {FREE: quantity, _SHRINK[command.reason]: -quantity}
    there = item.buckets.quarantine if quantity > 0 else item.buckets.free
    if abs(quantity) > there:
        raise Rejected(
            Refusal.OUT_OF_STOCK, f"{abs(quantity)} wanted, {max(there, 0)} there; take less"
        )
    return {FREE: quantity, QUARANTINE: -quantity}


def _online_changes(command: PromiseOnline, reserved: Reserved, item: StockItem) -> dict[str, int]:
    quantity = command.quantity
    match command.cause:
        case Cause.HOLD:
            expect_free(quantity, item)
            return {HELD: quantity, FREE: -quantity}
        case Cause.CONFIRM:
            taken, lacking = take_from(reserved, (HELD,), quantity)
            if lacking:
                expect_free(lacking, item)
            return {ALLOCATED: quantity, FREE: -lacking, **taken}
        case Cause.RELEASE:
            taken, lacking = take_from(reserved, (HELD, ALLOCATED), quantity)
            if lacking:
                raise _lacks(command, quantity - lacking)
            return {FREE: quantity, **taken}
        case _:
            assert_never(command.cause)


def _lacks(command: OfReservation, there: int) -> Rejected:
    return Rejected(
        Refusal.STEP_CONFLICT,
        f"reservation {command.reservation_id} has {there} of {command.quantity} for"
        f" {_cause_of(command).value}; record what precedes it first",
    )


type _Moved = Pick | Short | PutBack | HandOver | Ship | Deliver


def _reserved_changes(command: _Moved, reserved: Reserved) -> tuple[dict[str, int], int]:
    quantity = command.quantity
    sources: tuple[str, ...]
    match command:
        case Pick():
            caught_up = min(reserved.ahead, quantity)
            taken, lacking = take_from(reserved, (ALLOCATED, HELD), quantity - caught_up)
            return {PICKED: quantity - caught_up, FREE: -lacking, **taken}, -caught_up
        case Short():
            gains = DAMAGED if command.is_damaged else SHRINK_UNKNOWN
            taken, lacking = take_from(reserved, (ALLOCATED, HELD), quantity)
            return {gains: quantity, FREE: -lacking, **taken}, 0
        case PutBack():
            gains, sources = FREE, (PICKED,)
        case HandOver():
            gains, sources = CUSTOMER, (PICKED, ALLOCATED, HELD)
        case Ship():
            gains, sources = TRANSIT, (PICKED, ALLOCATED, HELD)
        case Deliver():
            gains, sources = CUSTOMER, (TRANSIT,)
        case _:
            assert_never(command)
    taken, lacking = take_from(reserved, sources, quantity)
    if lacking:
        if not (taken and isinstance(command, HandOver | Ship) and command.may_be_over):
            raise _lacks(command, quantity - lacking)
        taken[FREE] = -lacking
    ahead = -(taken.get(ALLOCATED, 0) + taken.get(HELD, 0) + taken.get(FREE, 0))
    return {gains: quantity, **taken}, ahead
