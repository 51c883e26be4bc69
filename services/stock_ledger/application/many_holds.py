"""Holding for many reservations in one unit of work."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from services.kernel.application.work import Sql, Versioned, Work
from services.kernel.domain.messages import Cause
from services.stock_ledger.application.hold_expiries import EXPIRIES_TIMER, expiries_timer
from services.stock_ledger.domain import reservation as promise
from services.stock_ledger.domain import stock_item as stock
from services.stock_ledger.domain.entry import Share
from services.stock_ledger.domain.expiry import EXPIRY, Note
from services.stock_ledger.domain.many_holds import MANY_HOLDS, HoldAll, take
from services.stock_ledger.domain.reservation import RESERVATION, Line, Reservation, Status
from services.stock_ledger.domain.stock_item import STOCK, StockItem, site_and_sku

_ENDED = {
    Status.EXPIRED: promise.Refusal.RESERVATION_EXPIRED,
    Status.REFUSED: promise.Refusal.RESERVATION_EXPIRED,
    Status.RELEASED: promise.Refusal.STEP_CONFLICT,
    Status.CLOSED: promise.Refusal.STEP_CONFLICT,
}


class Begun(Protocol):
    async def __call__(self, sql: Sql, tenant: str, ids: Sequence[str]) -> AbstractSet[str]:
        """Return which of these reservations there are or ever were."""


type Needs = tuple[tuple[str, int], ...]
"""Stock keys with quantities, none of them twice, in a settled order."""


@dataclass(slots=True)
class Wanted:
    """A reservation that somebody asks for. Never changed once made.

    Attributes:
        reservation_id: Chosen by the caller; repeated, it is answered as the first time.
        lines: One per site and product, in a settled order.
        needs: The same lines as stock keys with quantities.
        hold_for: How long.
    """

    reservation_id: str
    lines: tuple[Line, ...]
    needs: Needs
    hold_for: timedelta


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
    """What is decided together: the calls of one tenant, in the order of their arrival.

    Attributes:
        cause: Of what all of them share: the stock items' entries and the expiry.
        calls: Of each call its cause, and what it wants.
    """

    cause: Cause
    calls: Sequence[tuple[Cause, Sequence[Wanted]]]


_TAKEN = Answer()

type _Known = Mapping[str, Versioned[Reservation]]


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

        Returns:
            One answer per reservation, call by call.
        """
        everybody = [wanted for _, calls in asked.calls for wanted in calls]
        keys = {key for wanted in everybody for key, _ in wanted.needs}
        await (work.load(STOCK, keys) if is_owner else work.read_on(STOCK, keys))
        known = work.at_hand(RESERVATION, [wanted.reservation_id for wanted in everybody])
        items = await _items(work, keys)
        is_new = is_first and _have_all(items, everybody)
        if not is_new:
            # Somebody may be refused: not before it is certain that he was not held before.
            known = await self._looked_up(work, everybody, known)
            items = await _items(work, keys)
        answers, lacking = _decided(items, known, everybody, is_new=is_new)
        if lacking:
            # What is at hand may be behind the log, and then it would be wrong to refuse.
            before = work.at_hand(STOCK, lacking)
            await work.read_on(STOCK, lacking)
            if before != work.at_hand(STOCK, lacking):
                items = await _items(work, keys)
                answers, _ = _decided(items, known, everybody, is_new=False)
        await _record(work, asked, answers)
        return answers

    async def _looked_up(self, work: Work, everybody: Sequence[Wanted], known: _Known) -> _Known:
        unknown = [
            wanted.reservation_id for wanted in everybody if wanted.reservation_id not in known
        ]
        if not unknown:
            return known
        begun = await self.begun(work.sql, work.cause.tenant, unknown)
        await work.load(RESERVATION, begun)
        return {**known, **work.at_hand(RESERVATION, begun)}


async def _items(work: Work, keys: Iterable[str]) -> dict[str, StockItem]:
    """Return the stock items, which are all at hand: nothing else happens meanwhile."""
    return {key: (await work.state(STOCK, key)).state for key in keys}


