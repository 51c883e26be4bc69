"""When the books go below zero, who was promised last may not get it: told in the same unit.

A hold ends at once, and its order is planned anew by sourcing like any whose hold expired. An
allocation belongs to an accepted order and stands; that it may lack units is published, and
sourcing looks for another site. Only a plan moves it (application/moving.py).
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import batched

from services.kernel.application.work import Work
from services.stock_ledger.application.discrepancies import note
from services.stock_ledger.application.giving_back import give_back, hold_timer, uncount
from services.stock_ledger.domain import reservation_commands as promise
from services.stock_ledger.domain.entry import EntryPosted
from services.stock_ledger.domain.reservation import RESERVATION
from services.stock_ledger.domain.reservation_events import Line, ReservationExpired
from services.stock_ledger.domain.standing import newest
from services.stock_ledger.domain.stock_item import STOCK, site_and_sku

_MOST_PROMISES = 5_000
_PAGE_PROMISES = 100


async def watch(work: Work, posted: Mapping[str, Sequence[EntryPosted]]) -> None:
    """Note what these entries open and close; tell the newest promises until it is covered."""
    missing = await note(work, posted)
    endangered: dict[str, list[Line]] = defaultdict(list)
    for key, lacks in missing.items():
        async for reservation_id, part in _last_promised(work, key, lacks):
            endangered[reservation_id].append(Line(*site_and_sku(key), part))
    for reservation_id, lines in endangered.items():
        known = (await work.state(RESERVATION, reservation_id)).state
        events = await work.handle(RESERVATION, reservation_id, promise.Withdraw(tuple(lines)))
        if any(isinstance(event, ReservationExpired) for event in events):
            await work.cancel_timer(hold_timer(reservation_id))
            await give_back(work, reservation_id, known.lines, is_expiry=True)
            await uncount(work, reservation_id, known)


async def _last_promised(work: Work, key: str, lacks: int) -> AsyncIterator[tuple[str, int]]:
    """Yield who was promised what lacks, newest first, and how much of it.

    The stock item is exact: this unit has just appended to it. What an e-commerce platform reports
    of its own promises is nobody's reservation here; nobody could be told, so it covers nothing.
    """
    item = (await work.state(STOCK, key)).state
    for page in batched(newest(item.open.items(), _MOST_PROMISES), _PAGE_PROMISES):
        await work.read_on(RESERVATION, [one.reservation_id for one in page])
        for one in page:
            known = (await work.state(RESERVATION, one.reservation_id)).state
            if not known.is_promised:
                continue
            part = min(lacks, one.quantity)
            yield one.reservation_id, part
            lacks -= part
            if not lacks:
                return
