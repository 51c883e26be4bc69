"""The invoices of a real shop through the whole stack, to the customer, and clean books after."""

import asyncio
import os
import time
from collections import Counter

import pytest

from tests.support import report
from tests.support.api import Api, a_product
from tests.support.invoices import Invoice, Invoices, invoices
from tests.support.journey import Staff
from tests.support.on_stack import OnStack
from tests.support.stack import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

SITES, AT_ONCE, SHORT_FORM = 3, 16, 500
PLENTY = 5_000_000
STUCK_AFTER_S = 300.0


@pytest.mark.timeout(1_500)
async def test_five_hundred_invoices(system: OnStack) -> None:
    # The books are verified once for all of these tests, in `test_journeys.py`.
    await _carry(system, SHORT_FORM, "stack-invoices-short", is_verified=False)


@pytest.mark.soak
@pytest.mark.timeout(7_200)
async def test_all_invoices(system: OnStack) -> None:
    await _carry(system, 0, "stack-invoices", is_verified=True)


async def _open_shop(api: Api, shop: Invoices, sold: set[str]) -> None:
    products = [
        a_product(number, shop.prices_minor[code]) | {"sku": f"U{code}", "name": f"Article {code}"}
        for number, code in enumerate(sorted(sold))
    ]
    await api.load_chain(SITES, products, PLENTY)
    last = {"mode_id": "click_and_collect", "site_id": f"S{SITES}"}
    line = {"line_id": "L1", "sku": products[-1]["sku"], "quantity": 1, "choice": last}

    async def is_open() -> bool:
        answer = await api.post("/v1/promises:quote", {"lines": [line]})
        return bool(answer.is_success and answer.json().get("promise", {}).get("is_feasible"))

    await eventually(is_open, within_s=300)


def _choice(invoice: Invoice) -> dict[str, object]:
    """From abroad it is delivered; at home two in three are collected."""
    number = int(invoice.number[-4:])
    if invoice.country != "France" or number % 3 == 0:
        destination = {"postcode": "75011", "country": "FR"}
        return {"mode_id": "home_delivery", "destination": destination}
    return {"mode_id": "click_and_collect", "site_id": f"S{1 + number % SITES}"}


async def _carry(system: OnStack, count: int, name: str, *, is_verified: bool) -> None:
    """Place ``count`` invoices (the shortest; 0: all) as orders, finish them, and report."""
    shop = invoices()
    # A clerk picks line by line: the long ones are for the long form.
    chosen = sorted(shop.invoices, key=lambda one: len(one.lines))[:count] or shop.invoices
    placing_ms: list[float] = []
    outcomes: Counter[str] = Counter()
    async with system.api(connections=2 * AT_ONCE, retries=8) as api:
        await _open_shop(api, shop, {code for one in chosen for code in one.lines})
        staff = Staff(api, stuck_after_s=STUCK_AFTER_S)
        waiting = iter(chosen)
        began = time.monotonic()

        async def customers() -> None:
            for invoice in waiting:
                order_id = f"{name}-{invoice.number}"
                lines = [(f"U{code}", units) for code, units in invoice.lines.items()]
                started = time.perf_counter()
                answer = await api.place(order_id, lines, choice=_choice(invoice))
                placing_ms.append((time.perf_counter() - started) * 1_000)
                assert answer.status_code in (201, 202), f"{order_id}: {answer.text}"
                order = await staff.finish(order_id)
                outcomes[order["status"]] += 1
                assert order["captured_minor"] == order["total_minor"], order_id

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(customers())
        took_s = time.monotonic() - began
    code, said = await system.oms("verify") if is_verified else (0, "")
    report.write(
        name,
        {
            "invoices": len(chosen),
            "lines": sum(len(one.lines) for one in chosen),
            "source": shop.source,
            "broker_caveat": system.caveat,
            "outcomes": dict(outcomes),
            "orders_per_s_placed_and_finished": round(len(chosen) / took_s, 1),
            "placing_p50_ms": round(report.quantile(placing_ms, 0.5), 1),
            "placing_p99_ms": round(report.quantile(placing_ms, 0.99), 1),
            "at_once": AT_ONCE,
            "cores": os.cpu_count(),
            "took_s": round(took_s, 1),
            "is_verified": is_verified and code == 0,
        },
        placing_ms,
    )
    assert code == 0, said
    assert outcomes == {"completed": len(chosen)}, outcomes
