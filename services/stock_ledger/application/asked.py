"""Rows that ask something of reservations: reserve, confirm, release; a whole one at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from services.kernel.application.work import Work
from services.kernel.domain.errors import NotFound, Rejected
from services.stock_ledger.application.feeds import Posted
from services.stock_ledger.application.giving_back import surely
from services.stock_ledger.application.handlers import Reservations
from services.stock_ledger.application.loading import load_reserved
from services.stock_ledger.application.sent_again import begin_anew
from services.stock_ledger.domain.reservation_events import Line
from services.stock_ledger.domain.reservation_lines import summed
from services.stock_ledger.domain.reservation_state import Reservation, Status
from services.stock_ledger.domain.stock_item import STOCK, stock_key


class Action(StrEnum):
    RESERVE = "reserve"
    CONFIRM = "confirm"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Asked:
    """A row of a reservation; site, product and quantity count for RESERVE only."""

    index: int
    reservation_id: str
    action: Action
    line: Line
    hold_seconds: int = 0


async def post_reservations(
    work: Work, rows: Sequence[Asked], reservations: Reservations
) -> Posted:
    """Carry out what is asked of reservations, in the order of their first rows."""
    await load_reserved(work, {row.reservation_id for row in rows})
    await work.load(
        STOCK,
        {stock_key(row.line.site_id, row.line.sku) for row in rows if row.action is Action.RESERVE},
    )
    posted = Posted()
    together: dict[tuple[str, Action], list[Asked]] = {}
    for row in rows:
        together.setdefault((row.reservation_id, row.action), []).append(row)
    begin_anew(
        work,
        {
            key: _is_done(await surely(work, key[0]), key[1], asked)
            for key, asked in together.items()
        },
    )
    for (reservation_id, action), asked in together.items():
        try:
            has_changed = await _carry_out(work, reservations, reservation_id, action, asked)
        except (Rejected, NotFound) as refusal:
            posted.refuse([row.index for row in asked], refusal)
            continue
        posted.recorded += len(asked) * has_changed
        posted.duplicates += len(asked) * (not has_changed)
    return posted


async def _carry_out(
    work: Work,
    reservations: Reservations,
    reservation_id: str,
    action: Action,
    asked: Sequence[Asked],
) -> bool:
    """Return whether it changed anything."""
    known = await surely(work, reservation_id)
    if _is_done(known, action, asked):
        return False
    match action:
        case Action.RESERVE:
            lines = [row.line for row in asked]
            seconds = max(row.hold_seconds for row in asked)
            hold_for = timedelta(seconds=seconds) if seconds else None
            await reservations.reserve(work, reservation_id, lines, hold_for)
        case Action.CONFIRM:
            await reservations.confirm(work, reservation_id, refuse=True)
        case Action.RELEASE:
            await reservations.release(work, reservation_id)
    return (await surely(work, reservation_id)).status is not known.status


def _is_done(known: Reservation, action: Action, asked: Sequence[Asked]) -> bool:
    """Say whether this was carried out before, whatever became of the reservation since."""
    match action:
        case Action.RESERVE:
            lines = [row.line for row in asked]
            return known.status is not Status.NEW and summed(lines) == summed(known.asked)
        case Action.CONFIRM:
            return known.was_confirmed
        case Action.RELEASE:
            return known.status is Status.RELEASED
