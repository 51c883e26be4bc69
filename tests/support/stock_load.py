"""Shops and baskets that go on whatever happens, and the books that must be right after.

Everybody repeats a call, under the same key, until the answer is clear, and writes down what was
answered. What was written down is the counter that ledger and read model are compared with: what
is there, what is promised to whom, to the unit.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx

from services.demo.domain.dice import Dice
from services.kernel.adapters.rebuild import compare
from services.kernel.application.clock import SystemClock
from services.stock_ledger.adapters.event_codec import event_codec
from services.stock_ledger.read_models.availability import AVAILABILITY
from services.stock_ledger.read_models.discrepancies import DISCREPANCIES, unexplained
from services.stock_ledger.read_models.reservations import RESERVATIONS
from services.stock_ledger.read_models.verification import violations
from tests.support.api import Api
from tests.support.stack import eventually

SITES, PLENTY, SCARCE = ("K1", "K2"), ("plenty-1", "plenty-2"), "scarce"
PLENTY_UNITS, SCARCE_UNITS = 1_000_000, 400
_CLEAR_WITHIN_S = 120.0
_AGREES_WITHIN_S = 60.0
_FLEETING_S = 2
_LONG_S = 80_000
_ANSWERED = frozenset({200, 201})
_REFUSALS = frozenset({"OUT_OF_STOCK", "TOO_MANY_HOLDS"})
_RETRYABLE = frozenset({429, 502, 503, 504})
_RETRYABLE_REASONS = frozenset({"CONCURRENT_CHANGE", "IDEMPOTENCY_RUNNING"})
_MOST_LOOKED_AT = 200

type Pair = tuple[str, str]


@dataclass
class Held:
    """A reservation as its caller knows it."""

    lines: Counter[Pair]
    status: str = "held"


@dataclass
class StockLoad:
    """Movements and reservations under way.

    Attributes:
        api: With ``retries=0``: every answer counts.
        seed: Of what is done.
        acknowledged: Calls that were answered as done.
        refused: Reasons, by how often.
        unclear: Calls that got no final answer, by what they got instead.
        faults: Answers that no caller can do anything with.
        on_hand: Base units, by what was answered.
        reservations: By id.
    """

    api: Api
    seed: int = 1
    acknowledged: int = 0
    refused: Counter[str] = field(default_factory=Counter[str])
    unclear: Counter[str] = field(default_factory=Counter[str])
    faults: list[str] = field(default_factory=list[str])
    on_hand: Counter[Pair] = field(default_factory=Counter[Pair])
    reservations: dict[str, Held] = field(default_factory=dict[str, Held])
    _calls: int = 0

    async def open(self) -> None:
        """Fill the shelves."""
        for site_id in SITES:
            for sku in PLENTY:
                await self._move("receive", (site_id, sku), PLENTY_UNITS, +1)
            await self._move("receive", (site_id, SCARCE), SCARCE_UNITS, +1)
        assert not self.faults, self.faults

    async def run(self, is_over: Callable[[], bool], workers: int = 12) -> None:
        """Go on until ``is_over``; then only finish what was begun."""

        async def live(worker: int) -> None:
            mine: list[str] = []
            number = 0
            dice = Dice(self.seed, worker, self._calls)
            while not is_over():
                number += 1
                await self._act(dice, worker, mine)

        async with asyncio.TaskGroup() as group:
            for worker in range(workers):
                group.create_task(live(worker))

    async def _act(self, dice: Dice, worker: int, mine: list[str]) -> None:
        what = dice.below(100)
        site_id, sku = SITES[dice.below(2)], PLENTY[dice.below(2)]
        if what < 15:
            await self._move("till_sale", (site_id, sku), dice.between(1, 3), -1)
        elif what < 25:
            await self._move("receive", (site_id, sku), dice.between(1, 5), +1)
        elif what < 60 or not mine:
            await self._reserve(dice, worker, mine)
        else:
            reservation_id = mine[dice.below(len(mine))]
            if what < 72:
                if await self._end(reservation_id, "confirm", "confirmed"):
                    mine.remove(reservation_id)
            elif what < 84:
                if await self._end(reservation_id, "release", "released"):
                    mine.remove(reservation_id)
            elif what < 92:
                await self._change_place(reservation_id, dice)
            else:
                body = {"hold_seconds": _LONG_S}
                await self._call(f"/v1/reservations/{reservation_id}:extend", body)

    async def _reserve(self, dice: Dice, worker: int, mine: list[str]) -> None:
        self._calls += 1
        reservation_id = f"r-{self.seed}-{self._calls}"
        is_fleeting = dice.is_one_in(4)
        wanted = Counter({(SITES[dice.below(2)], PLENTY[dice.below(2)]): dice.between(1, 4)})
        if dice.is_one_in(2):
            wanted[SITES[dice.below(2)], SCARCE] += dice.between(1, 3)
        answer = await self._call(
            "/v1/reservations",
            {
                "reservation_id": reservation_id,
                "lines": [
                    {"site_id": site_id, "sku": sku, "quantity": quantity}
                    for (site_id, sku), quantity in wanted.items()
                ],
                "hold_seconds": _FLEETING_S if is_fleeting else _LONG_S,
                "takes_what_there_is": dice.is_one_in(2),
                "holder_id": f"customer-{self.seed}-{worker}-{self._calls // 500}",
            },
            # It may have been held, without an answer, and have run out since.
            _REFUSALS | {"RESERVATION_EXPIRED"} if is_fleeting else _REFUSALS,
        )
        if answer is None:
            return
        lines = Counter({(one["site_id"], one["sku"]): one["held"] for one in answer["lines"]})
        assert lines <= wanted
        held = Held(+lines, "expired" if is_fleeting else "held")
        self.reservations[reservation_id] = held
        if not is_fleeting:
            mine.append(reservation_id)

    async def _end(self, reservation_id: str, how: str, status: str) -> bool:
        if await self._call(f"/v1/reservations/{reservation_id}:{how}", {}) is None:
            return False
        self.reservations[reservation_id].status = status
        return True

    async def _change_place(self, reservation_id: str, dice: Dice) -> None:
        held = self.reservations[reservation_id].lines
        site_id, sku = sorted(held)[dice.below(len(held))]
        to_site_id = SITES[1 - SITES.index(site_id)]
        quantity = dice.between(1, held[site_id, sku])
        body = {
            "from_site_id": site_id,
            "to_site_id": to_site_id,
            "lines": [{"sku": sku, "quantity": quantity}],
        }
        if await self._call(f"/v1/reservations/{reservation_id}:move", body) is not None:
            held[to_site_id, sku] += quantity
            held[site_id, sku] -= quantity
            self.reservations[reservation_id].lines = +held

    async def _move(self, kind: str, pair: Pair, quantity: int, sign: int) -> None:
        self._calls += 1
        row = {
            "site_id": pair[0],
            "sku": pair[1],
            "quantity": quantity,
            "source_id": f"{kind}-{self.seed}-{self._calls}",
        }
        answer = await self._call("/v1/stock/movements:batch", {"kind": kind, "rows": [row]})
        if answer is not None:
            self.on_hand[pair] += sign * quantity
            status = answer["results"][0]["status"]
            if status not in ("recorded", "duplicate"):
                self.faults.append(f"{row}: {status}")

    async def _call(
        self, path: str, body: dict[str, Any], refusals: frozenset[str] = _REFUSALS
    ) -> dict[str, Any] | None:
        """Call until the answer is clear; return it, or nothing when a rule forbade it."""
        self._calls += 1
        key = f"key-{self.seed}-{self._calls}"
        loop = asyncio.get_running_loop()
        until, delay_s = loop.time() + _CLEAR_WITHIN_S, 0.02
        while loop.time() < until:
            try:
                answer = await self.api.post(path, body, key=key)
            except httpx.TransportError as lost:
                self.unclear[type(lost).__name__] += 1
            else:
                said: dict[str, Any] = answer.json()
                reason = said.get("reason", "")
                if answer.status_code in _ANSWERED:
                    self.acknowledged += 1
                    return said
                if answer.status_code in _RETRYABLE or reason in _RETRYABLE_REASONS:
                    self.unclear[f"{answer.status_code} {reason}"] += 1
                elif reason in refusals:
                    self.refused[reason] += 1
                    return None
                else:
                    self.faults.append(f"{path} {body}: {answer.status_code} {answer.text}")
                    return None
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, 0.5)
        self.faults.append(f"{path} {body}: no clear answer within {_CLEAR_WITHIN_S} s")
        return None

    def expected(self) -> dict[Pair, tuple[int, int, int, int]]:
        """Return free, held, allocated and on hand of every pair, by what was answered."""
        held: Counter[Pair] = Counter()
        allocated: Counter[Pair] = Counter()
        for one in self.reservations.values():
            if one.status == "held":
                held.update(one.lines)
            elif one.status == "confirmed":
                allocated.update(one.lines)
        return {
            pair: (there - held[pair] - allocated[pair], held[pair], allocated[pair], there)
            for pair, there in self.on_hand.items()
        }

    async def check(self, api: Api, owner_dsn: str, *, is_replayed: bool) -> None:
        """Compare the counter with the read models, and these with the ledger.

        Args:
            api: To ask, as any caller may.
            owner_dsn: Of the ledger's database, for its auditor.
            is_replayed: Also compare the read models, row by row, with a replay of the log.
        """
        assert not self.faults, self.faults[:5]
        # First: the newest hold, of which the levels may know nothing yet, has run out after this.
        for reservation_id in list(self.reservations)[-_MOST_LOOKED_AT:]:
            await self._check_reservation(api, reservation_id)
        right = self.expected()
        told: dict[Pair, tuple[int, int, int, int]] = {}

        async def agrees() -> bool:
            pairs = [{"site_id": site_id, "sku": sku} for site_id, sku in right]
            for one in (await api.done("/v1/stock/levels:batch", {"pairs": pairs}))["levels"]:
                told[one["site_id"], one["sku"]] = (
                    *(one["free"], one["held"], one["allocated"], one["on_hand"]),
                )
            return told == right

        try:
            await eventually(agrees, within_s=_AGREES_WITHIN_S)
        except TimeoutError:
            wrong = {p: (told.get(p), right[p]) for p in right if told.get(p) != right[p]}
            raise AssertionError(
                f"(free, held, allocated, on hand) told and right: {wrong}"
            ) from None
        connection = await asyncpg.connect(owner_dsn)
        try:
            found = [one async for one in violations(connection, SystemClock().now())]
            assert not found, found[:5]
            assert not await unexplained(connection, 5)
        finally:
            await connection.close()
        for model in (AVAILABILITY, RESERVATIONS, DISCREPANCIES) if is_replayed else ():
            differences = await compare(owner_dsn, event_codec(), model, lambda *_: None)
            assert not differences, differences

    async def _check_reservation(self, api: Api, reservation_id: str) -> None:
        known = self.reservations[reservation_id]
        told: dict[str, Any] = {}

        async def agrees() -> bool:
            told.update(await api.get(f"/v1/reservations/{reservation_id}"))
            return bool(told["status"] == known.status)

        try:
            await eventually(agrees, within_s=_AGREES_WITHIN_S)
        except TimeoutError:
            raise AssertionError((reservation_id, told, known)) from None
        bucket = {"held": "held", "confirmed": "allocated"}.get(known.status, "")
        has = Counter(
            {
                (one["site_id"], one["sku"]): one["held"] + one["allocated"] + one["picked"]
                for one in told["lines"]
            }
        )
        assert +has == (known.lines if bucket else Counter()), (reservation_id, told, known)
