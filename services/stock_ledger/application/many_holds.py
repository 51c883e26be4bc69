"""Holding for many reservations in one unit of work."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

from services.kernel.application.work import Sql, Versioned, Work
from services.stock_ledger.application.batch_reservations import TAKEN, Answer, Needs, Round, Wanted
from services.stock_ledger.application.many_holds_kept import keep
from services.stock_ledger.domain import reservation_commands as promise
from services.stock_ledger.domain import stock_commands
from services.stock_ledger.domain.holder import HOLDER, Holder, too_many
from services.stock_ledger.domain.holder import Refusal as HolderRefusal
from services.stock_ledger.domain.many_holds import take
from services.stock_ledger.domain.reservation import RESERVATION
from services.stock_ledger.domain.reservation_events import Line
from services.stock_ledger.domain.reservation_state import Reservation, Status
from services.stock_ledger.domain.stock_item import STOCK, site_and_sku
from services.stock_ledger.domain.stock_state import StockItem

_ENDED = {
    Status.EXPIRED: promise.Refusal.RESERVATION_EXPIRED,
    Status.REFUSED: promise.Refusal.RESERVATION_EXPIRED,
    Status.RELEASED: promise.Refusal.STEP_CONFLICT,
    Status.CLOSED: promise.Refusal.STEP_CONFLICT,
}


class Begun(Protocol):
    async def __call__(self, sql: Sql, tenant: str, ids: Sequence[str]) -> AbstractSet[str]:
        """Return which of these reservations there are or ever were."""


type _Known = Mapping[str, Versioned[Reservation]]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is decided on: stock items by key, and holders by id, nobody's none of them."""

    items: Mapping[str, StockItem]
    holders: Mapping[str, Holder]