def _have_all(items: Mapping[str, StockItem], everybody: Sequence[Wanted]) -> bool:
    """Say whether there is enough for everybody, none of whom has anything of the items yet.

    Then nobody is refused, so nobody who was held before could be.
    """
    if any(item.buckets.free <= 0 for item in items.values()):
        return False
    needed: dict[str, int] = defaultdict(int)
    ids: dict[str, list[str]] = defaultdict(list)
    for wanted in everybody:
        reservation_id = wanted.reservation_id
        for key, quantity in wanted.needs:
            needed[key] += quantity
            ids[key].append(reservation_id)
    return all(
        items[key].buckets.free >= quantity and not items[key].open.has_any(ids[key])
        for key, quantity in needed.items()
    )


def _decided(
    items: Mapping[str, StockItem], known: _Known, everybody: Sequence[Wanted], *, is_new: bool
) -> tuple[list[Answer], set[str]]:
    """Return what becomes of each, ``_TAKEN`` where it is granted, and the items that lack.

    ``is_new`` says that none of them has anything of the items yet.
    """
    answers: list[Answer] = []
    free = {key: item.buckets.free for key, item in items.items()}
    granted: dict[str, Wanted] = {}
    refused: dict[Needs, Answer] = {}
    for wanted in everybody:
        reservation_id = wanted.reservation_id
        before = known.get(reservation_id)
        if before is not None and before.version:
            answers.append(_again(before.state, wanted))
        elif reservation_id in granted:
            is_same = granted[reservation_id].lines == wanted.lines
            answers.append(_TAKEN if is_same else _MISMATCH)
        elif short := take(free, wanted.needs):
            answer = refused.get(short)
            if answer is None:
                answer = refused[short] = _refused(short)
            answers.append(answer)
        elif not is_new and any(items[key].open.get(reservation_id) for key, _ in wanted.needs):
            for key, quantity in wanted.needs:
                free[key] += quantity
            answers.append(_MISMATCH)
        else:
            granted[reservation_id] = wanted
            answers.append(_TAKEN)
    return answers, {key for short in refused for key, _ in short}


_MISMATCH = Answer(
    reason=promise.Refusal.IDEMPOTENCY_MISMATCH.value,
    detail="the reservation id was used for something else; reserve under another id",
)


def _again(known: Reservation, wanted: Wanted) -> Answer:
    """Return what a reservation was answered before, for as long as it stands."""
    if known.is_promised:
        return Answer(known.expires_at) if set(known.asked) == set(wanted.lines) else _MISMATCH
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
    now, round_id = work.now, asked.cause.command_id
    until: dict[timedelta, Answer] = {}
    held: dict[str, Answer] = {}
    shares: dict[str, list[Share]] = defaultdict(list)
    together: dict[datetime, list[str]] = defaultdict(list)
    begun: list[tuple[Cause, list[tuple[str, promise.Command]]]] = []
    start = 0
    for place, (cause, everybody) in enumerate(asked.calls):
        commands: list[tuple[str, promise.Command]] = []
        for n, wanted in enumerate(everybody, start):
            if answers[n] is not _TAKEN:
                continue
            reservation_id = wanted.reservation_id
            again = held.get(reservation_id)
            if again is not None:  # twice in one round
                answers[n] = again
                continue
            answer = until.get(wanted.hold_for)
            if answer is None:
                answer = until[wanted.hold_for] = Answer(now + wanted.hold_for)
            answers[n] = held[reservation_id] = answer
            expires_at = answer.expires_at
            assert expires_at is not None  # noqa: S101 - it is held
            hold = promise.Hold("", 1, wanted.lines, expires_at)
            commands.append((reservation_id, hold))
            together[expires_at].append(reservation_id)
            for key, quantity in wanted.needs:
                shares[key].append(Share(reservation_id, quantity))
        start += len(everybody)
        if commands:
            begun.append((_of_round(cause, f"{round_id}.{place}"), commands))
    work.begin_streams(RESERVATION, begun)
    work.begin(asked.cause)
    for key, of_item in shares.items():
        await work.handle(MANY_HOLDS, key, HoldAll(tuple(of_item), now))
    for n, (expires_at, ids) in enumerate(together.items()):
        key = f"{round_id}.{n}"
        await work.handle(EXPIRY, key, Note(tuple(ids), expires_at))
        await work.set_timer(expiries_timer(key), expires_at, EXPIRIES_TIMER, key)


def _of_round(cause: Cause, command_id: str) -> Cause:
    """Return a call's cause under an id that no other round has: it may come again in another."""
    return Cause(
        *(cause.tenant, command_id, cause.correlation_id, cause.command_id),
        *(cause.actor, cause.traceparent),
    )
