"""A stock item's state: the balance, who was promised what, and what was counted already."""

from dataclasses import field
from datetime import datetime

from services.kernel.domain.record import record
from services.stock_ledger.domain.counted import fingerprint, with_time
from services.stock_ledger.domain.entry import Buckets, Cause, EntryPosted, Reserved
from services.stock_ledger.domain.image import Observed, Seen, including, what
from services.stock_ledger.domain.persistent_map import PersistentMap
from services.stock_ledger.domain.standing import Standing

type Event = EntryPosted
_NOBODY: PersistentMap[Standing] = PersistentMap()
_UNHEARD_OF: PersistentMap[int] = PersistentMap()
NOTHING = Standing()
_BY_A_PERSON = (Cause.STOCKTAKE, Cause.STOCKTAKE_KEPT)


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


def evolve(item: StockItem, event: Event) -> StockItem:
    open_now, promises = item.open, item.promises
    if event.reserved is not None:
        reservation_id = event.reservation_id
        if event.reserved.is_over:
            open_now = open_now.excluding(reservation_id)
        else:
            before = open_now.get(reservation_id) or NOTHING
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
