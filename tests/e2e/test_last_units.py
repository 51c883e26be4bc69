"""Two hundred buyers at once for fifty units: fifty get them, the others are told where else."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.support.api import Api, a_product, a_site
from tests.support.embedded import Embedded
from tests.support.stack import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

UNITS, BUYERS, TRIES = 50, 200, 5
HERE, ELSEWHERE = "S1", "S8"
AT_THIS_SITE = {"mode_id": "click_and_collect", "site_id": HERE}


@pytest_asyncio.fixture(loop_scope="session")
async def platform(system: Embedded) -> AsyncIterator[Api]:
    """As many connections as there are buyers; a call without a clear answer is repeated."""
    async with system.api(connections=BUYERS, retries=8) as api:
        yield api


async def _offer(api: Api, sku_number: int, units: int) -> str:
    """Put ``units`` of a new product where everybody wants it, and more far away."""
    await api.load_chain(6, 3, 10)
    await api.done("/v1/catalog/sites:batch", {"sites": [a_site(8)]})
    await api.done(
        "/v1/catalog/extended-sites:batch",
        {
            "extended_sites": [
                {
                    "extended_site_id": "E8",
                    "name": "Ailleurs",
                    "anchor_site_id": ELSEWHERE,
                    "member_site_ids": [ELSEWHERE],
                }
            ]
        },
    )
    await api.done(
        "/v1/catalog/sales-zones:batch",
        {"sales_zones": [{"sales_zone_id": "Z8", "name": "Sud", "extended_site_ids": ["E8"]}]},
    )
    product = a_product(sku_number)
    await api.done("/v1/catalog/products:batch", {"products": [product]})
    sku = str(product["sku"])
    await api.receive({(HERE, sku): units, (ELSEWHERE, sku): 1_000})
    await eventually(lambda: _is_offered(api, sku), within_s=60)
    return sku


async def _is_offered(api: Api, sku: str) -> bool:
    """Tell whether both sites' stock can be promised: the feeds have carried it everywhere."""
    for site in (HERE, ELSEWHERE):
        choice = {"mode_id": "click_and_collect", "site_id": site}
        lines = [{"line_id": "L1", "sku": sku, "quantity": 1, "choice": choice}]
        answer = await api.post("/v1/promises:quote", {"lines": lines})
        if not (answer.is_success and answer.json().get("promise", {}).get("is_feasible")):
            return False
    return True


async def _check(api: Api, sku: str, answers: dict[str, httpx.Response], units_each: int) -> None:
    """Check that nobody got a unit that is not there, and that all others know why."""
    told = Counter(answer.status_code for answer in answers.values())
    winners = UNITS // units_each
    assert told == {201: winners, 409: BUYERS - winners}, told
    for order_id, answer in answers.items():
        if answer.status_code == 409:
            problem = answer.json()
            assert problem["reason"] == "OUT_OF_STOCK", problem
            assert any(
                one["site_id"] == ELSEWHERE and one["sku"] == sku and one["available"] > 0
                for one in problem["alternatives"]
            ), problem
            assert (await _order(api, order_id))["status"] == "refused"
        else:
            assert answer.json()["status"] == "accepted"
    level = await _level(api, sku)
    assert (level["free"], level["held"], level["allocated"]) == (0, 0, UNITS)
    await eventually(lambda: _is_allocated(api, sku))
    entries = await api.get("/v1/stock/entries", site_id=HERE, sku=sku, page_size=200)
    assert min(entry["free_after"] for entry in entries["entries"]) >= 0


async def _order(api: Api, order_id: str) -> Any:
    return await api.get(f"/v1/orders/{order_id}")


async def _level(api: Api, sku: str) -> Any:
    return (await api.get("/v1/stock", site_id=HERE, sku=sku))["levels"][0]


async def _is_allocated(api: Api, sku: str) -> bool:
    return bool((await _level(api, sku))["allocated"] == UNITS)


async def test_the_last_units_go_to_as_many_buyers_as_there_are_units(platform: Api) -> None:
    sku = await _offer(platform, 7_001, UNITS)
    placed = await asyncio.gather(
        *(platform.place(f"last-{n}", [(sku, 1)], choice=AT_THIS_SITE) for n in range(BUYERS))
    )
    answers = {f"last-{n}": answer for n, answer in enumerate(placed)}
    await _check(platform, sku, answers, units_each=1)


async def test_two_lines_of_the_same_product_are_one_need(platform: Api) -> None:
    sku = await _offer(platform, 7_002, UNITS)
    placed = await asyncio.gather(
        *(
            platform.place(f"twice-{n}", [(sku, 1), (sku, 1)], choice=AT_THIS_SITE)
            for n in range(BUYERS)
        )
    )
    answers = {f"twice-{n}": answer for n, answer in enumerate(placed)}
    await _check(platform, sku, answers, units_each=2)


async def test_a_storm_of_retries_is_one_order_each(platform: Api) -> None:
    """Every request is sent five times at once, under the same key, and repeated until told."""
    sku = await _offer(platform, 7_003, UNITS)

    async def insist(order_id: str) -> httpx.Response:
        while True:
            answer = await platform.place(order_id, [(sku, 1)], choice=AT_THIS_SITE)
            if answer.status_code != 409 or answer.json()["reason"] != "IDEMPOTENCY_RUNNING":
                return answer
            await asyncio.sleep(0.2)

    async def buy(order_id: str) -> httpx.Response:
        told = await asyncio.gather(*(insist(order_id) for _ in range(TRIES)))
        assert len({_told(answer) for answer in told}) == 1, [answer.text for answer in told]
        return told[0]

    placed = await asyncio.gather(*(buy(f"storm-{n}") for n in range(BUYERS)))
    await _check(
        platform, sku, {f"storm-{n}": answer for n, answer in enumerate(placed)}, units_each=1
    )


def _told(answer: httpx.Response) -> tuple[int, str, str]:
    body = answer.json()
    return answer.status_code, body.get("status", ""), body.get("reason", "")


async def test_nothing_is_broken_afterwards(system: Embedded) -> None:
    code, said = await system.oms("verify")
    assert code == 0, said
