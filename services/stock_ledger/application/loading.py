"""Reading at once what a batch is going to touch."""

from collections.abc import Iterable, Mapping

from services.kernel.application.work import Work
from services.stock_ledger.domain.reservation import RESERVATION
from services.stock_ledger.domain.reservation_events import Line
from services.stock_ledger.domain.stock_item import STOCK, stock_key


async def load_plans(work: Work, plans: Mapping[str, Iterable[Line]]) -> None:
    """Read every stream that these plans, by order, are going to touch: two queries in all."""
    await work.load(RESERVATION, plans)
    await work.load(
        STOCK, {stock_key(line.site_id, line.sku) for lines in plans.values() for line in lines}
    )


async def load_reserved(work: Work, reservation_ids: Iterable[str]) -> None:
    """Read these reservations and every stock item they may still hold: two queries in all."""
    ids = set(reservation_ids)
    await work.load(RESERVATION, ids)
    lines = [line for each in ids for line in (await work.state(RESERVATION, each)).state.lines]
    await work.load(STOCK, {stock_key(line.site_id, line.sku) for line in lines})
