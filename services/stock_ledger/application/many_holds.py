"""Holding for many reservations in one unit of work, and letting them run out together."""

from collections import defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from services.kernel.application.work import Sql, Work
from services.kernel.domain.messages import Cause
from services.stock_ledger.application.discrepancies import note
from services.stock_ledger.domain import reservation as promise
from services.stock_ledger.domain import stock_item as stock
from services.stock_ledger.domain.entry import Share
from services.stock_ledger.domain.expiry import EXPIRY, Note
from services.stock_ledger.domain.many_holds import MANY_HOLDS, ExpireAll, HoldAll, take
from services.stock_ledger.domain.reservation import RESERVATION, Line, Reservation, Status
from services.stock_ledger.domain.stock_item import STOCK, StockItem, site_and_sku, stock_key

EXPIRIES_TIMER = "holds_expiry"

_ENDED = {
    Status.EXPIRED: promise.Refusal.RESERVATION_EXPIRED,
    Status.REFUSED: promise.Refusal.RESERVATION_EXPIRED,
    Status.RELEASED: promise.Refusal.STEP_CONFLICT,
    Status.CLOSED: promise.Refusal.STEP_CONFLICT,
}


class Begun(Protocol):
    async def __call__(self, sql: Sql, tenant: str, ids: Sequence[str]) -> AbstractSet[str]:
        """Return which of these reservations there are or ever were."""


@dataclass(slots=True)
class Wanted:
    """A reservation that somebody asks for. Never changed once made.

    Attributes:
        reservation_id: Chosen by the caller; repeated, it is answered as the first time.
        lines: One per site and product, in a settled order.
        hold_for: How long.
        needs: The same lines as stock keys with quantities.
    """

    reservation_id: str
    lines: tuple[Line, ...]
    hold_for: timedelta
    needs: tuple[tuple[str, int], ...] = field(init=False)

    def __post_init__(self) -> None:
        self.needs = tuple(
            [(stock_key(line.site_id, line.sku), line.quantity) for line in self.lines]
        )


@dataclass(slots=True)
class Answer:
    """What became of a reservation: held until, or not, and why. Never changed once made.

    Attributes:
        expires_at: Until when it is held; nothing when it is not.
        shortages: The lines that lack stock, with what is free.
        reason: Registry name, where it is not held.
        detail: One sentence.
    """

    expires_at: datetime | None = None
    shortages: tuple[Line, ...] = ()
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Round:
    """What is decided together: the reservations of several calls of one tenant.

    Attributes:
        cause: Of what all of them share: the stock items' entries and the expiry.
        wanted: In the order of their arrival.
        causes: Of each of them.
    """

    cause: Cause
    wanted: Sequence[Wanted]
    causes: Sequence[Cause]


_TAKEN = Answer()


@dataclass(frozen=True, slots=True)
class ManyHolds:
    """Promises to many at once; each is kept whole or refused whole.

    Attributes:
        begun: Finds the reservations that are not new.
    """

    begun: Begun

    async def hold(
        self, work: Work, asked: Round, *, is_owner: bool, is_first: bool
    ) -> list[Answer]:
        """Hold for as many as there is enough for, first come, first served.

        Args:
            work: The unit.
            asked: What to decide on.
            is_owner: Whether what is at hand of the stock items is likely to be the newest.
            is_first: Whether it may be guessed that the ids are new: a wrong guess is refused by
                the log, and the unit runs again.
        """
        keys = {key for wanted in asked.wanted for key, _ in wanted.needs}
        await (work.load(STOCK, keys) if is_owner else work.read_on(STOCK, keys))
        await self._look_up(work, asked, is_guess=is_first and await _has_all(work, asked.wanted))
        answers, lacking = await _decided(work, asked.wanted)
        if lacking:
            # What is at hand may be behind the log, and then it would be wrong to refuse.
            before = {key: (await work.state(STOCK, key)).version for key in lacking}
            await work.read_on(STOCK, lacking)
            after = {key: (await work.state(STOCK, key)).version for key in lacking}
            if before != after:
                answers, _ = await _decided(work, asked.wanted)
        await _record(work, asked, answers)
        return answers

    async def _look_up(self, work: Work, asked: Round, *, is_guess: bool) -> None:
        ids = [wanted.reservation_id for wanted in asked.wanted]
        begun: AbstractSet[str] = set()
        if not is_guess:
            begun = await self.begun(work.sql, work.cause.tenant, ids)
        for reservation_id in ids:
            if reservation_id not in begun:
                work.expect_new(RESERVATION, reservation_id)
        if begun:
            await work.load(RESERVATION, begun)

    async def expire(self, key: str, work: Work) -> None:
        """Let the holds of a round run out, but for those confirmed, ended or extended since.

        Called by the round's timer, perhaps early, late or twice.
        """
        expiry = (await work.state(EXPIRY, key)).state
        if work.now < expiry.expires_at:
            await work.set_timer(_timer(key), expiry.expires_at, EXPIRIES_TIMER, key)
            return
        await work.load(RESERVATION, expiry.reservation_ids)
        ended: dict[str, list[str]] = defaultdict(list)
        for reservation_id in expiry.reservation_ids:
            known = (await work.state(RESERVATION, reservation_id)).state
            if await work.handle(RESERVATION, reservation_id, promise.Expire(work.now)):
                for line in known.lines:
                    ended[stock_key(line.site_id, line.sku)].append(reservation_id)
        await work.load(STOCK, ended)
        for stock_item, ids in ended.items():
            entries = await work.handle(MANY_HOLDS, stock_item, ExpireAll(tuple(ids), work.now))
            await note(work, {stock_item: entries})


