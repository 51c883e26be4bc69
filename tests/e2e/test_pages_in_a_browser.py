"""The pages' scripts in a real browser: pages move by themselves, and what is open stays open."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.api import Api
from tests.support.browser import CHROMIUM, Browser, browser
from tests.support.embedded import Embedded
from tests.support.journey import Staff
from tests.support.stack import eventually

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium"),
]

AT_S3 = {"mode_id": "click_and_collect", "site_id": "S3"}


@pytest_asyncio.fixture(loop_scope="session")
async def seen(tmp_path: Path) -> AsyncIterator[Browser]:
    async with browser(tmp_path) as driven:
        yield driven
    assert driven.complaints == [], "nothing was refused by the pages' policy, nothing failed"


@pytest_asyncio.fixture(loop_scope="session")
async def shop(system: Embedded) -> AsyncIterator[Api]:
    async with system.api(retries=5) as api:
        await api.load_chain(6, 200, 5_000)
        yield api


async def _placed(api: Api, order_id: str) -> str:
    """Place an order and return the address of its page; feeds may bring its products later."""
    body = {
        "order_id": order_id,
        "customer_id": "C1",
        "lines": [{"line_id": "L1", "sku": "P1", "quantity": 2, "choice": AT_S3}],
    }
    address = ""

    async def is_accepted() -> bool:
        nonlocal address
        answer = await api.post("/v1/orders", body, headers={"Prefer": "wait=10"})
        address = answer.json().get("tracking_url", "")
        return bool(address)

    await eventually(is_accepted, within_s=60)
    return address


async def test_an_orders_page_moves_by_itself_and_keeps_what_the_reader_opened(
    system: Embedded, shop: Api, seen: Browser
) -> None:
    address = await _placed(shop, "browser-one")
    page = await seen.open(f"{system.address}{address}?lang=en")
    await page.until("document.body.classList.contains('is-live')")
    assert await page.value("document.getElementById('headline').textContent") == "Step picking"
    await page.value(
        "window.wasHere = true; document.querySelector('details').open = true;"
        " document.querySelector('summary').focus()"
    )
    await Staff(shop).finish("browser-one", stop_before="handover")
    await page.until("document.querySelector('.digits') !== null")
    assert await page.value("document.querySelector('details').open")
    assert await page.value("document.activeElement.id") == "goods-of-1"
    assert await page.value("document.title.startsWith('Step arrival')")
    await Staff(shop).finish("browser-one")
    await page.until("!document.body.classList.contains('is-live')")
    assert await page.value("document.getElementById('headline').textContent") == "Order completed"
    assert await page.value("window.wasHere"), "the page was never loaded anew"


async def test_the_stock_page_tells_what_arrives(
    system: Embedded, shop: Api, seen: Browser
) -> None:
    told = await shop.get("/v1/stock/page")
    page = await seen.open(f"{system.address}{told['stock_page_url']}?lang=en&q=P7&site_id=S3")
    await page.until("document.body.classList.contains('is-live')")
    on_hand = "document.querySelector('td .number').textContent"
    before = await page.value(on_hand)
    await shop.receive({("S3", "P7"): 1_000}, "browser-note")
    await page.until(f"{on_hand} !== {before!r}")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_the_api_can_be_read_by_day_and_by_night(
    system: Embedded, seen: Browser, *, dark: bool
) -> None:
    page = await seen.open(f"{system.address}/docs", dark=dark)
    await page.until("document.querySelectorAll('.opblock-tag').length > 5")
    ink = "getComputedStyle(document.querySelector('.opblock-tag')).color"
    ground = "getComputedStyle(document.body).backgroundColor"
    light = [sum(map(int, str(await page.value(one))[4:-1].split(","))) for one in (ink, ground)]
    assert (light[0] > light[1]) is dark, "letters stand out from the ground"
