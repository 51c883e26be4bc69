"""What every end of a reservation shares: how it surely stands, and giving back what it has."""

from collections.abc import Sequence

from services.kernel.application.work import Work
from services.kernel.domain.errors import Rejected
from services.stock_ledger.application.discrepancies import note
from services.stock_ledger.domain import reservation_commands as promise
from services.stock_ledger.domain import stock_commands
from services.stock_ledger.domain.holder import HOLDER, UncountHold
from services.stock_ledger.domain.reservation import RESERVATION
from services.stock_ledger.domain.reservation_events import Line
from services.stock_ledger.domain.reservation_state import Reservation, Status
from services.stock_ledger.domain.stock_item import STOCK, stock_key

EXPIRY_TIMER = "reservation_expiry"


async def surely(work: Work, reservation_id: str) -> Reservation:
    """Return the reservation, as the log has it unless it is held.

    A state at hand may be behind the log where several processes write. One that is held leads to
    an append, which the log would refuse; all others may lead to silence, so they are read again.
    """
    known = (await work.state(RESERVATION, reservation_id)).state
    if known.status is Status.HELD:
        return known
    await work.handle(RESERVATION, reservation_id, promise.Look())
    return (await work.state(RESERVATION, reservation_id)).state


async def give_back(
    work: Work, reservation_id: str, lines: Sequence[Line], *, is_expiry: bool
) -> tuple[Line, ...]:
    await work.load(STOCK, [stock_key(line.site_id, line.sku) for line in lines])
    freed = []
    for line in lines:
        events = await work.handle(
            STOCK,
            stock_key(line.site_id, line.sku),
            stock_commands.Release(reservation_id, work.now, is_expiry),
        )
        freed += [Line(line.site_id, line.sku, event.quantity) for event in events]
        await note(work, {stock_key(line.site_id, line.sku): events})
    return tuple(freed)


async def uncount(work: Work, reservation_id: str, known: Reservation) -> None:
    """Let the holder have another hold: this one is paid for, or none any more."""
    if known.holder_id:
        await work.handle(HOLDER, known.holder_id, UncountHold(reservation_id))


def hold_timer(reservation_id: str) -> str:
    return f"{EXPIRY_TIMER}-{reservation_id}"


def an_orders(known: Reservation, what_to_do: str) -> Rejected:
    """Return the refusal of what a caller asks of an order's reservation."""
    return Rejected(
        promise.Refusal.STEP_CONFLICT,
        f"the stock belongs to order {known.order_id}; {what_to_do}",
    )
