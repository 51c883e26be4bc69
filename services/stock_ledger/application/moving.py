"""Having in one place what was promised in another: both sides in one unit, or nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from services.kernel.application.work import Versioned, Work
from services.kernel.domain.errors import NotFound, Rejected
from services.stock_ledger.application.discrepancies import note
from services.stock_ledger.application.giving_back import surely
from services.stock_ledger.application.ports import Alternatives, PickedFor, nowhere_picked
from services.stock_ledger.application.shortages import missing_of, out_of_stock, shortages_of
from services.stock_ledger.domain import stock_commands
from services.stock_ledger.domain.reservation import RESERVATION
from services.stock_ledger.domain.reservation_commands import Move, Refusal, RefuseMove, Restore
from services.stock_ledger.domain.reservation_events import Line, ReservationMoved
from services.stock_ledger.domain.reservation_lines import by_place, summed
from services.stock_ledger.domain.reservation_state import Reservation, Status
from services.stock_ledger.domain.stock_item import STOCK, stock_key


@dataclass(frozen=True, slots=True)
class Kept:
    """What an order has apart from the plan that it declined, as it was planned.

    Attributes:
        lines: All of it.
        awaited: Of this, what is to be picked yet.
        begun: Finds where something was picked or has left for an order.
    """

    lines: Sequence[Line] = ()
    awaited: Sequence[Line] = ()
    begun: PickedFor = nowhere_picked


NOTHING_KEPT = Kept()


async def move_to(
    work: Work,
    reservation_id: str,
    sites: tuple[str, str],
    wanted: Mapping[str, int],
    alternatives: Alternatives,
) -> tuple[Versioned[Reservation], Sequence[Line]]:
    """Move what a reservation has at one site to another, for a caller that waits.

    The id of the command is the id of the move: sent again, it is answered as before.

    Args:
        work: The unit.
        reservation_id: Which; not an order's, whose plan says where it is prepared.
        sites: From where, and to where.
        wanted: Base units by product; none: all that it still has there and nobody has picked.
        alternatives: Finds other sites for what the new one lacks.

    Returns:
        The reservation, and what it has at the new site by this move.

    Raises:
        NotFound: There never was such a reservation.
        Rejected: The new site lacks stock, the old one has not so much of it, or it ran out.
    """
    from_site_id, to_site_id = sites
    known = await surely(work, reservation_id)
    if known.status is Status.NEW:
        raise NotFound("reservation", reservation_id)
    move_id = work.cause.command_id
    before = known.moved(move_id)
    if before is not None:
        _expect_same(before, sites, wanted)
        return await work.state(RESERVATION, reservation_id), before.came
    if known.order_id:
        raise Rejected(
            Refusal.STEP_CONFLICT,
            f"the stock belongs to order {known.order_id}, whose plan says where it is prepared;"
            " cancel the order, or leave it",
        )
    left = await _left_at(work, reservation_id, known, from_site_id, wanted)
    came = tuple([Line(to_site_id, line.sku, line.quantity) for line in left])
    await work.load(STOCK, [stock_key(line.site_id, line.sku) for line in came])
    if known.is_promised and (shortages := await shortages_of(work, came)):
        raise await out_of_stock(work, alternatives, came, shortages)
    await carry_over(work, reservation_id, Move(move_id, left, came, work.now))
    return await work.state(RESERVATION, reservation_id), came


def _expect_same(
    before: ReservationMoved, sites: tuple[str, str], wanted: Mapping[str, int]
) -> None:
    moved = {line.sku: line.quantity for line in before.came}
    places = {
        (left.site_id, came.site_id) for left, came in zip(before.left, before.came, strict=True)
    }
    if places != {sites} or (wanted and wanted != moved):
        raise Rejected(
            Refusal.IDEMPOTENCY_MISMATCH,
            "this request id was used for another move: choose a new one",
        )


async def _left_at(
    work: Work, reservation_id: str, known: Reservation, site_id: str, wanted: Mapping[str, int]
) -> tuple[Line, ...]:
    if wanted:
        return summed([Line(site_id, sku, quantity) for sku, quantity in wanted.items()])
    promised = [line for line in known.lines if line.site_id == site_id]
    await work.load(STOCK, [stock_key(site_id, line.sku) for line in promised])
    left = []
    for line in promised:
        item = (await work.state(STOCK, stock_key(site_id, line.sku))).state
        reserved = item.open.get(reservation_id)
        if reserved is not None and reserved.held + reserved.allocated:
            left.append(Line(site_id, line.sku, reserved.held + reserved.allocated))
    if known.is_promised and not left:
        raise Rejected(
            Refusal.STEP_CONFLICT,
            f"nothing of the reservation is left at {site_id} that nobody has picked;"
            " read it again",
        )
    return summed(left)


async def carry_over(work: Work, reservation_id: str, move: Move) -> None:
    """Carry out a move: on the reservation, on what it leaves, on where it comes to."""
    known = (await work.state(RESERVATION, reservation_id)).state
    await work.load(STOCK, [stock_key(line.site_id, line.sku) for line in (*move.left, *move.came)])
    if not await work.handle(RESERVATION, reservation_id, move):
        return
    for line in move.left:
        key = stock_key(line.site_id, line.sku)
        entries = await work.handle(
            STOCK, key, stock_commands.MoveAway(reservation_id, line.quantity, work.now)
        )
        await note(work, {key: entries})
    for line in move.came:
        await work.handle(
            STOCK,
            stock_key(line.site_id, line.sku),
            stock_commands.MoveHere(
                reservation_id, line.quantity, known.status is Status.CONFIRMED, work.now
            ),
        )


async def move_plan(
    work: Work,
    order_id: str,
    plan_revision: int,
    left: Sequence[Line],
    came: Sequence[Line],
) -> None:
    """Move what an order has to where a newer plan wants it, or record that it cannot be.

    An older plan, one heard again, and one for an order that has ended are passed over.
    """
    known = await surely(work, order_id)
    is_old = plan_revision <= known.plan_revision
    if known.status is not Status.CONFIRMED or is_old or known.is_no_orders:
        return
    left, came = summed(left), summed(came)
    await work.load(STOCK, [stock_key(line.site_id, line.sku) for line in (*left, *came)])
    shortages: Sequence[Line] = ()
    is_there = await _is_all_allocated(work, order_id, left)
    if is_there:
        shortages = await shortages_of(work, came)
    if shortages or not is_there:
        await work.handle(RESERVATION, order_id, RefuseMove(plan_revision, tuple(shortages)))
        return
    move = Move(f"plan-{plan_revision}", left, came, work.now, plan_revision)
    await carry_over(work, order_id, move)


async def give_up(
    work: Work,
    order_id: str,
    plan_revision: int,
    lines: Sequence[Line],
    kept: Kept = NOTHING_KEPT,
) -> None:
    """Give back what was moved, or held, for a plan that the order did not take up.

    What was picked of it stays, and what is to be picked yet: the groups that the order keeps may
    have some of the same product at the same site. An order that is completed with those it kept
    holds nothing again.
    """
    known = await surely(work, order_id)
    # Or all of it was held for that plan, after the hold that the order was accepted on had ended.
    is_theirs = (
        known.moved(f"plan-{plan_revision}") is not None or known.plan_revision == plan_revision
    )
    if not is_theirs or known.status not in (Status.CONFIRMED, Status.CLOSED):
        return
    left = await _allocated_of(work, order_id, known, summed(lines), kept)
    if left:  # else it ended, and gave everything back, or all of it was picked
        await carry_over(work, order_id, Move(f"kept-{plan_revision}", left, (), work.now))
    if known.status is Status.CONFIRMED and plan_revision > known.restored:
        await _restore(work, order_id, plan_revision, kept)


async def _restore(work: Work, order_id: str, plan_revision: int, kept: Kept) -> None:
    """Promise again what the order keeps and somebody is still to pick, as far as it is there.

    The plan may have been held wholly elsewhere: then nothing was left where the order stays. What
    lacks is found by the picker, or shorted.
    """
    awaited = summed(kept.awaited)
    await work.load(STOCK, [stock_key(line.site_id, line.sku) for line in awaited])
    lacking = await missing_of(work, order_id, awaited)
    if not lacking:
        return
    # Where something of it was picked or has left by now, nobody knows how much is still awaited.
    places = [(line.site_id, line.sku) for line in lacking]
    begun = await kept.begun(work.sql, work.cause.tenant, order_id, places)
    wanted = by_place(awaited)
    back, in_all = [], {}
    for line in lacking:
        place, key = (line.site_id, line.sku), stock_key(line.site_id, line.sku)
        there = min(line.quantity, (await work.state(STOCK, key)).state.buckets.free)
        if place not in begun and there > 0:
            back.append(replace(line, quantity=there))
            in_all[key] = wanted[place] - line.quantity + there
    if await work.handle(RESERVATION, order_id, Restore(plan_revision, tuple(back))):
        for key, quantity in in_all.items():
            await work.handle(STOCK, key, stock_commands.Allocate(order_id, quantity, work.now))


async def leave(work: Work, order_id: str, group_id: str, lines: Sequence[Line]) -> None:
    """Give back what an order does not need of a group: its goods weigh less than was ordered.

    Safe to repeat: the reservation knows the move by the group.
    """
    known = await surely(work, order_id)
    if known.status not in (Status.CONFIRMED, Status.CLOSED):
        return
    left = await _allocated_of(work, order_id, known, summed(lines))
    if left:  # else the order ended, and gave everything back
        await carry_over(work, order_id, Move(f"lighter-{group_id}", left, (), work.now))


async def _allocated_of(
    work: Work,
    order_id: str,
    known: Reservation,
    lines: Sequence[Line],
    kept: Kept = NOTHING_KEPT,
) -> tuple[Line, ...]:
    """Return these lines as far as the order has them allocated, by its plan, and for no other."""
    await work.load(STOCK, [stock_key(line.site_id, line.sku) for line in lines])
    promised = by_place(known.lines)
    stays, awaited = by_place(kept.lines), by_place(kept.awaited)
    left = []
    for line in lines:
        place = (line.site_id, line.sku)
        item = (await work.state(STOCK, stock_key(line.site_id, line.sku))).state
        reserved = item.open.get(order_id)
        allocated = reserved.allocated if reserved else 0
        # What is promised beyond all that stays, however much of that is picked; and at least what
        # is allocated beyond all that is to be picked: it may have been picked without a promise.
        has = promised.get(place, 0)
        beyond = max(has - stays.get(place, 0), allocated - awaited.get(place, 0), 0)
        left.append(Line(*place, min(line.quantity, has, allocated, beyond)))
    return summed(left)


async def _is_all_allocated(work: Work, order_id: str, lines: Sequence[Line]) -> bool:
    for line in lines:
        item = (await work.state(STOCK, stock_key(line.site_id, line.sku))).state
        reserved = item.open.get(order_id)
        if reserved is None or reserved.allocated < line.quantity:
            return False
    return True
