"""When the books go below zero, who was promised last may not get it: told in the same unit.

A hold ends at once, and its order is planned anew by sourcing like any whose hold expired. An
allocation belongs to an accepted order and stands; that it may lack units is published, and
sourcing looks for another site. Only a plan moves it (application/moving.py).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from services.kernel.application.work import Work
from services.stock_ledger.application.discrepancies import note
from services.stock_ledger.application.giving_back import give_back, hold_timer, surely, uncount
from services.stock_ledger.application.ports import NewestPromises
from services.stock_ledger.domain import reservation as promise
from services.stock_ledger.domain.entry import EntryPosted
from services.stock_ledger.domain.reservation import RESERVATION, Line
from services.stock_ledger.domain.stock_item import site_and_sku


async def watch(
    work: Work, posted: Mapping[str, Sequence[EntryPosted]], newest: NewestPromises
) -> None:
    """Note what these entries open and close; tell the newest promises until it is covered."""
    missing = await note(work, posted)
    if not missing:
        return
    lacking = {site_and_sku(key): quantity for key, quantity in missing.items()}
    endangered: dict[str, list[Line]] = defaultdict(list)
    for one in await newest(work.sql, work.cause.tenant, list(lacking)):
        place = (one.site_id, one.sku)
        part = min(lacking[place], one.quantity)
        if part > 0:
            lacking[place] -= part
            endangered[one.reservation_id].append(Line(*place, part))
    if endangered:
        await work.load(RESERVATION, endangered)
    for reservation_id, lines in endangered.items():
        known = await surely(work, reservation_id)
        events = await work.handle(RESERVATION, reservation_id, promise.Withdraw(tuple(lines)))
        if any(isinstance(event, promise.ReservationExpired) for event in events):
            await work.cancel_timer(hold_timer(reservation_id))
            await give_back(work, reservation_id, known.lines, is_expiry=True)
            await uncount(work, reservation_id, known)
