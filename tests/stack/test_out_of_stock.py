"""The last units are sold once, whichever ledger is asked; the others learn where to look."""

import asyncio
from collections import Counter

import httpx
import pytest

from tests.e2e.test_last_units import AT_THIS_SITE, ELSEWHERE, HERE, _offer
from tests.support.api import Api
from tests.support.on_stack import OnStack
from tests.support.stack import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

UNITS, BUYERS = 10, 30
DECIDED_WITHIN_S = 180.0
SKU_NUMBER = 7_101


async def _decision(api: Api, order_id: str, placed: httpx.Response) -> str:
    """Return what became of an order, whenever that is known."""
    if placed.status_code == 409:
        assert placed.json()["reason"] == "OUT_OF_STOCK", placed.text
    else:
        assert placed.status_code in (201, 202), placed.text
    status = ""

    async def is_decided() -> bool:
        nonlocal status
        status = (await api.get(f"/v1/orders/{order_id}"))["status"]
        return bool(status != "placed")

    await eventually(is_decided, within_s=DECIDED_WITHIN_S)
    return status


async def test_the_last_units_are_sold_once_and_the_others_told_where_else(system: OnStack) -> None:
    async with system.api(connections=BUYERS, retries=8) as api:
        sku = await _offer(api, SKU_NUMBER, UNITS)
        ids = [f"stack-last-{n}" for n in range(BUYERS)]
        placed = await asyncio.gather(
            *(api.place(one, [(sku, 1)], choice=AT_THIS_SITE) for one in ids)
        )
        decided = [await _decision(api, *pair) for pair in zip(ids, placed, strict=True)]
        assert Counter(decided) == {"accepted": UNITS, "refused": BUYERS - UNITS}

        async def is_allocated() -> bool:
            (level,) = (await api.get("/v1/stock", site_id=HERE, sku=sku))["levels"]
            return (level["free"], level["held"], level["allocated"]) == (0, 0, UNITS)

        await eventually(is_allocated, within_s=DECIDED_WITHIN_S)
        late = await api.place("stack-last-late", [(sku, 1)], choice=AT_THIS_SITE)
        if late.status_code == 202:  # slow today: the same question, under the same key
            await _decision(api, "stack-last-late", late)
            late = await api.place("stack-last-late", [(sku, 1)], choice=AT_THIS_SITE)
        assert late.status_code == 409, late.text
        assert any(
            one["site_id"] == ELSEWHERE and one["sku"] == sku for one in late.json()["alternatives"]
        ), late.text
