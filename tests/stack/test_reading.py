"""Who only reads, beside a stack on which orders run, are cancelled and come back: nobody notices.

The commands are the same as beside an embedded system (`tests/e2e/test_analysts.py`); here what
they read comes from the broker, and what they compare is in twenty processes.
"""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from services.kernel.main.feed_directory import feeds
from tests.support.api import Api
from tests.support.journey import Staff
from tests.support.load import open_shop
from tests.support.on_stack import OnStack
from tests.support.stack import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

TENANT, CUSTOMERS = "readers", 2


@dataclass
class Trade:
    """Orders that end well, that are cancelled, and that come back, for as long as it runs.

    Attributes:
        api: Of a tenant of its own.
        ended: What became of how many.
        first: Id of an order that was completed.
    """

    api: Api
    ended: Counter[str] = field(default_factory=Counter[str])
    first: str = ""
    _begun: int = 0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(CUSTOMERS):
                group.create_task(self._live())

    async def _live(self) -> None:
        ends = (self._complete, self._cancel, self._bring_back)
        while True:
            self._begun += 1
            number = self._begun
            order_id = f"read-{number}"
            answer = await self.api.place(order_id, [(f"P{1 + number % 50}", 2)])
            assert answer.is_success, answer.text
            await ends[number % len(ends)](order_id)

    async def _complete(self, order_id: str) -> None:
        order = await Staff(self.api).finish(order_id)
        self.first = self.first or order_id
        self.ended[order["status"]] += 1

    async def _cancel(self, order_id: str) -> None:
        await Staff(self.api).finish(order_id, stop_before="picking")
        await self.api.done(f"/v1/orders/{order_id}:cancel", {"reason": "CHANGED_MIND"})
        self.ended["cancelled"] += 1

    async def _bring_back(self, order_id: str) -> None:
        await self._complete(order_id)
        return_id, line = f"back-{order_id}", {"line_id": "L1", "quantity": 1}
        body = {"return_id": return_id, "order_id": order_id, "site_id": "S1", "lines": [line]}

        async def is_opened() -> bool:
            """Tell whether the returns have heard of the handover, and taken it back."""
            return (await self.api.post("/v1/returns", body, key=f"{return_id}-{self._begun}")
                    ).is_success  # fmt: skip

        await eventually(is_opened, within_s=60)
        at = f"/v1/returns/{return_id}"
        await self.api.done(f"{at}:inspect", {"lines": [line | {"disposition": "restock"}]})
        preview = await self.api.get(f"{at}/refund-preview")
        amount = preview["amount"]["amount_minor"]
        agreed = {"preview_version": preview["preview_version"], "amount_minor": amount}
        await self.api.done(f"{at}:validate", agreed | {"clerk_id": "clerk-1"})
        self.ended["refunded"] += 1


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def trade(system: OnStack) -> AsyncIterator[Trade]:
    """Orders under way from the first of these tests to the last."""
    key = await system.key_of(TENANT)
    async with Api.at(system.address, key, connections=16, retries=10) as api:
        await open_shop(api)
        trade = Trade(api)
        running = asyncio.create_task(trade.run())
        await eventually(lambda: _has_each(trade, running), within_s=120)
        yield trade
        assert not running.done(), running.result()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def _has_each(trade: Trade, running: "asyncio.Task[None]") -> bool:
    if running.done():
        running.result()
    return {"completed", "cancelled", "refunded"} <= trade.ended.keys()


async def _oms(system: OnStack, *arguments: str) -> str:
    code, said = await system.oms(*arguments)
    assert code == 0, said
    return said


async def _rows(system: OnStack, *arguments: str) -> list[dict[str, Any]]:
    said = await _oms(system, *arguments, "--json", "--no-follow")
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


async def test_what_is_read_while_orders_run(system: OnStack, trade: Trade, tmp_path: Path) -> None:
    """The directory, one order, a feed taken away, and a feed played into a consumer."""
    # The order's feed may hold what is no event (`test_faults.py`), which an export tells of.
    target = tmp_path / "picking.jsonl"
    directory, told, _, replayed = await asyncio.gather(
        _oms(system, "feeds", "--json"),
        _rows(system, "tail", "--order", trade.first),
        _oms(system, "export", "picking", "--format", "jsonl", "-o", str(target)),
        _oms(system, "replay", "order", "--into", "docs.examples.consumer:captured"),
    )
    assert all(feed.topic in directory for feed in feeds())
    names = [one["event"] for one in told]
    times = [datetime.fromisoformat(one["recorded_at"]) for one in told]
    assert times == sorted(times)
    assert names[0] == "OrderPlaced"
    assert {"PlanDecided", "ReservationHeld", "PickCompleted", "OrderCompleted"} <= set(names)
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    positions = [row["log_position"] for row in rows]
    assert len(set(positions)) == len(positions) > names.count("LinePicked") > 0
    assert json.loads(replayed.splitlines()[-1])["EUR"] > 0


async def test_nothing_looks_broken_that_is_only_on_its_way(system: OnStack, trade: Trade) -> None:
    before = trade.ended.copy()
    code, said = await system.oms("verify")
    assert code == 0, said
    assert "verifying agreement" in said  # it says how far it is
    meanwhile = trade.ended - before
    assert {"completed", "cancelled", "refunded"} <= meanwhile.keys(), meanwhile
