"""Stock of one product at one site: what is there, and who has been promised it.

Stream  ``stock-{site_id}|{sku}``
Rule    every entry sums to zero over its accounts; a reservation never takes free below zero.

Facts are never refused for lack of stock: what was sold at a till, broken, counted or picked by
hand has happened, and refusing it would only make the books wrong. They alone may drive free
below zero. What a customer or carrier gets, though, must be there under his reservation.

What was seen at a time (an image, a count) is compared with the ledger of that time, and settles
it; see domain/image.py.

Picking, delivery and order events travel on feeds that race each other. A handover heard before
its pick takes what is still allocated and notes it as *ahead*; the late pick then moves nothing
that is still there, only the past; see domain/ahead.py. If the pick was of more than was promised,
which is told by who weighs and hands over himself, the rest comes from free, like the pick's own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Literal, assert_never

from services.kernel.domain.decider import Decider, Kind
from services.kernel.domain.errors import Rejected
from services.kernel.domain.record import record
from services.stock_ledger.domain import postings
from services.stock_ledger.domain.ahead import caught_up, still_ahead, timeless
from services.stock_ledger.domain.counted import (
    content_of,
    fingerprint,
    is_of_another_time,
    with_time,
)
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
    Buckets,
    Cause,
    EntryPosted,
    Image,
    Posting,
    Report,
    Reserved,
)
from services.stock_ledger.domain.image import (
    DIFFERENCE,
    KEPT,
    Basis,
    Observed,
    Offset,
    Seen,
    including,
    moment_after,
    offsets,
    what,
)
from services.stock_ledger.domain.persistent_map import PersistentMap
from services.stock_ledger.domain.postings import Post
from services.stock_ledger.domain.standing import Standing

# Events: entries, in domain/entry.py.

type Event = EntryPosted


# Commands. Quantities are positive base units unless said otherwise.


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


# State: only what the rules need.

_NOBODY: PersistentMap[Standing] = PersistentMap()
_UNHEARD_OF: PersistentMap[int] = PersistentMap()


@record
class StockItem:
    """The balance, the open reservations, and the movements already counted.

    Attributes:
        buckets: The balance.
        open: What each reservation that is not over has here.
        sources: What every movement ever counted was, by source id. It is complete, so a
            delivery note repeated after years is still known, and costs about 150 bytes per
            movement in memory: 15 MB for an item with 100,000 movements.
        observed: The images applied, oldest first.
        latest: When the latest of its entries occurred; an image of then or later is compared
            with the balance of now.
        promises: How many promises were ever made; see domain/standing.py.
    """

    buckets: Buckets = field(default_factory=Buckets)
    open: PersistentMap[Standing] = field(default_factory=lambda: _NOBODY)
    sources: PersistentMap[int] = field(default_factory=lambda: _UNHEARD_OF)
    observed: tuple[Observed, ...] = ()
    latest: datetime | None = None
    promises: int = 0


_NOTHING = Standing()
_SHRINK: Mapping[AdjustmentReason, str] = {
    AdjustmentReason.BREAKAGE: SHRINK_BREAKAGE,
    AdjustmentReason.EXPIRY: SHRINK_EXPIRY,
    AdjustmentReason.THEFT: SHRINK_THEFT,
    AdjustmentReason.UNKNOWN_LOSS: SHRINK_UNKNOWN,
    AdjustmentReason.COUNT: COUNT_DIFFERENCE,
}


def decide(command: Command, item: StockItem) -> Sequence[Event]:  # noqa: PLR0911 - one per kind
    match command:
        case Check(quantity):
            _expect_free(quantity, item)
            return []
        case Hold() | Allocate():
            return _promise(command, item)
        case Confirm() | Release():
            return _settle(command, item)
        case MoveAway() | MoveHere():
            return _change_place(command, item)
        case Observe():
            return _observe(command, item)
        case Post():
            return _post(command, item)
        case (
            Receive()
            | Adjust()
            | SellAtTill()
            | TakeBack()
            | PromiseOnline()
            | Pick()
            | Short()
            | PutBack()
            | HandOver()
            | Ship()
            | Deliver()
        ):
            return _move(command, item)
        case _:
            assert_never(command)


def _promise(command: Hold | Allocate, item: StockItem) -> Sequence[Event]:
    quantity = command.quantity
    reserved = item.open.get(command.reservation_id) or _NOTHING
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
        _expect_free(-changes[FREE], item)
    return [
        _entry(
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
    had = item.open.get(reservation_id) or _NOTHING
    return max(quantity - had.held - had.allocated - had.picked - had.transit - had.ahead, 0)


def _expect_free(quantity: int, item: StockItem) -> None:
    if quantity > item.buckets.free:
        raise Rejected(
            Refusal.OUT_OF_STOCK,
            f"{quantity} wanted, {max(item.buckets.free, 0)} free; ask for less or elsewhere",
        )


def _settle(command: Confirm | Release, item: StockItem) -> Sequence[Event]:
    reserved = item.open.get(command.reservation_id) or _NOTHING
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
        _entry(
            item,
            cause,
            changes,
            quantity,
            moment_after(item.observed, command.occurred_at),
            reservation_id=command.reservation_id,
        )
    ]


def _change_place(command: MoveAway | MoveHere, item: StockItem) -> Sequence[Event]:
    reservation_id, quantity = command.reservation_id, command.quantity
    if isinstance(command, MoveHere):
        _expect_free(quantity, item)
        account = ALLOCATED if command.is_allocated else HELD
        cause, changes = Cause.MOVED_HERE, {account: quantity, FREE: -quantity}
    else:
        reserved = item.open.get(reservation_id) or _NOTHING
        taken, lacking = _take(reserved, (HELD, ALLOCATED), quantity)
        if lacking:
            raise Rejected(
                Refusal.STEP_CONFLICT,
                f"reservation {reservation_id} has {quantity - lacking} left here that nobody has"
                f" picked, not {quantity}; move at most that",
            )
        cause, changes = Cause.MOVED_AWAY, {FREE: quantity, **taken}
    at = moment_after(item.observed, command.occurred_at)
    return [_entry(item, cause, changes, quantity, at, reservation_id=reservation_id)]


type _Reserved = PromiseOnline | Pick | Short | PutBack | HandOver | Ship | Deliver
type _Sourced = Receive | Adjust | SellAtTill | TakeBack | _Reserved


def _post(command: Post, item: StockItem) -> Sequence[Event]:
    cause, fresh = command.cause, sort_out(command, item).fresh
    if not fresh:
        return []
    gains, loses = command.accounts()
    # What an image has seen is taken back movement by movement; the others share an entry.
    seen_at = item.observed[-1].at if item.observed else None
    late = [one for one in fresh if seen_at is not None and one.occurred_at <= seen_at]
    rest = tuple([one for one in fresh if seen_at is None or one.occurred_at > seen_at])
    if len(rest) == 1:
        late, rest = [*late, *rest], ()
    entries: list[Event] = []
    for report in late:
        changes = postings.changes(gains, loses, [report])
        _expect_set_aside(changes, item)  # each entry has a balance of its own
        more = _with_offsets(item, cause, changes, report)
        for entry in more:
            item = evolve(item, entry)
        entries += more
    if rest:
        changes = postings.changes(gains, loses, rest)
        _expect_set_aside(changes, item)
        latest = max([report.occurred_at for report in rest])
        entries.append(_entry(item, cause, changes, changes[gains], latest, reports=rest))
    return entries


def _expect_set_aside(changes: Mapping[str, int], item: StockItem) -> None:
    for account, moved in changes.items():
        if account in postings.MUST_BE_THERE:
            there: int = getattr(item.buckets, account)
            if moved < -there:
                raise Rejected(
                    Refusal.OUT_OF_STOCK,
                    f"{-moved} wanted of {account}, {there} there; record what put it there first",
                )


@dataclass(frozen=True, slots=True)
class Sorted:
    """Reports by what is to become of them.

    Attributes:
        fresh: To be counted now.
        mismatched: Id and quantity of those whose id was counted before as something else. What
            is in neither was counted before as the same.
    """

    fresh: tuple[Report, ...]
    mismatched: frozenset[tuple[str, int]]


def sort_out(command: Post, item: StockItem) -> Sorted:
    """Tell new reports from those that are counted already, also earlier in the same command."""
    cause = command.cause
    seen: dict[str, int] = {}
    fresh: list[Report] = []
    mismatched: set[tuple[str, int]] = set()
    for report in command.reports:
        source_id = report.source_id
        content = fingerprint(cause, report.quantity, "")
        counted = seen.get(source_id)
        if counted is None:
            known = item.sources.get(source_id)
            counted = None if known is None else content_of(known)
        if counted is None:
            seen[source_id] = content
            fresh.append(report)
        elif counted != content:
            mismatched.add((source_id, report.quantity))
    return Sorted(tuple(fresh), frozenset(mismatched))


def _move(command: _Sourced, item: StockItem) -> Sequence[Event]:
    cause = _cause_of(command)
    reservation_id = command.reservation_id if isinstance(command, _RESERVED) else ""
    if _is_repeat(item, command.source_id, fingerprint(cause, command.quantity, reservation_id)):
        return []
    report = Report(command.source_id, command.quantity, command.occurred_at)
    if isinstance(command, Pick):
        return _picked(report, reservation_id, item)
    changes, ahead = _changes(command, item)
    return _with_offsets(item, cause, changes, report, reservation_id, ahead)


def _picked(report: Report, reservation_id: str, item: StockItem) -> list[Event]:
    """Return the entries of a pick; of what had left already, that it was in a tote until then."""
    reserved = item.open.get(reservation_id) or _NOTHING
    late = caught_up(reserved, min(reserved.ahead, report.quantity))[0]
    before = report.quantity - sum(part.quantity for part in late)
    more: list[Event] = []
    if before:
        pick = Pick(reservation_id, before, report.source_id, report.occurred_at)
        changes, ahead = _reserved_changes(pick, replace(reserved, ahead=timeless(reserved)))
        more = _with_offsets(item, Cause.PICK, changes, report, reservation_id, ahead)
    entries = [*more]
    for part in late:
        for entry in more:
            item = evolve(item, entry)
        changes = {PICKED: part.quantity, part.account: -part.quantity}
        more = _with_offsets(
            item, Cause.PICK, changes, report, reservation_id, -part.quantity, part.occurred_at
        )
        entries += more
    return entries


def _with_offsets(
    item: StockItem,
    cause: Cause,
    changes: Mapping[str, int],
    report: Report,
    reservation_id: str = "",
    ahead: int = 0,
    undone_at: datetime | None = None,
) -> list[Event]:
    """Return a movement's entry, and those that take back what an image has seen of it already.

    One that was undone at another time moves nothing today: its two reports tell the past of it.
    """
    moves = [(changes, report.occurred_at)]
    reports: tuple[Report, ...] = ()
    if undone_at is not None:
        moves.append(({account: -moved for account, moved in changes.items()}, undone_at))
        moved = changes[PICKED]
        reports = (
            Report(report.source_id, moved, report.occurred_at),
            Report(report.source_id, -moved, undone_at),
        )
        changes = dict.fromkeys(changes, 0)
    late = list(offsets(item.observed, moves))
    entries: list[Event] = []
    # What gives back to free comes first: a late sale that an image has seen already never makes
    # it look as if too much had been promised.
    for offset in [each for each in late if each.quantity > 0]:
        entries.append(_taken_back(item, offset, report.source_id))
        item = evolve(item, entries[-1])
    quantity, occurred_at, source_id = report.quantity, report.occurred_at, report.source_id
    entries.append(
        _entry(
            *(item, cause, changes, quantity, occurred_at, source_id, reservation_id, ahead),
            reports=reports,
        )
    )
    for offset in [each for each in late if each.quantity < 0]:
        item = evolve(item, entries[-1])
        entries.append(_taken_back(item, offset, report.source_id))
    return entries


def _is_repeat(item: StockItem, source_id: str, content: int) -> bool:
    counted = item.sources.get(source_id)
    if counted is None or content_of(counted) == content:
        return counted is not None
    raise Rejected(
        Refusal.IDEMPOTENCY_MISMATCH,
        f"source id {source_id} was used for another movement; send a new one",
    )


def expect_same_time(
    item: StockItem, source_id: str, told_at: datetime, also: Sequence[datetime] = ()
) -> None:
    """Refuse what was counted as of one time and is told of another, but for a faster clock.

    Facts of our own feeds tell their time by themselves, so only what sources send is asked. Who
    says no zone may have been taken to mean one of several times (``also``).
    """
    counted = item.sources.get(source_id)
    if counted is None:
        return
    if all(is_of_another_time(counted, at) for at in (told_at, *also)):
        raise Rejected(
            Refusal.IDEMPOTENCY_MISMATCH,
            f"source id {source_id} was counted as of another time than"
            f" {told_at.isoformat(timespec='seconds')}; send a new one, or the time that it had",
        )


def _taken_back(item: StockItem, offset: Offset, source_id: str) -> EntryPosted:
    seen = offset.image
    return _entry(
        item,
        Cause.IMAGE_OFFSET,
        {FREE: offset.quantity, DIFFERENCE[Seen(seen.by)]: -offset.quantity},
        abs(offset.quantity),
        seen.at,
        image=Image(seen.basis, seen.has_picked, offset_of=source_id),
    )


def _observe(command: Observe, item: StockItem) -> Sequence[Event]:
    image = Image(command.basis, command.has_picked, command.counted, command.expected)
    same = fingerprint(command.by, command.counted, what(image))
    if _is_repeat(item, command.source_id, same):
        return []
    is_kept = bool(item.observed) and command.occurred_at < item.observed[-1].at
    difference = 0 if is_kept else command.counted - command.expected
    return [
        _entry(
            item,
            KEPT[command.by] if is_kept else Cause(command.by.value),
            {FREE: difference, DIFFERENCE[command.by]: -difference},
            command.counted,
            command.occurred_at,
            command.source_id,
            image=image,
        )
    ]


_RESERVED = (PromiseOnline, Pick, Short, PutBack, HandOver, Ship, Deliver)


def _cause_of(command: _Sourced) -> Cause:  # noqa: C901, PLR0911 - one line per command
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


def _changes(command: _Sourced, item: StockItem) -> tuple[dict[str, int], int]:
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
            had = item.open.get(command.reservation_id) or _NOTHING
            return _online_changes(command, had, item), 0
        case Pick() | Short() | PutBack() | HandOver() | Ship() | Deliver():
            return _reserved_changes(command, item.open.get(command.reservation_id) or _NOTHING)
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
            _expect_free(quantity, item)
            return {HELD: quantity, FREE: -quantity}
        case Cause.CONFIRM:
            taken, lacking = _take(reserved, (HELD,), quantity)
            if lacking:
                _expect_free(lacking, item)
            return {ALLOCATED: quantity, FREE: -lacking, **taken}
        case Cause.RELEASE:
            taken, lacking = _take(reserved, (HELD, ALLOCATED), quantity)
            if lacking:
                raise _lacks(command, quantity - lacking)
            return {FREE: quantity, **taken}
        case _:
            assert_never(command.cause)


def _lacks(command: _Reserved, there: int) -> Rejected:
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
            taken, lacking = _take(reserved, (ALLOCATED, HELD), quantity - caught_up)
            return {PICKED: quantity - caught_up, FREE: -lacking, **taken}, -caught_up
        case Short():
            gains = DAMAGED if command.is_damaged else SHRINK_UNKNOWN
            taken, lacking = _take(reserved, (ALLOCATED, HELD), quantity)
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
    taken, lacking = _take(reserved, sources, quantity)
    if lacking:
        if not (taken and isinstance(command, HandOver | Ship) and command.may_be_over):
            raise _lacks(command, quantity - lacking)
        taken[FREE] = -lacking
    ahead = -(taken.get(ALLOCATED, 0) + taken.get(HELD, 0) + taken.get(FREE, 0))
    return {gains: quantity, **taken}, ahead


def _take(
    reserved: Reserved, accounts: tuple[str, ...], quantity: int
) -> tuple[dict[str, int], int]:
    """Return what is taken from each account, in order and negative, and what they lack."""
    taken: dict[str, int] = {}
    for account in accounts:
        part = min(getattr(reserved, account), quantity)
        if part:
            taken[account] = -part
            quantity -= part
    return taken, quantity


def _entry(
    item: StockItem,
    cause: Cause,
    changes: Mapping[str, int],
    quantity: int,
    occurred_at: datetime,
    source_id: str = "",
    reservation_id: str = "",
    ahead: int = 0,
    image: Image | None = None,
    reports: tuple[Report, ...] = (),
) -> EntryPosted:
    """Return the entry for these changes, with the balances it leads to."""
    gain = changes.get
    free, held, allocated = gain(FREE, 0), gain(HELD, 0), gain(ALLOCATED, 0)
    picked = gain(PICKED, 0)
    there = item.buckets
    after = Buckets(
        there.free + free,
        there.held + held,
        there.allocated + allocated,
        there.picked + picked,
        there.quarantine + gain(QUARANTINE, 0),
        there.damaged + gain(DAMAGED, 0),
    )
    reserved = None
    if reservation_id:
        had = item.open.get(reservation_id) or _NOTHING
        reserved = Reserved(
            had.held + held,
            had.allocated + allocated,
            had.picked + picked,
            had.transit + gain(TRANSIT, 0),
            had.ahead + ahead,
            still_ahead(had, changes, ahead, occurred_at),
        )
    return EntryPosted(
        str(cause),
        tuple([Posting(account, moved) for account, moved in changes.items() if moved or reports]),
        after,
        quantity,
        occurred_at,
        source_id,
        reservation_id,
        reserved,
        image,
        reports,
    )


def evolve(item: StockItem, event: Event) -> StockItem:
    open_now, promises = item.open, item.promises
    if event.reserved is not None:
        reservation_id = event.reservation_id
        if event.reserved.is_over:
            open_now = open_now.excluding(reservation_id)
        else:
            before = open_now.get(reservation_id) or _NOTHING
            promises += not before.promised
            since = before.since if before.promised else promises
            open_now = open_now.including(reservation_id, _standing(event.reserved, since))
    if event.shares:
        if event.cause == Cause.HOLD:
            open_now = open_now.including_all(
                {
                    share.reservation_id: Standing(share.quantity, since=since)
                    for since, share in enumerate(event.shares, promises + 1)
                }
            )
            promises += len(event.shares)
        else:
            open_now = open_now.excluding_all([s.reservation_id for s in event.shares])
    sources = item.sources
    if event.source_id:
        counted = with_time(_fingerprint_of(event), event.occurred_at)
        sources = sources.including(event.source_id, counted)
    elif event.reports:
        cause = event.cause
        sources = sources.including_all(
            {
                one.source_id: with_time(fingerprint(cause, one.quantity, ""), one.occurred_at)
                for one in event.reports
            }
        )
    latest = item.latest
    if latest is None or event.occurred_at > latest:
        latest = event.occurred_at
    observed = item.observed if event.image is None else including(item.observed, event)
    return StockItem(event.after, open_now, sources, observed, latest, promises)


def _standing(has: Reserved, since: int) -> Standing:
    return Standing(
        *(has.held, has.allocated, has.picked, has.transit, has.ahead), left=has.left, since=since
    )


def _fingerprint_of(event: EntryPosted) -> int:
    if event.image is None:
        return fingerprint(event.cause, event.quantity, event.reservation_id)
    by = Seen.STOCKTAKE if event.cause in _BY_A_PERSON else Seen.IMAGE
    return fingerprint(by, event.quantity, what(event.image))


_BY_A_PERSON = (Cause.STOCKTAKE, Cause.STOCKTAKE_KEPT)


STOCK_ITEM: Decider[Command, StockItem, Event] = Decider(StockItem(), decide, evolve)
STOCK: Kind[Command, StockItem, Event] = Kind("stock", STOCK_ITEM)


def stock_key(site_id: str, sku: str) -> str:
    """Return the key of the stock item's stream; ids hold no bar."""
    return f"{site_id}|{sku}"


def site_and_sku(key: str) -> tuple[str, str]:
    """Return what the key of a stock item's stream is made of."""
    site_id, _, sku = key.partition("|")
    return site_id, sku
