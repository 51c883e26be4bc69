"""Everything together, over HTTP: from a product to a collected order on its page."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.kernel.adapters.ports import free_port
from services.kernel.main.embedded import running
from services.kernel.settings import KernelSettings

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(180)]
HOURS = [{"weekday": day, "opens_minute": 0, "closes_minute": 1440} for day in range(1, 8)]
CHOICE = {"mode_id": "click_and_collect", "site_id": "lyon"}
LINES = {"customer_id": "c-1", "lines": [{"sku": "pear", "quantity": 3, "choice": CHOICE}]}


def a_step(step_id: str, kind: str, milestone: str, **more: Any) -> dict[str, Any]:
    label = {"fr": f"Étape {step_id}", "en": f"Step {step_id}"}
    return {
        "step_id": step_id, "type": kind, "completes_on": milestone, "label": label,
        "visibility": "label_and_time", **more,
    }  # fmt: skip


MODE = {
    "mode_id": "click_and_collect", "version": 1, "choice_kind": "site",
    "label": {"fr": "Retrait", "en": "Collect"}, "fee": {"amount_minor": 0, "currency": "EUR"},
    "steps": [
        a_step("confirmed", "system", "reserved", cancellable=True),
        a_step("picking", "work", "picked", cancellable=True),
        a_step("staging", "work", "ready", visibility="hidden"),
        a_step("arrival", "wait", "arrived", optional=True),
        a_step("handover", "handover", "handed_over"),
    ],
}  # fmt: skip
SITE = {
    "site_id": "lyon", "name": "Lyon", "type": "store", "postcode": "69001",
    "position": {"latitude_e6": 45767000, "longitude_e6": 4835000},
    "time_zone": "Europe/Paris", "opening_hours": HOURS, "priority": 1, "is_active": True,
    "capabilities": [{
        "mode_id": "click_and_collect", "can_prepare": True, "can_hand_over": True,
        "temperatures": ["ambient"], "lead_time_minutes": 30,
        "preparation_cost": {"amount_minor": 100, "currency": "EUR"},
    }],
}  # fmt: skip
PEAR = {
    "sku": "pear", "name": "Poire", "category_path": ["Fruits"], "unit": "piece",
    "temperature": "ambient", "price": {"amount_minor": 120, "currency": "EUR"},
    "price_quantity": 1, "volume_ml": 200, "weight_g": 150,
}  # fmt: skip


class Shop:
    """A retailer's platform: every POST with a key of its own."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self._number = 0

    async def post(self, path: str, body: Any = None, key: str = "") -> httpx.Response:
        self._number += 1
        headers = {"Idempotency-Key": key or f"k-{self._number}"}
        return await self.http.post(path, json=body or {}, headers=headers)

    async def done(self, path: str, body: Any = None) -> Any:
        answer = await self.post(path, body)
        assert answer.status_code in (200, 201), (path, answer.text)
        return answer.json()

    async def until(self, path: str, body: Any = None) -> Any:
        """Repeat a POST, as a clerk would, while the feeds are on their way."""
        answer = await self.post(path, body)
        for _ in range(100):
            if answer.status_code not in (404, 409):
                break
            await asyncio.sleep(0.1)
            answer = await self.post(path, body)
        assert answer.status_code == 200, (path, answer.text)
        return answer.json()


@pytest.fixture
async def shop(
    postgres_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Shop]:
    for name in ("PICKUP_CODE_SECRET", "TRACKING_SECRET", "INTERNAL_TOKEN", "DEMO_TENANT"):
        owner = "DELIVERY" if name.startswith("PICKUP") else "GATEWAY"
        monkeypatch.setenv(f"OMS_{owner}_{name}", "")  # so that what running sets is undone
        monkeypatch.delenv(f"OMS_{owner}_{name}")
    settings = KernelSettings(
        data_home=tmp_path, postgres_dsn=postgres_dsn, database_prefix=f"g{free_port()}_",
        http_port=free_port(), grpc_port=0, health_port=free_port(),
    )  # fmt: skip
    async with running(settings, lambda _: None) as embedded:
        key = await embedded.demo_key(tmp_path)
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(
            base_url=embedded.addresses.http, headers=headers, timeout=30
        ) as http:
            yield Shop(http)