async def _has_all(work: Work, asked: Sequence[Wanted]) -> bool:
    """Say whether there is enough for everybody: then nobody is refused who was held before."""
    needed: dict[str, int] = defaultdict(int)
    for wanted in asked:
        for key, quantity in wanted.needs:
            needed[key] += quantity
    for key, quantity in needed.items():
        if (await work.state(STOCK, key)).state.buckets.free < quantity:
            return False
    return True


async def _decided(work: Work, asked: Sequence[Wanted]) -> tuple[list[Answer], set[str]]:
    """Return what becomes of each, ``_TAKEN`` where it is granted, and the items that lack."""
    answers: list[Answer] = []
    items: dict[str, StockItem] = {}
    free: dict[str, int] = {}
    lacking: set[str] = set()
    before: dict[str, tuple[Line, ...]] = {}
    for wanted in asked:
        reservation_id = wanted.reservation_id
        known = (await work.state(RESERVATION, reservation_id)).state
        if known.status is not Status.NEW:
            answers.append(_again(known, wanted))
            continue
        if reservation_id in before:
            is_same = before[reservation_id] == wanted.lines
            answers.append(_TAKEN if is_same else _MISMATCH)
            continue
        is_fresh = True
        for key, _ in wanted.needs:
            item = items.get(key)
            if item is None:
                item = items[key] = (await work.state(STOCK, key)).state
                free[key] = item.buckets.free
            is_fresh &= item.open.get(reservation_id) is None
        if not is_fresh:
            answers.append(_MISMATCH)
            continue
        if short := take(free, wanted.needs):
            lacking.update([key for key, _ in short])
            answers.append(_refused(short))
        else:
            before[reservation_id] = wanted.lines
            answers.append(_TAKEN)
    return answers, lacking


_MISMATCH = Answer(
    reason=promise.Refusal.IDEMPOTENCY_MISMATCH.value,
    detail="the reservation id was used for something else; reserve under another id",
)


def _again(known: Reservation, wanted: Wanted) -> Answer:
    """Return what a reservation was answered before, for as long as it stands."""
    if known.is_promised:
        return Answer(known.expires_at) if set(known.lines) == set(wanted.lines) else _MISMATCH
    return Answer(
        reason=_ENDED[known.status].value,
        detail=f"the reservation is {known.status.value}; reserve under another id",
    )


def _refused(short: Sequence[tuple[str, int]]) -> Answer:
    return Answer(
        shortages=tuple([Line(*site_and_sku(key), free) for key, free in short]),
        reason=stock.Refusal.OUT_OF_STOCK.value,
        detail="the shortages say what is free; ask for less, or elsewhere",
    )


async def _record(work: Work, asked: Round, answers: list[Answer]) -> None:
    """Record what is granted, and put its end in the place of ``_TAKEN``."""
    shares: dict[str, list[Share]] = defaultdict(list)
    together: dict[datetime, dict[str, None]] = defaultdict(dict)
    now = work.now
    for n, answer in enumerate(answers):
        if answer is not _TAKEN:
            continue
        wanted = asked.wanted[n]
        reservation_id = wanted.reservation_id
        expires_at = now + wanted.hold_for
        work.begin(asked.causes[n])
        hold = promise.Hold("", 1, wanted.lines, expires_at)
        if await work.handle(RESERVATION, reservation_id, hold):
            for key, quantity in wanted.needs:
                shares[key].append(Share(reservation_id, quantity))
            together[expires_at][reservation_id] = None
        else:  # twice in one round
            expires_at = (await work.state(RESERVATION, reservation_id)).state.expires_at
        answers[n] = Answer(expires_at)
    work.begin(asked.cause)
    for key, of_item in shares.items():
        await work.handle(MANY_HOLDS, key, HoldAll(tuple(of_item), now))
    for n, (expires_at, ids) in enumerate(together.items()):
        key = f"{asked.cause.command_id}.{n}"
        await work.handle(EXPIRY, key, Note(tuple(ids), expires_at))
        await work.set_timer(_timer(key), expires_at, EXPIRIES_TIMER, key)


def _timer(key: str) -> str:
    return f"{EXPIRIES_TIMER}-{key}"
