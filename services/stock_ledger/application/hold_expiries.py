"""Holds of one round run out together: one timer, and of each stock item one entry."""

from collections import defaultdict

from services.kernel.application.work import Work
from services.stock_ledger.application.discrepancies import note
from services.stock_ledger.application.giving_back import uncount
from services.stock_ledger.domain import reservation_commands as promise
from services.stock_ledger.domain.expiry import EXPIRY
from services.stock_ledger.domain.holder import HOLDER
from services.stock_ledger.domain.many_holds import MANY_HOLDS, ExpireAll
from services.stock_ledger.domain.reservation import RESERVATION
from services.stock_ledger.domain.stock_item import STOCK, stock_key

EXPIRIES_TIMER = "holds_expiry"


async def expire_together(key: str, work: Work) -> None:
    """Let the holds of a round run out, but for those confirmed, ended or extended since.

    Called by the round's timer, perhaps early, late or twice.
    """
    expiry = (await work.state(EXPIRY, key)).state
    if work.now < expiry.expires_at:
        await work.set_timer(expiries_timer(key), expiry.expires_at, EXPIRIES_TIMER, key)
        return
    ids = expiry.reservation_ids
    await work.load(RESERVATION, ids)
    reservations = {one: (await work.state(RESERVATION, one)).state for one in ids}
    await work.load(HOLDER, {one.holder_id for one in reservations.values() if one.holder_id})
    ended: dict[str, list[str]] = defaultdict(list)
    for reservation_id, known in reservations.items():
        if await work.handle(RESERVATION, reservation_id, promise.Expire(work.now)):
            await uncount(work, reservation_id, known)
            for line in known.lines:
                ended[stock_key(line.site_id, line.sku)].append(reservation_id)
    await work.load(STOCK, ended)
    for stock_item, of_item in ended.items():
        entries = await work.handle(MANY_HOLDS, stock_item, ExpireAll(tuple(of_item), work.now))
        await note(work, {stock_item: entries})


def expiries_timer(key: str) -> str:
    return f"{EXPIRIES_TIMER}-{key}"