@dataclass(frozen=True, slots=True)
class ManyHolds:
    """Promises to many at once; each is kept whole or refused whole.

    Attributes:
        begun: Finds the reservations that are not new.
        most_holds: Most reservations that are held, unpaid, for one holder; 0: no limit.
    """

    begun: Begun
    most_holds: int = 0

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
        holders = {one.holder_id for one in everybody if one.holder_id} if self.most_holds else ()
        await (work.load(STOCK, keys) if is_owner else work.read_on(STOCK, keys))
        await work.load(HOLDER, holders)
        known = work.at_hand(RESERVATION, [wanted.reservation_id for wanted in everybody])
        seen = await _seen(work, keys, holders)
        is_new = is_first and self._have_all(seen, everybody)
        if not is_new:
            # Somebody may be refused: not before it is certain that he was not held before.
            known = await self._looked_up(work, everybody, known)
            seen = await _seen(work, keys, holders)
        answers, lacking, full = self._decided(seen, known, everybody, is_new=is_new)
        if lacking or full:
            # What is at hand may be behind the log, and then it would be wrong to refuse.
            before = (work.at_hand(STOCK, lacking), work.at_hand(HOLDER, full))
            await work.read_on(STOCK, lacking)
            await work.read_on(HOLDER, full)
            if before != (work.at_hand(STOCK, lacking), work.at_hand(HOLDER, full)):
                seen = await _seen(work, keys, holders)
                answers, _, _ = self._decided(seen, known, everybody, is_new=False)
        await keep(work, asked, answers, self.most_holds)
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

    def _have_all(self, seen: _Seen, everybody: Sequence[Wanted]) -> bool:
        """Say whether there is enough for everybody, none of whom has anything of the items yet.

        Then nobody is refused, so nobody who was held before could be.
        """
        items, holders = seen.items, seen.holders
        if any(item.buckets.free <= 0 for item in items.values()):
            return False
        needed: dict[str, int] = defaultdict(int)
        ids: dict[str, list[str]] = defaultdict(list)
        theirs: dict[str, set[str]] = defaultdict(set)
        for wanted in everybody:
            reservation_id = wanted.reservation_id
            for key, quantity in wanted.needs:
                needed[key] += quantity
                ids[key].append(reservation_id)
            if wanted.holder_id in holders:
                theirs[wanted.holder_id].add(reservation_id)
        return all(
            items[key].buckets.free >= quantity and not items[key].open.has_any(ids[key])
            for key, quantity in needed.items()
        ) and all(
            len(holders[holder_id].held) + len(held) <= self.most_holds
            and held.isdisjoint(holders[holder_id].held)
            for holder_id, held in theirs.items()
        )

    def _decided(
        self, seen: _Seen, known: _Known, everybody: Sequence[Wanted], *, is_new: bool
    ) -> tuple[list[Answer], set[str], set[str]]:
        """Return what becomes of each, ``TAKEN`` where it is granted, and why others are not.

        That is: the items that lack, and the holders who have too many. ``is_new`` says that none
        of them has anything of the items yet.
        """
        answers: list[Answer] = []
        items = seen.items
        free = {key: item.buckets.free for key, item in items.items()}
        counted = {holder_id: len(holder.held) for holder_id, holder in seen.holders.items()}
        granted: dict[str, Wanted] = {}
        refused: dict[Needs, Answer] = {}
        full: dict[str, Answer] = {}
        for wanted in everybody:
            reservation_id, holder_id = wanted.reservation_id, wanted.holder_id
            before = known.get(reservation_id)
            if before is not None and before.version:
                answers.append(_again(before.state, wanted))
            elif reservation_id in granted:
                is_same = _is_same(granted[reservation_id], wanted)
                answers.append(TAKEN if is_same else _MISMATCH)
            elif holder_id in counted and counted[holder_id] >= self.most_holds:
                full[holder_id] = full.get(holder_id) or _full(counted[holder_id], self.most_holds)
                answers.append(full[holder_id])
            elif short := take(free, wanted.needs):
                refused[short] = refused.get(short) or _refused(short)
                answers.append(refused[short])
            elif not is_new and any(items[key].open.get(reservation_id) for key, _ in wanted.needs):
                for key, quantity in wanted.needs:
                    free[key] += quantity
                answers.append(_MISMATCH)
            else:
                granted[reservation_id] = wanted
                if holder_id in counted:
                    counted[holder_id] += 1
                answers.append(TAKEN)
        return answers, {key for short in refused for key, _ in short}, set(full)


async def _seen(work: Work, keys: Iterable[str], holders: Iterable[str]) -> _Seen:
    """Return what is decided on, all of which is at hand: nothing else happens meanwhile."""
    return _Seen(
        {key: (await work.state(STOCK, key)).state for key in keys},
        {holder_id: (await work.state(HOLDER, holder_id)).state for holder_id in holders},
    )


_MISMATCH = Answer(
    reason=promise.Refusal.IDEMPOTENCY_MISMATCH.value,
    detail="the reservation id was used for something else; reserve under another id",
)


def _again(known: Reservation, wanted: Wanted) -> Answer:
    """Return what a reservation was answered before, for as long as it stands."""
    if known.is_promised:
        is_his = not known.order_id and known.holder_id == wanted.holder_id
        is_same = is_his and set(known.asked) == set(wanted.lines)
        return Answer(known.expires_at) if is_same else _MISMATCH
    return Answer(
        reason=_ENDED[known.status].value,
        detail=f"the reservation is {known.status.value}; reserve under another id",
    )


def _is_same(one: Wanted, other: Wanted) -> bool:
    return one.lines == other.lines and one.holder_id == other.holder_id


def _refused(short: Sequence[tuple[str, int]]) -> Answer:
    return Answer(
        shortages=tuple([Line(*site_and_sku(key), free) for key, free in short]),
        reason=stock_commands.Refusal.OUT_OF_STOCK.value,
        detail="the shortages say what is free; ask for less, or elsewhere",
    )


def _full(held: int, most: int) -> Answer:
    return Answer(reason=HolderRefusal.TOO_MANY_HOLDS.value, detail=too_many(held, most))
