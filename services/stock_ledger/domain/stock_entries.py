"""Making entries: changes of accounts with the balance they lead to, and what images take back."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from services.kernel.domain.errors import Rejected
from services.stock_ledger.domain.ahead import still_ahead
from services.stock_ledger.domain.counted import content_of, is_of_another_time
from services.stock_ledger.domain.entry import (
    ALLOCATED,
    DAMAGED,
    FREE,
    HELD,
    PICKED,
    QUARANTINE,
    TRANSIT,
    Buckets,
    Cause,
    EntryPosted,
    Image,
    Posting,
    Report,
    Reserved,
)
from services.stock_ledger.domain.image import DIFFERENCE, Offset, Seen, offsets
from services.stock_ledger.domain.stock_commands import Refusal
from services.stock_ledger.domain.stock_state import NOTHING, Event, StockItem, evolve


def entry_of(
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
        had = item.open.get(reservation_id) or NOTHING
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


def with_offsets(
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
        entry_of(
            *(item, cause, changes, quantity, occurred_at, source_id, reservation_id, ahead),
            reports=reports,
        )
    )
    for offset in [each for each in late if each.quantity < 0]:
        item = evolve(item, entries[-1])
        entries.append(_taken_back(item, offset, report.source_id))
    return entries


def _taken_back(item: StockItem, offset: Offset, source_id: str) -> EntryPosted:
    seen = offset.image
    return entry_of(
        item,
        Cause.IMAGE_OFFSET,
        {FREE: offset.quantity, DIFFERENCE[Seen(seen.by)]: -offset.quantity},
        abs(offset.quantity),
        seen.at,
        image=Image(seen.basis, seen.has_picked, offset_of=source_id),
    )


def is_repeat(item: StockItem, source_id: str, content: int) -> bool:
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


def take_from(
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