async def test_an_order_is_placed_picked_collected_and_followed(shop: Shop) -> None:
    await shop.done("/v1/catalog/products:batch", {"products": [PEAR]})
    await shop.done("/v1/catalog/sites:batch", {"sites": [SITE]})
    await shop.done("/v1/catalog/modes", MODE)
    extended = {"extended_site_id": "x", "name": "X", "anchor_site_id": "lyon",
                "member_site_ids": ["lyon"]}  # fmt: skip
    await shop.done("/v1/catalog/extended-sites:batch", {"extended_sites": [extended]})
    row = {"site_id": "lyon", "sku": "pear", "quantity": 10, "source_id": "d-1"}
    moved = await shop.done("/v1/stock/movements:batch", {"kind": "receive", "rows": [row]})
    assert moved["results"][0]["level"]["free"] == 10
    for _ in range(100):  # the feeds of catalog and stock reach sourcing
        quote = await shop.post("/v1/promises:quote", {"lines": LINES["lines"]})
        if quote.status_code == 200 and quote.json()["promise"]["is_feasible"]:
            break
        await asyncio.sleep(0.1)

    placed = await shop.post("/v1/orders", LINES, key="order")
    assert placed.status_code == 201, placed.text
    again = await shop.post("/v1/orders", LINES, key="order")
    assert (again.content, again.headers["idempotent-replayed"]) == (placed.content, "true")
    path, page = placed.headers["location"], placed.json()["tracking_url"]
    version = placed.json()["version"]
    order = (await shop.http.get(f"{path}?min_version={version}")).json()
    assert order["total_minor"] == 360
    group = order["groups"][0]["group"]["group_id"]

    await shop.until(f"/v1/tasks/{group}:claim", {"picker_id": "p-1"})
    await shop.done(f"/v1/tasks/{group}/lines/1:pick", {"picker_id": "p-1", "quantity": 3})
    await shop.until(f"/v1/groups/{group}:ready")
    code = (await shop.http.get(f"/v1/groups/{group}/pickup-code")).json()["pickup_code"]
    shown = await shop.http.get(page, params={"lang": "en"})
    for _ in range(100):
        if code in shown.text:
            break
        await asyncio.sleep(0.1)
        shown = await shop.http.get(page, params={"lang": "en"})
    assert code in shown.text
    assert "Step arrival" in shown.text
    assert "Step staging" not in shown.text

    await shop.done(f"/v1/groups/{group}:handover", {"pickup_code": code})
    seen: list[str] = []
    async with shop.http.stream("GET", f"{path}/tracking/stream") as stream:
        async for line in stream.aiter_lines():
            seen.append(line)
            if "Step handover" in line:
                break
    assert any(line.startswith("id: ") for line in seen)
    refused = await shop.post(f"{path}:cancel")
    assert (refused.status_code, refused.json()["reason"]) == (409, "CUTOFF_PASSED")


async def test_the_past_of_stock_is_asked_for_over_http(shop: Shop) -> None:
    pear = {"site_id": "lyon", "sku": "pear"}
    for kind, quantity, at in (("receive", 10, "05:00"), ("till_sale", 2, "06:30")):
        row = pear | {"quantity": quantity, "source_id": kind}
        row["occurred_at"] = f"2026-03-02T{at}:00Z"
        await shop.done("/v1/stock/movements:batch", {"kind": kind, "rows": [row]})
    image = {
        "kind": "image",
        "basis": "physical",
        "is_picked_included": True,
        "occurred_at": "2026-03-02T06:00:00Z",
        "rows": [pear | {"quantity": 9, "source_id": "wms"}],
    }
    seen = await shop.done("/v1/stock/images:batch", image)
    assert [(row["status"], row["level"]["free"]) for row in seen["results"]] == [("recorded", 7)]

    async def free(**clocks: str) -> int:
        answer = await shop.http.get("/v1/stock", params=pear | clocks)
        assert answer.status_code == 200, answer.text
        return int(answer.json()["levels"][0]["free"])

    assert await free(as_of="2026-03-02T05:59:59Z") == 10
    assert await free(as_of="2026-03-02T06:00:00Z") == 9
    assert await free(as_of="2026-03-02T07:00:00+00:00") == 7
    assert await free(known_at="2026-03-02T23:00:00Z") == 0  # nobody had told us by then
    wrong = await shop.http.get("/v1/stock", params=pear | {"as_of": "yesterday"})
    assert wrong.status_code == 400

    told = await shop.http.get("/v1/stock/explanation", params=pear)
    assert {cause["cause"]: cause["free"] for cause in told.json()["causes"]} == {
        "goods_receipt": 10,
        "till_sale": -2,
        "image": -1,
    }
    question = {"pairs": [pear], "since": "2026-03-02T05:30:00Z", "until": "2026-03-02T06:10:00Z"}
    changed = await shop.http.post("/v1/stock/differences:batch", json=question)
    [difference] = changed.json()["differences"]
    assert (difference["before"]["free"], difference["after"]["free"]) == (10, 9)
