"""Many reservations of one stock item decided together: one entry stands for all of them.

Stream  ``stock-{site_id}|{sku}``, the same as in ``stock_item``, whose state this rule shares
Rule    first come, first served, each whole or not at all; together they never take more than is
        free.
"""

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from services.kernel.domain.decider import Decider, Kind
from services.kernel.domain.errors import Rejected
from services.stock_ledger.domain import stock_commands, stock_item
from services.stock_ledger.domain.entry import (
    FREE,
    HELD,
    Buckets,
    Cause,
    EntryPosted,
    Posting,
    Share,
)
from services.stock_ledger.domain.image import moment_after
from services.stock_ledger.domain.standing import Standing
from services.stock_ledger.domain.stock_state import StockItem, evolve

# Commands.


@dataclass(frozen=True, slots=True)
class HoldAll:
    """At least one share; none of the reservations has anything of this item yet."""

    shares: tuple[Share, ...]
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class ExpireAll:
    """Give back what these reservations hold; silent about those that hold nothing."""

    reservation_ids: tuple[str, ...]
    occurred_at: datetime


type Command = HoldAll | ExpireAll


class Refusal(StrEnum):
    OUT_OF_STOCK = "OUT_OF_STOCK"
    IDEMPOTENCY_MISMATCH = "IDEMPOTENCY_MISMATCH"


def take(
    free: MutableMapping[str, int], needs: Sequence[tuple[str, int]]
) -> tuple[tuple[str, int], ...]:
    """Take what one reservation needs, all of it or nothing.

    Args:
        free: What is free of each stock item; what is taken is taken off.
        needs: How much of which stock items, none of them twice.

    Returns:
        The items that lack, with what is free of them; none when it was taken.
    """
    if len(needs) == 1:  # most are, and there are many
        [(key, wanted)] = needs
        there = free[key]
        if there < wanted:
            return ((key, max(there, 0)),)
        free[key] = there - wanted
        return ()
    lacking = tuple([(key, max(free[key], 0)) for key, wanted in needs if free[key] < wanted])
    if not lacking:
        for key, wanted in needs:
            free[key] -= wanted
    return lacking


def decide(command: Command, item: StockItem) -> Sequence[EntryPosted]:
    match command:
        case HoldAll():
            return _hold(command, item)
        case ExpireAll():
            return _expire(command, item)
        case _:
            assert_never(command)


def _hold(command: HoldAll, item: StockItem) -> Sequence[EntryPosted]:
    shares = command.shares
    if len(shares) == 1:
        [alone] = shares
        return stock_item.decide(
            stock_commands.Hold(alone.reservation_id, alone.quantity, command.occurred_at), item
        )
    if item.open.has_any([share.reservation_id for share in shares]):
        raise Rejected(
            Refusal.IDEMPOTENCY_MISMATCH,
            "a reservation has something of this item already; use another reservation id",
        )
    quantity = sum([share.quantity for share in shares])
    if quantity > item.buckets.free:
        raise Rejected(
            Refusal.OUT_OF_STOCK,
            f"{quantity} wanted, {max(item.buckets.free, 0)} free; ask for less or elsewhere",
        )
    return [_entry(item, Cause.HOLD, shares, quantity, command.occurred_at)]


def _expire(command: ExpireAll, item: StockItem) -> Sequence[EntryPosted]:
    """Most have a hold and nothing else, and share an entry; who was picked for gets his own."""
    shares: list[Share] = []
    others: list[str] = []
    for reservation_id in command.reservation_ids:
        reserved = item.open.get(reservation_id)
        if reserved is None:
            continue
        if reserved == Standing(reserved.held, since=reserved.since):
            shares.append(Share(reservation_id, reserved.held))
        else:
            others.append(reservation_id)
    if len(shares) == 1:
        others.append(shares.pop().reservation_id)
    entries: list[EntryPosted] = []
    if shares:
        quantity = sum([share.quantity for share in shares])
        entries.append(
            _entry(item, Cause.HOLD_EXPIRED, tuple(shares), -quantity, command.occurred_at)
        )
        item = evolve(item, entries[-1])
    for reservation_id in others:
        release = stock_commands.Release(reservation_id, command.occurred_at, is_expiry=True)
        for entry in stock_item.decide(release, item):
            entries.append(entry)
            item = evolve(item, entry)
    return entries


def _entry(
    item: StockItem, cause: Cause, shares: tuple[Share, ...], held: int, occurred_at: datetime
) -> EntryPosted:
    there = item.buckets
    gains, loses = (HELD, FREE) if held > 0 else (FREE, HELD)
    return EntryPosted(
        cause.value,
        (Posting(gains, abs(held)), Posting(loses, -abs(held))),
        Buckets(
            there.free - held,
            there.held + held,
            there.allocated,
            there.picked,
            there.quarantine,
            there.damaged,
        ),
        abs(held),
        moment_after(item.observed, occurred_at),
        shares=shares,
    )


MANY_HOLDS: Kind[Command, StockItem, EntryPosted] = Kind(
    "stock", Decider(StockItem(), decide, evolve)
)
