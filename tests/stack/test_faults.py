"""Whatever part of the stack is killed, stopped or frozen while orders run: each ends, once.

The keeper starts again what died; nobody else is told. Afterwards every acknowledged order has
ended, the accounts are right, and `oms verify` finds nothing. The short form hurts a stack under
one load with every fault in turn; the long form gives each fault, made harder, a load of its own.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from tests.support import report
from tests.support.api import Api
from tests.support.faults import FAULTS, LONG, NEED_OWN_BROKER, SHORT, Facts, Size
from tests.support.load import Load, check, open_shop
from tests.support.on_stack import OnStack

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.chaos,
    pytest.mark.timeout(600),
]

CUSTOMERS, CONNECTIONS, PAUSE_S = 4, 24, 0.5
GOES_ON_WITHIN_S = 90.0


@dataclass
class Shop:
    """A chain of its own on the stack, and all that was ever ordered from it.

    Attributes:
        system: The stack.
        key: Of the chain's tenant.
        loads: For the books: the stock must agree with all of them.
    """

    system: OnStack
    key: str
    loads: list[Load] = field(default_factory=list[Load])

    def api(self, retries: int) -> Api:
        address = self.system.address
        return Api.at(address, self.key, connections=CONNECTIONS, retries=retries)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(system: OnStack) -> Shop:
    shop = Shop(system, await system.key_of("faults"))
    async with shop.api(retries=10) as api:
        await open_shop(api)
    return shop


@dataclass
class Orders:
    """Orders that run until they are told to end.

    Attributes:
        name: First part of their ids, and the report's name.
        shop: Where they are placed.
        told: What each fault had to tell.
    """

    name: str
    shop: Shop
    told: dict[str, Facts] = field(default_factory=dict[str, Facts])
    _is_over: bool = False

    async def start(self) -> None:
        self._began = time.monotonic()
        self._api = self.shop.api(retries=0)
        self.load = Load(self._api, self.name, pause_s=PAUSE_S, stuck_after_s=300.0)
        self.shop.loads.append(self.load)
        self._running = asyncio.create_task(self.load.run(lambda: self._is_over, CUSTOMERS))
        await self.load.until_one_more(GOES_ON_WITHIN_S)

    async def hurt(self, name: str, size: Size) -> None:
        """Hurt the stack, and see an order that begins afterwards through to its end."""
        system = self.shop.system
        if name in NEED_OWN_BROKER and system.caveat:
            pytest.skip(f"NOT TESTED: {system.caveat}")
        if name in NEED_OWN_BROKER and "broker" not in system.pids():
            pytest.skip("the broker is not ours to stop")
        began = time.monotonic()
        async with self.shop.api(retries=10) as api:
            hurting = asyncio.ensure_future(FAULTS[name](system, api, size))
            await asyncio.wait([hurting, self._running], return_when=asyncio.FIRST_COMPLETED)
            if self._running.done():
                hurting.cancel()
                self._running.result()  # raises what went wrong
            facts = await hurting
        took_s = time.monotonic() - began
        one_more = asyncio.ensure_future(self.load.until_one_more(GOES_ON_WITHIN_S))
        await asyncio.wait([one_more, self._running], return_when=asyncio.FIRST_COMPLETED)
        if not one_more.done():
            self._running.result()
        self.told[name] = facts | {
            "took_s": round(took_s, 1),
            "next_order_ended_after_s": round(await one_more, 1),
        }
        report.say(f"{name}: {self.told[name]}")

    async def end(self, *, is_verified: bool) -> None:
        """Let what was begun end; check all of it, and report."""
        self._is_over = True
        await self._running
        ended = time.monotonic()
        async with self.shop.api(retries=10) as api:
            await check(api, *self.shop.loads)
        checked = time.monotonic()
        code, said = await self.shop.system.oms("verify") if is_verified else (0, "")
        facts: dict[str, Any] = {
            "faults": self.told,
            "orders_acknowledged": len(self.load.acknowledged),
            "orders_ended": len(self.load.orders),
            "calls_without_clear_answer": dict(self.load.unclear),
            "broker_caveat": self.shop.system.caveat,
            "is_verified": is_verified and code == 0,
            "cores": os.cpu_count(),
            "under_load_s": round(ended - self._began, 1),
            "checked_s": round(checked - ended, 1),
            "verified_s": round(time.monotonic() - checked, 1),
        }
        report.write(self.name, facts)
        assert code == 0, said
        assert self.load.acknowledged

    async def close(self) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        await self._api.client.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def orders(shop: Shop) -> AsyncIterator[Orders]:
    """Orders under way from the first fault to the last."""
    orders = Orders("stack-faults-short", shop)
    await orders.start()
    yield orders
    await orders.close()


@pytest.mark.parametrize("fault", FAULTS)
async def test_orders_go_on_after(fault: str, orders: Orders) -> None:
    await orders.hurt(fault, SHORT)


async def test_nothing_was_lost_and_nothing_done_twice(orders: Orders) -> None:
    # `oms verify` runs once for all of these tests, in `test_journeys.py`.
    await orders.end(is_verified=False)


@pytest.mark.soak
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("fault", FAULTS)
async def test_for_longer_nothing_is_lost_or_done_twice(fault: str, shop: Shop) -> None:
    orders = Orders(f"stack-{fault}", shop)
    await orders.start()
    try:
        await orders.hurt(fault, LONG)
        await orders.end(is_verified=True)
    finally:
        await orders.close()
