"""Promises over several stock items. Each use case is one unit of work: all of it, or nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from services.kernel.application.work import Versioned, Work
from services.kernel.domain.errors import NotFound, Rejected
from services.stock_ledger.application.giving_back import (
    EXPIRY_TIMER,
    an_orders,
    give_back,
    hold_timer,
    surely,
    uncount,
)
from services.stock_ledger.application.ports import Alternatives
from services.stock_ledger.application.shortages import (
    expect_unheld,
    is_promised_some,
    missing_of,
    out_of_stock,
    shortages_of,
)
from services.stock_ledger.domain import reservation_commands as promise
from services.stock_ledger.domain.holder import HOLDER, CountHold
from services.stock_ledger.domain.reservation import RESERVATION
from services.stock_ledger.domain.reservation_events import (
    Line,
    ReservationConfirmed,
    ReservationHeld,
)
from services.stock_ledger.domain.reservation_lines import summed
from services.stock_ledger.domain.reservation_state import Reservation, Status
from services.stock_ledger.domain.stock_commands import Allocate, Confirm, Hold
from services.stock_ledger.domain.stock_item import STOCK, stock_key


@dataclass(frozen=True, slots=True)
class Terms:
    """How a caller wants his lines held.

    Attributes:
        takes_what_there_is: Hold what can be held; else all lines or none.
        holder_id: Whom it counts for, an opaque id; empty: nobody.
    """

    takes_what_there_is: bool = False
    holder_id: str = ""


WHOLE = Terms()


@dataclass(frozen=True, slots=True)
class Reservations:
    """Promises over several stock items, kept whole.

    Attributes:
        hold_for: How long a hold lasts unless the caller says otherwise.
        alternatives: Finds other sites for what is refused.
        most_holds: Most reservations that are held, unpaid, for one holder; 0: no limit.
    """

    hold_for: timedelta
    alternatives: Alternatives
    most_holds: int = 0

    async def reserve(
        self,
        work: Work,
        reservation_id: str,
        lines: Sequence[Line],
        hold_for: timedelta | None,
        terms: Terms = WHOLE,
    ) -> Versioned[Reservation]:
        """Hold lines for a caller that waits for the answer.

        Raises:
            Rejected: ``OUT_OF_STOCK`` with alternatives, and nothing is recorded; or the holder
                has too many; or the id was used before, for other lines or for a reservation that
                has ended.
        """
        lines = summed(lines)
        await work.load(STOCK, [stock_key(line.site_id, line.sku) for line in lines])
        known = (await work.state(RESERVATION, reservation_id)).state
        if known.status in (Status.EXPIRED, Status.REFUSED):
            raise Rejected(
                promise.Refusal.RESERVATION_EXPIRED,
                f"reservation {reservation_id} has expired; reserve under another id",
            )
        if known.status in (Status.RELEASED, Status.CLOSED):
            raise Rejected(
                promise.Refusal.STEP_CONFLICT,
                f"reservation {reservation_id} has ended; reserve under another id",
            )
        if not known.is_promised and (shortages := await shortages_of(work, lines)):
            is_nothing_there = len(shortages) == len(lines) and not any(
                line.quantity for line in shortages
            )
            if is_nothing_there or not terms.takes_what_there_is:
                raise await out_of_stock(work, self.alternatives, lines, shortages)
        await self._hold(work, reservation_id, "", known.plan_revision or 1, lines, hold_for, terms)
        return await work.state(RESERVATION, reservation_id)

    async def reserve_plan(
        self, work: Work, order_id: str, plan_revision: int, lines: Sequence[Line]
    ) -> None:
        """Hold a plan, or record that it cannot be held; pass over old plans and ended orders.

        What somebody reserved himself under the id of the order stays his.
        """
        lines = summed(lines)
        known = (await work.state(RESERVATION, order_id)).state
        if not known.awaits(plan_revision):
            known = await surely(work, order_id)
        awaits = known.awaits(plan_revision)
        if known.is_no_orders or (awaits and await is_promised_some(work, order_id, lines)):
            await work.handle(RESERVATION, order_id, promise.DeclinePlan(order_id, plan_revision))
        elif awaits:
            await self._hold(work, order_id, order_id, plan_revision, lines, None)

    async def _hold(
        self,
        work: Work,
        reservation_id: str,
        order_id: str,
        plan_revision: int,
        lines: tuple[Line, ...],
        hold_for: timedelta | None,
        terms: Terms = WHOLE,
    ) -> None:
        known = (await work.state(RESERVATION, reservation_id)).state
        shortages: tuple[Line, ...] = ()
        if not known.is_promised:
            await expect_unheld(work, reservation_id, lines)
            shortages = await shortages_of(work, lines)
        expires_at = work.now + (hold_for or self.hold_for)
        events = await work.handle(
            RESERVATION,
            reservation_id,
            promise.Hold(
                *(order_id, plan_revision, lines, expires_at, shortages),
                *(terms.takes_what_there_is, terms.holder_id),
            ),
        )
        held = [event for event in events if isinstance(event, ReservationHeld)]
        if not held:
            return
        if terms.holder_id and self.most_holds:
            await work.handle(HOLDER, terms.holder_id, CountHold(reservation_id, self.most_holds))
        for line in held[0].lines:
            await work.handle(
                STOCK,
                stock_key(line.site_id, line.sku),
                Hold(reservation_id, line.quantity, work.now),
            )
        await work.set_timer(hold_timer(reservation_id), expires_at, EXPIRY_TIMER, reservation_id)

    async def confirm(self, work: Work, reservation_id: str, *, refuse: bool) -> int:
        """Turn a hold into an allocation; hold anew if it has expired and there is enough.

        Args:
            work: The unit.
            reservation_id: Which.
            refuse: What to do when an expired hold cannot be had again: raise (a caller waits
                for the answer), or record the refusal (the order has to hear of it).

        Returns:
            Version of the reservation's stream.

        Raises:
            NotFound: A caller waits, and there never was such a reservation.
            Rejected: It holds nothing to confirm, or ``RESERVATION_EXPIRED`` with alternatives;
                or a caller confirms what is an order's.
        """
        known = await surely(work, reservation_id)
        if refuse:
            if known.status is Status.NEW:
                raise NotFound("reservation", reservation_id)
            if known.order_id and known.status is not Status.CONFIRMED:
                raise an_orders(known, "it is confirmed when the order is accepted")
        elif known.is_no_orders:
            return (await work.state(RESERVATION, reservation_id)).version
        keys = [stock_key(line.site_id, line.sku) for line in known.lines]
        await work.load(STOCK, keys)
        shortages: tuple[Line, ...] = ()
        if known.status is Status.EXPIRED:
            shortages = await shortages_of(
                work, await missing_of(work, reservation_id, known.lines)
            )
            if shortages and refuse:
                raise Rejected(
                    promise.Refusal.RESERVATION_EXPIRED,
                    f"reservation {reservation_id} expired and its stock is gone;"
                    " reserve elsewhere",
                    await self.alternatives(work.sql, work.cause.tenant, known.lines),
                )
        events = await work.handle(RESERVATION, reservation_id, promise.Confirm(shortages))
        if not events or not isinstance(events[0], ReservationConfirmed):
            return (await work.state(RESERVATION, reservation_id)).version  # before, or refused
        for key, line in zip(keys, known.lines, strict=True):
            await work.handle(
                STOCK,
                key,
                Allocate(reservation_id, line.quantity, work.now)
                if events[0].is_anew
                else Confirm(reservation_id, work.now),
            )
        await work.cancel_timer(hold_timer(reservation_id))
        await uncount(work, reservation_id, known)
        return (await work.state(RESERVATION, reservation_id)).version

    async def confirm_begun(self, work: Work, order_id: str) -> None:
        """Confirm what an order has that is being prepared, before its acceptance is heard of."""
        known = (await work.state(RESERVATION, order_id)).state
        if known.order_id and known.status is Status.EXPIRED:
            known = await surely(work, order_id)
        if known.order_id and known.status in (Status.HELD, Status.EXPIRED):
            await self.confirm(work, order_id, refuse=False)

    async def release(self, work: Work, reservation_id: str) -> tuple[int, tuple[Line, ...]]:
        """Give back what is held or allocated; return the version and what became free.

        Raises:
            NotFound: There never was such a reservation.
            Rejected: It is an order's, which would go on without its stock.
        """
        known = await surely(work, reservation_id)
        if known.status is Status.NEW:
            raise NotFound("reservation", reservation_id)
        if known.order_id and known.is_promised:
            raise an_orders(known, "cancel the order instead")
        return await self._release(work, reservation_id, known)

    async def _release(
        self, work: Work, reservation_id: str, known: Reservation
    ) -> tuple[int, tuple[Line, ...]]:
        released: tuple[Line, ...] = ()
        if known.is_promised:
            released = await give_back(work, reservation_id, known.lines, is_expiry=False)
            await work.handle(RESERVATION, reservation_id, promise.Release(released))
            await work.cancel_timer(hold_timer(reservation_id))
            await uncount(work, reservation_id, known)
        return (await work.state(RESERVATION, reservation_id)).version, released

    async def end(self, work: Work, order_id: str, reason: str) -> None:
        """Release what the order still has, and never hold for it again.

        An order may end before its plan is heard of: then only the end is recorded.
        """
        known = await surely(work, order_id)
        if known.is_no_orders:
            return
        await self._release(work, order_id, known)
        await work.handle(RESERVATION, order_id, promise.Close(reason))

    async def complete(self, work: Work, order_id: str) -> None:
        """Never hold for this order again. Its goods are gone or going: nothing is released."""
        known = await surely(work, order_id)
        if known.status is not Status.NEW and not known.is_no_orders:
            await work.handle(RESERVATION, order_id, promise.Close("completed"))

    async def extend(
        self, work: Work, reservation_id: str, hold_for: timedelta | None
    ) -> Versioned[Reservation]:
        """Let a hold last longer, from now on; it never gets shorter.

        A command that is sent again is answered as before, whatever became of the hold since.

        Raises:
            NotFound: There never was such a reservation.
            Rejected: It has run out, or is no hold any more.
        """
        known = await surely(work, reservation_id)
        if known.status is Status.NEW:
            raise NotFound("reservation", reservation_id)
        how_long, command_id = hold_for or self.hold_for, work.cause.command_id
        expires_at, seconds = work.now + how_long, int(how_long.total_seconds())
        extend = promise.Extend(expires_at, work.now, command_id, seconds)
        events = await work.handle(RESERVATION, reservation_id, extend)
        held = await work.state(RESERVATION, reservation_id)
        until = held.state.expires_at
        if events and until > known.expires_at:
            await work.set_timer(hold_timer(reservation_id), until, EXPIRY_TIMER, reservation_id)
        before = held.state.extended(command_id)
        if before is None:  # a caller without an id, and it would have lasted no longer
            return held
        return Versioned(replace(held.state, expires_at=before.expires_at), held.version)

    async def expire(self, reservation_id: str, work: Work) -> None:
        """Let a hold that nobody confirmed run out. Called by its timer, perhaps early or late."""
        known = await surely(work, reservation_id)
        events = await work.handle(RESERVATION, reservation_id, promise.Expire(work.now))
        if events:
            await give_back(work, reservation_id, known.lines, is_expiry=True)
            await uncount(work, reservation_id, known)
        elif known.status is Status.HELD:
            timer, due = hold_timer(reservation_id), known.expires_at
            await work.set_timer(timer, due, EXPIRY_TIMER, reservation_id)
