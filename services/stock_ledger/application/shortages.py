"""What lacks for a promise or stands in its way, and how the refusal says it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from services.kernel.application.work import Work
from services.kernel.domain.errors import Rejected
from services.stock_ledger.application.ports import Alternatives
from services.stock_ledger.domain import stock_commands, stock_promises
from services.stock_ledger.domain import stock_item as stock
from services.stock_ledger.domain.reservation_events import Line
from services.stock_ledger.domain.stock_item import STOCK, stock_key


async def shortages_of(work: Work, lines: Iterable[Line]) -> tuple[Line, ...]:
    """Return the lines that lack stock, with the quantity that is free."""
    short = []
    for line in lines:
        key = stock_key(line.site_id, line.sku)
        if (await work.state(STOCK, key)).state.buckets.free >= line.quantity:
            continue
        try:  # a state at hand may be behind the log; a refused check never is
            await work.handle(STOCK, key, stock_commands.Check(line.quantity))
        except Rejected:
            free = (await work.state(STOCK, key)).state.buckets.free
            short.append(Line(line.site_id, line.sku, max(free, 0)))
    return tuple(short)


async def missing_of(work: Work, reservation_id: str, lines: Sequence[Line]) -> tuple[Line, ...]:
    """Return what of these lines the reservation neither has nor was picked for it."""
    await work.read_on(STOCK, [stock_key(line.site_id, line.sku) for line in lines])
    left = []
    for line in lines:
        item = (await work.state(STOCK, stock_key(line.site_id, line.sku))).state
        left.append(
            replace(line, quantity=stock_promises.missing(reservation_id, line.quantity, item))
        )
    return tuple([line for line in left if line.quantity])


async def expect_unheld(work: Work, reservation_id: str, lines: Iterable[Line]) -> None:
    """Refuse before anything is decided what a stock item would refuse after others had held.

    A unit of many rows goes on after a refusal: it would keep the half that was held by then.

    Raises:
        Rejected: Somebody, say an e-commerce platform, holds another quantity under this id.
    """
    for line in lines:
        key = stock_key(line.site_id, line.sku)
        had = (await work.state(STOCK, key)).state.open.get(reservation_id)
        if had is None or had.held in (0, line.quantity):
            continue
        await work.read_on(STOCK, [key])  # a state at hand may be behind the log
        item = (await work.state(STOCK, key)).state
        stock.decide(stock_commands.Hold(reservation_id, line.quantity, work.now), item)


async def is_promised_some(work: Work, reservation_id: str, lines: Iterable[Line]) -> bool:
    """Say whether something of these lines is held or allocated under this id already.

    A platform may report its own promises under any id; see ``PromiseOnline``.
    """
    for line in lines:
        key = stock_key(line.site_id, line.sku)
        had = (await work.state(STOCK, key)).state.open.get(reservation_id)
        if had is None or not had.promised:
            continue
        await work.read_on(STOCK, [key])  # a state at hand may be behind the log
        had = (await work.state(STOCK, key)).state.open.get(reservation_id)
        if had is not None and had.promised:
            return True
    return False


async def out_of_stock(
    work: Work, alternatives: Alternatives, lines: Sequence[Line], shortages: Sequence[Line]
) -> Rejected:
    """Return the refusal of lines for their shortages, with who else has some."""
    wanted = {(line.site_id, line.sku): line for line in lines}
    lacking = [wanted[short.site_id, short.sku] for short in shortages]
    first, free = lacking[0], shortages[0].quantity
    return Rejected(
        stock_commands.Refusal.OUT_OF_STOCK,
        f"{len(lacking)} of {len(lines)} lines lack stock: {first.sku} at {first.site_id} has"
        f" {free} free of {first.quantity}; ask for less, or at one of the alternatives",
        await alternatives(work.sql, work.cause.tenant, lacking),
    )
