"""Customers and staff who go on whatever happens, and the accounts that must be right after.

A customer repeats his order, under the same key, until he is told what became of it; staff go on
with whatever they find. What was answered is written down here, so that it can be compared with
what the system says once everything is over.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from services.demo.domain.dice import Dice
from tests.support.api import Api
from tests.support.journey import Staff
from tests.support.stack import eventually

SITES, PRODUCTS, UNITS = 4, 60, 100_000
_HOME_PERCENT = 30
_MOST_LINES = 5
_CLEAR_WITHIN_S = 120.0
_CHECKED_AT_ONCE = 8
_LOOK_S = 0.05
_ACCEPTED, _PENDING, _REFUSED = 201, 202, 409
_RETRYABLE = frozenset({429, 502, 503, 504})
_RETRYABLE_REASONS = frozenset({"CONCURRENT_CHANGE", "IDEMPOTENCY_RUNNING"})


@dataclass
class Load:
    """Orders under way.

    Attributes:
        api: With ``retries=0``: every answer counts.
        name: First part of every order's id.
        seed: Of what is ordered.
        acknowledged: Ids of orders that the system said it has.
        refused: Reasons, by order.
        unclear: Calls that got no final answer, by what they got instead.
        faults: Answers that no caller can do anything with.
        orders: What became of the acknowledged ones, by id.
        missing_one_in: How often a picker does not find a line, one unit of it.
        pause_s: How long a customer rests after each order.
        stuck_after_s: How long an order may stay as it is.
    """

    api: Api
    name: str
    seed: int = 1
    missing_one_in: int = 15
    pause_s: float = 0.0
    stuck_after_s: float = 120.0
    acknowledged: list[str] = field(default_factory=list[str])
    refused: dict[str, str] = field(default_factory=dict[str, str])
    unclear: Counter[str] = field(default_factory=Counter[str])
    faults: list[str] = field(default_factory=list[str])
    orders: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    _begun: int = 0
    _ended: int = 0

    async def until_one_more(self, within_s: float) -> float:
        """Wait until an order that begins from now on has ended; return how long it took.

        Raises:
            TimeoutError: None did.
        """
        began, now = self._begun, time.monotonic()
        async with asyncio.timeout(within_s):
            while self._ended <= began:
                await asyncio.sleep(_LOOK_S)
        return time.monotonic() - now

    async def run(self, is_over: Callable[[], bool], customers: int = 12) -> None:
        """Order and carry out until ``is_over``; then only finish what was begun."""
        staff = Staff(
            self.api,
            missing=self._missing,
            stuck_after_s=self.stuck_after_s,
            unclear=self.unclear,
        )

        async def live() -> None:
            while not is_over():
                number = self._begun = self._begun + 1
                order_id = f"{self.name}-{number}"
                if await self._order(order_id):
                    self.orders[order_id] = await staff.finish(order_id)
                    self._ended = max(self._ended, number)
                await asyncio.sleep(self.pause_s)

        async with asyncio.TaskGroup() as group:
            for _ in range(customers):
                group.create_task(live())

    async def _order(self, order_id: str) -> bool:
        """Place an order until the answer is clear; tell whether the system has it."""
        loop = asyncio.get_running_loop()
        until, delay_s = loop.time() + _CLEAR_WITHIN_S, 0.05
        lines, choice = self._wanted(order_id)
        while loop.time() < until:
            try:
                answer = await self.api.place(order_id, lines, choice=choice, wait_s=5)
            except httpx.TransportError as lost:
                self.unclear[type(lost).__name__] += 1
            else:
                status, body = answer.status_code, answer.json()
                reason = body.get("reason", "")
                if status in (_ACCEPTED, _PENDING):
                    self.acknowledged.append(order_id)
                    return True
                if status in _RETRYABLE or reason in _RETRYABLE_REASONS:
                    self.unclear[f"{status} {reason}"] += 1
                elif status == _REFUSED:
                    self.refused[order_id] = reason
                    return False
                else:
                    self.faults.append(f"{order_id}: {status} {answer.text}")
                    return False
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, 1.0)
        self.faults.append(f"{order_id}: no clear answer within {_CLEAR_WITHIN_S} s")
        return False

    def _wanted(self, order_id: str) -> tuple[list[tuple[str, int]], dict[str, Any]]:
        dice = Dice(self.seed, order_id)
        products = dice.some(range(1, PRODUCTS + 1), dice.between(1, _MOST_LINES))
        lines = [(f"P{product}", dice.between(1, 3)) for product in products]
        if dice.below(100) < _HOME_PERCENT:
            destination = {"postcode": "75011", "country": "FR"}
            return lines, {"mode_id": "home_delivery", "destination": destination}
        if dice.is_one_in(2):
            site_id = f"S{dice.between(1, SITES)}"
            return lines, {"mode_id": "click_and_collect", "site_id": site_id}
        return lines, {"mode_id": "click_and_collect"}

    def _missing(self, group_id: str, line: Any) -> int:
        dice = Dice(self.seed, group_id, line["line_id"])
        return int(line["quantity"] > 1 and dice.is_one_in(self.missing_one_in))


async def open_shop(api: Api) -> None:
    """Load the chain that loads order from, and wait until all of it can be promised."""
    await api.load_chain(SITES, PRODUCTS, UNITS)
    choice = {"mode_id": "click_and_collect", "site_id": f"S{SITES}"}
    last = {"lines": [{"line_id": "1", "sku": f"P{PRODUCTS}", "quantity": 1, "choice": choice}]}

    async def is_open() -> bool:
        answer = await api.post("/v1/promises:quote", last)
        return bool(answer.is_success and answer.json().get("promise", {}).get("is_feasible"))

    await eventually(is_open, within_s=120)


async def check(api: Api, *loads: Load) -> None:
    """Check that every acknowledged order ended, once, and that the stock says the same.

    ``loads`` are all that ever ordered from this chain.
    """
    delivered: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    for load in loads:
        assert not load.faults, load.faults[:5]
        assert set(load.acknowledged) == set(load.orders)
        assert not load.refused, load.refused
        assert not any(told.startswith("500") for told in load.unclear), load.unclear
        unchecked = iter(load.acknowledged)

        async def check_some(unchecked: Iterator[str] = unchecked) -> None:
            for order_id in unchecked:
                order = await api.get(f"/v1/orders/{order_id}")
                await _check_order(api, order)
                for line in order["lines"]:
                    delivered[line["line"]["sku"]] += line["quantities"]["delivered"]
                    lost[line["line"]["sku"]] += line["quantities"]["shorted"]

        await asyncio.gather(*(check_some() for _ in range(_CHECKED_AT_ONCE)))
    await eventually(lambda: _stock_agrees(api, delivered, lost), within_s=30)


async def _check_order(api: Api, order: dict[str, Any]) -> None:
    order_id = order["order_id"]
    assert order["status"] == "completed", order
    entries = (await api.get(f"/v1/orders/{order_id}/events"))["entries"]
    once = Counter(
        (entry["kind"], entry["group_id"], entry["step_id"], entry["line_id"]) for entry in entries
    )
    assert max(once.values()) == 1, f"{order_id}: told twice: {once.most_common(3)}"
    captured = sum(
        entry["amount"]["amount_minor"] for entry in entries if entry["kind"] == "payment_captured"
    )
    assert captured == order["captured_minor"] <= order["total_minor"]
    for line in order["lines"]:
        quantities = line["quantities"]
        assert quantities["delivered"] + quantities["shorted"] == line["line"]["quantity"], line
    tracking = (await api.get(f"/v1/orders/{order_id}/tracking"))["entries"]
    messages: list[dict[str, Any]] = []

    async def are_told() -> bool:
        nonlocal messages
        messages = (await api.get(f"/v1/orders/{order_id}/messages"))["messages"]
        return len(messages) >= len(tracking)

    try:
        await eventually(are_told, within_s=20)
    except TimeoutError:
        raise AssertionError(f"{order_id}: {len(messages)} messages: {messages}") from None
    assert len(messages) == len(tracking), f"{order_id}: {messages} for {tracking}"
    assert len({message["message_id"] for message in messages}) == len(messages)


async def _stock_agrees(api: Api, delivered: Counter[str], lost: Counter[str]) -> bool:
    """Compare what the shelves hold with what was delivered and what was not found."""
    skus = [f"P{product}" for product in range(1, PRODUCTS + 1)]
    pairs = [{"site_id": f"S{n}", "sku": sku} for n in range(1, SITES + 1) for sku in skus]
    levels = (await api.done("/v1/stock/levels:batch", {"pairs": pairs}))["levels"]
    on_hand: Counter[str] = Counter()
    for level in levels:
        if level["held"] or level["allocated"] or level["picked"]:
            return False
        assert level["free"] == level["on_hand"] >= 0, level
        on_hand[level["sku"]] += level["on_hand"]
    left = {sku: SITES * UNITS - delivered[sku] - lost[sku] for sku in skus}
    assert dict(on_hand) == left, {
        sku: (on_hand[sku], left[sku]) for sku in skus if on_hand[sku] != left[sku]
    }
    return True
