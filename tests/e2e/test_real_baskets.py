"""The baskets of a real grocery store, from the shelf to the customer, and clean books after."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support import report
from tests.support.api import Api
from tests.support.baskets import baskets
from tests.support.embedded import Embedded
from tests.support.journey import Staff
from tests.support.stack import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

SITES = 6
PLENTY = 20_000
# Popular products that run out on the way, so that refusals are part of the picture: at each site
# there is one unit for so many baskets.
SCARCE, BASKETS_A_UNIT = (5, 25, 45), 400
SHORT_FORM = 200
AT_ONCE = 16
CONNECTIONS = 32


@pytest_asyncio.fixture(loop_scope="session")
async def platform(system: Embedded) -> AsyncIterator[Api]:
    async with system.api(connections=CONNECTIONS, retries=5) as api:
        yield api


@pytest.mark.timeout(400)
async def test_some_hundred_real_baskets(system: Embedded, platform: Api) -> None:
    await _carry(system, platform, SHORT_FORM, "baskets-short")


@pytest.mark.soak
@pytest.mark.timeout(5_400)
async def test_all_real_baskets(system: Embedded, platform: Api) -> None:
    await _carry(system, platform, 0, "baskets")


def _sku(rank: int) -> str:
    return f"P{1_000 + rank}"


async def _open_shop(api: Api, products: int, scarce_units: int) -> None:
    await api.load_chain(SITES, [_product(rank) for rank in range(products)], 0)
    await api.receive(
        {
            (f"S{site}", _sku(rank)): scarce_units if rank in SCARCE else PLENTY
            for site in range(1, SITES + 1)
            for rank in range(products)
        }
    )
    last = {
        "lines": [
            {
                "line_id": "L1",
                "sku": _sku(products - 1),
                "quantity": 1,
                "choice": {"mode_id": "click_and_collect", "site_id": f"S{SITES}"},
            }
        ]
    }

    async def is_open() -> bool:
        answer = await api.post("/v1/promises:quote", last)
        return bool(answer.is_success and answer.json().get("promise", {}).get("is_feasible"))

    await eventually(is_open, within_s=120)


def _product(rank: int) -> dict[str, Any]:
    return {
        "sku": _sku(rank),
        "name": f"Article {rank}",
        "category_path": ["Épicerie", f"Rayon {rank % 10}"],
        "unit": "piece",
        "temperature": ("ambient", "ambient", "chilled", "frozen")[rank % 4],
        "price": {"amount_minor": 99 + 7 * rank, "currency": "EUR"},
        "price_quantity": 1,
        "volume_ml": 1_000,
        "weight_g": 500,
        "is_weight_variable": False,
    }


def _choice(number: int) -> dict[str, Any]:
    """Three in ten at home; of the others every second names the site."""
    if number % 10 < 3:
        return {
            "mode_id": "home_delivery",
            "destination": {"postcode": "75011", "country": "FR"},
        }
    if number % 2:
        return {"mode_id": "click_and_collect", "site_id": f"S{1 + number % SITES}"}
    return {"mode_id": "click_and_collect"}


async def _carry(system: Embedded, api: Api, count: int, name: str) -> None:
    """Place the first ``count`` baskets (0: all), finish them, verify, and report."""
    shop = baskets()
    chosen = shop.baskets[: count or None]
    await _open_shop(api, shop.products, 1 + len(chosen) // BASKETS_A_UNIT)
    staff = Staff(api, stuck_after_s=120)
    placing_ms: list[float] = []
    outcomes: Counter[str] = Counter()
    began = time.monotonic()

    async def buy(number: int) -> None:
        order_id = f"{name}-{number}"
        lines = [(_sku(rank), 1) for rank in chosen[number]]
        started = time.perf_counter()
        answer = await api.place(order_id, lines, choice=_choice(number))
        placing_ms.append((time.perf_counter() - started) * 1_000)
        if answer.status_code == 409:
            outcomes[answer.json()["reason"]] += 1
            return
        assert answer.status_code in (201, 202), f"{order_id}: {answer.status_code} {answer.text}"
        order = await staff.finish(order_id)
        outcomes[order["status"]] += 1
        assert order["captured_minor"] == order["total_minor"] or order["status"] != "completed"
        if len(placing_ms) % 500 == 0:
            report.say(f"{name}: {len(placing_ms)} of {len(chosen)} baskets")

    await _each(buy, len(chosen))
    took_s = time.monotonic() - began
    code, said = await system.oms("verify")
    report.write(
        name,
        {
            "baskets": len(chosen),
            "lines": sum(map(len, chosen)),
            "source": shop.source,
            "outcomes": dict(outcomes),
            "orders_per_s_placed_and_finished": round(len(chosen) / took_s, 1),
            "placing_p50_ms": round(report.quantile(placing_ms, 0.5), 1),
            "placing_p99_ms": round(report.quantile(placing_ms, 0.99), 1),
            "at_once": AT_ONCE,
            "cores": os.cpu_count(),
            "took_s": round(took_s, 1),
            "is_verified": code == 0,
        },
        placing_ms,
    )
    assert code == 0, said
    assert set(outcomes) == {"completed", "OUT_OF_STOCK"}, outcomes
    assert outcomes["completed"] > len(chosen) * 0.8, outcomes


async def _each(work: Any, count: int) -> None:
    """Run ``work(0)`` to ``work(count - 1)``, ``AT_ONCE`` of them at a time."""
    numbers = iter(range(count))

    async def go(shared: Iterator[int]) -> None:
        for number in shared:
            await work(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(go(numbers))
