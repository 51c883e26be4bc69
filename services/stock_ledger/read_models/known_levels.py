"""Balances by (site, product), answered from memory where this process fills the read model.

Answers    GetAvailability, and GetSkuAvailability for given sites
Fed by     the projector, right after each of its commits, before anybody is told of it
Staleness  that of the read model: memory never knows more, and is behind by no pause of the loop

A process that does not fill the read model itself remembers nothing. It too puts what is asked at
the same time into one query. What is remembered is dropped when the database server is lost, when
the log is followed anew, and in any case after a while: a rebuild of the table by another process
is seen then at the latest.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.kernel.application.work import Sql
from services.kernel.domain.messages import Recorded
from services.stock_ledger.domain.entry import EntryPosted
from services.stock_ledger.domain.stock_item import site_and_sku
from services.stock_ledger.read_models.availability import Level, level_after, of_places

type Place = tuple[str, str, str]
"""Tenant, site and product."""

MOST_KNOWN = 200_000
RENEWED_AFTER_S = 30.0
_MOST_PER_QUERY = 1_000
_MOST_QUERIES = 2


@dataclass(frozen=True, slots=True)
class _Asked:
    """The places that one caller waits for, none of them twice."""

    places: Sequence[Place]
    answer: "asyncio.Future[None]"
    found: dict[Place, Any] = field(default_factory=dict[Place, Any])


class KnownLevels[T]:
    """Remembers what is shown of each balance.

    Two generations hold what is remembered: the young one becomes the old one, and the old one is
    dropped, when it is full or its time is up. That bounds memory and age without any bookkeeping
    per answer; what is still asked for is read again.

    Args:
        sql: Where to read what is not remembered.
        shown: What a balance is shown as; made once per change of it instead of once per answer.
        monotonic_s: The time, to renew what is remembered.
        most: Balances of one generation.
    """

    def __init__(
        self,
        sql: Callable[[], Sql],
        shown: Callable[[Level], T],
        monotonic_s: Callable[[], float],
        most: int = MOST_KNOWN // 2,
    ) -> None:
        self._sql = sql
        self._shown = shown
        self._monotonic_s = monotonic_s
        self._most = most
        self._is_fed = False
        self._young: dict[Place, T] = {}
        self._old: dict[Place, T] = {}
        self._renew_at_s = 0.0
        # Raised whenever everything is forgotten: what was read before may not be remembered.
        self._epoch = 0
        self._waiting: list[_Asked] = []
        self._queries: set[asyncio.Task[None]] = set()
        # What was committed while queries were under way, which may have read what was before.
        self._meanwhile: dict[Place, T] = {}

    def begin(self) -> None:
        """See ``Memory``."""
        self.end()
        self._is_fed = True

    def end(self) -> None:
        """See ``Memory``."""
        self._is_fed = False
        self._epoch += 1
        self._young, self._old, self._meanwhile = {}, {}, {}

    def committed(self, batch: Sequence[Recorded[Any]]) -> None:
        """See ``Memory``. Only what somebody asked for is kept."""
        if not self._is_fed:
            return
        newest = {e.stream: e for e in batch if isinstance(e.event, EntryPosted)}
        for recorded in newest.values():
            site_id, sku = site_and_sku(recorded.key)
            place = (recorded.tenant, site_id, sku)
            homes = [known for known in (self._young, self._old) if place in known]
            if self._queries:
                homes.append(self._meanwhile)
            if homes:
                shown = self._shown(level_after(recorded))
                for home in homes:
                    home[place] = shown

    def __len__(self) -> int:
        """Return how many balances are remembered, at most two generations."""
        return len(self._young) + len(self._old)

    async def of_pairs(self, tenant: str, pairs: Sequence[tuple[str, str]]) -> list[T]:
        """Return what each (site, product) is shown as, in the order asked."""
        if self._monotonic_s() >= self._renew_at_s or len(self._young) >= self._most:
            self._renew()
        young, old = self._young.get, self._old.get
        answer: list[T | None] = []
        for site_id, sku in pairs:
            place = (tenant, site_id, sku)
            one = young(place)
            answer.append(old(place) if one is None else one)
        if None in answer:
            return await self._completed(tenant, pairs, answer)
        return answer  # type: ignore[return-value]  # nothing is missing

    def _renew(self) -> None:
        self._old, self._young = self._young, {}
        self._renew_at_s = self._monotonic_s() + RENEWED_AFTER_S

    async def _completed(
        self, tenant: str, pairs: Sequence[tuple[str, str]], answer: Sequence[T | None]
    ) -> list[T]:
        missing = {
            (tenant, *pair): None for pair, one in zip(pairs, answer, strict=True) if one is None
        }
        asked = _Asked(list(missing), asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        if len(self._queries) < _MOST_QUERIES:
            self._queries.add(asyncio.create_task(self._ask(), name="read levels"))
        await asked.answer
        return [
            asked.found[tenant, *pair] if one is None else one
            for pair, one in zip(pairs, answer, strict=True)
        ]

    async def _ask(self) -> None:
        """Read for all who wait, until nobody does."""
        try:
            await self._ask_for_all()
        finally:
            # At once: who asks before this task's end is told would wait for somebody who reads,
            # and nobody does.
            query = asyncio.current_task()
            assert query is not None  # noqa: S101 - it runs
            self._queries.discard(query)
            if not self._queries:
                self._meanwhile = {}

    async def _ask_for_all(self) -> None:
        while self._waiting:
            # Those who come in the same breath share the query.
            await asyncio.sleep(0)
            together: list[_Asked] = []
            places: dict[Place, None] = {}
            while self._waiting and len(places) < _MOST_PER_QUERY:
                together.append(self._waiting.pop(0))
                places.update(dict.fromkeys(together[-1].places))
            epoch = self._epoch
            try:
                levels = await of_places(self._sql(), list(places))
            except Exception as error:  # noqa: BLE001 - it is told to all who wait for it
                for one in together:
                    if not one.answer.done():
                        one.answer.set_exception(error)
                continue
            found = {place: self._shown(level) for place, level in zip(places, levels, strict=True)}
            if self._is_fed and epoch == self._epoch:
                # A commit may have come in between, which the query did or did not see.
                found |= {
                    place: self._meanwhile[place] for place in found if place in self._meanwhile
                }
                self._young.update(found)
            for one in together:
                one.found.update({place: found[place] for place in one.places})
                if not one.answer.done():
                    one.answer.set_result(None)
