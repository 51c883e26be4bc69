"""Orders are played to their end, also after a run that was cut off."""

import asyncio
import io
import json
import re
from typing import Any

import pytest
from rich.console import Console

from services.demo.adapters.summary_table import as_json, render
from services.demo.application import campaign, journey, loading
from services.demo.application.ports import Reply
from services.demo.domain import shopping
from services.demo.domain.chain import chain
from services.demo.domain.shopping import Shop
from tests.unit.demo.fake_api import FakeApi


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop.of(chain(7))


def quiet(_what: str, _done: int, _total: int) -> None: ...


async def test_every_order_comes_to_its_end(shop: Shop) -> None:
    api = FakeApi()
    told: list[tuple[str, int, int]] = []
    summary = await campaign.run(api, shop, 60, "run-1", lambda *at: told.append(at))
    assert summary.by_status == {"completed": 60}
    assert summary.is_clean
    assert told[0] == ("orders", 0, 60)
    assert told[-1] == ("orders", 60, 60)
    assert len(summary.accepted_s) == len(summary.completed_s) == 60
    assert summary.by_source_type["warehouse"] == summary.groups >= 60
    assert len(api.said) == len(set(api.said)), "nothing was done twice"
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(render(summary))
    assert "60" in console.export_text()


async def test_a_run_that_was_cut_off_is_carried_on(shop: Shop) -> None:
    api = FakeApi(away_after=150)
    cut = await campaign.run(api, shop, 30, "run-1", quiet)
    assert cut.by_status["stuck"] > 0
    assert not cut.is_clean
    placed = len(api.orders)
    api.away_after = 10**9
    summary = await campaign.run(api, shop, 30, "run-2", quiet)
    assert summary.by_status == {"completed": 30}
    assert placed <= len(api.orders) == 30
    assert len(api.said) == len(set(api.said)), "nothing was done twice"
    third = await campaign.run(api, shop, 30, "run-3", quiet)
    assert third.by_status == {"completed": 30}
    assert third.accepted_s == [], "nothing was placed anew"
    assert (third.orders, third.placed) == (30, 0)
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(render(third))
    shown = console.export_text()
    assert re.search(r"placed in an earlier run\W+30\b", shown)
    assert "orders/s" not in shown
    data = json.loads(json.dumps(as_json(third)))
    assert data["accepted_s"] == {"p50": None, "p95": None, "p99": None}
    assert data["by_status"] == {"completed": 30}
    assert as_json(summary)["completed_s"].keys() == {"p50", "p95", "p99"}


async def test_a_refused_order_says_why(shop: Shop) -> None:
    wanted = shopping.order(shop, 0)
    api = FakeApi(refused=(wanted.lines[0].sku,))
    story = await journey.Journey(api, wanted, "run-1").play()
    assert (story.status, story.reason) == ("refused", "OUT_OF_STOCK")


async def test_an_order_that_nothing_moves_is_given_up(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journey, "STUCK_AFTER_S", 0.1)
    story = await journey.Journey(FakeApi(lag=10**6), shopping.order(shop, 1), "run-1").play()
    assert (story.status, story.reason) == ("stuck", "NOT_FOUND")


def test_about_three_lines_in_a_hundred_are_short_and_every_unit_is_accounted_for() -> None:
    short = 0
    for n in range(3_000):
        line = {"line_id": str(n), "ordered_quantity": 4, "is_weight_variable": False}
        found, missing = journey._found("O-1.1", line)
        assert found + missing == 4
        assert found >= 0
        short += missing > 0
    assert 60 < short < 130
    loose = {"line_id": "1", "ordered_quantity": 1_000, "is_weight_variable": True}
    weights = [journey._found(f"O-{n}.1", loose) for n in range(300)]
    assert all(1_000 <= found <= 1_030 for found, missing in weights if not missing)


class Recording(FakeApi):
    """Takes batches, and keeps what came in."""

    def __init__(self, answer: Reply | None = None) -> None:
        super().__init__()
        self.rows: dict[str, list[Any]] = {}
        self.answer = answer

    async def post(self, path: str, body: Any, key: str, prefer: str = "") -> Reply:
        if self.answer is not None:
            return self.answer
        if path == "/v1/promises:quote":
            return Reply(200, {"promise": {"is_feasible": True}})
        if path == "/v1/catalog/modes":
            self.rows.setdefault(path, []).append(body)
            return Reply(201, {"version": 1})
        rows = next(value for value in body.values() if isinstance(value, list))
        assert len(rows) <= 1_000
        self.rows.setdefault(path, []).extend(rows)
        if path == "/v1/stock/movements:batch":
            assert body["kind"] == "receive"
            results = [{"row": n, "status": "recorded"} for n in range(len(rows))]
            results[0] |= {"status": "refused", "detail": "unknown"}
            return Reply(200, {"results": results})
        problems = [{"key": "x", "detail": "is bad", "remedy": "mend it"}]
        return Reply(200, {"changed": len(rows) - 1, "unchanged": 0, "problems": problems})


async def test_the_whole_chain_is_loaded_in_batches(shop: Shop) -> None:
    api = Recording()
    report = await loading.load(api, shop.chain, "run-1", quiet)
    counts = {path: len(rows) for path, rows in api.rows.items()}
    stock = counts.pop("/v1/stock/movements:batch")
    assert counts == {
        "/v1/catalog/modes": 2,
        "/v1/catalog/sites:batch": 60,
        "/v1/catalog/extended-sites:batch": 8,
        "/v1/catalog/sales-zones:batch": 3,
        "/v1/catalog/products:batch": 5_000,
    }
    assert stock == 60_320
    assert report.changed == stock - 61 + 5_000 - 5 + 60 + 8 + 3 - 3
    assert len(report.problems) == 69


async def test_a_refused_batch_stops_the_load(shop: Shop) -> None:
    api = Recording(Reply(403, {"reason": "PERMISSION_DENIED", "detail": "catalog:write"}))
    with pytest.raises(loading.LoadFailed, match="PERMISSION_DENIED"):
        await loading.load(api, shop.chain, "run-1", quiet)


async def test_placement_asks_again_while_the_shop_learns_its_products(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journey, "FIRST_PLACE_DELAY_S", 0.001)
    keys: list[str] = []

    class Learning(FakeApi):
        async def post(self, path: str, body: Any, key: str, prefer: str = "") -> Reply:
            if path == "/v1/orders":
                keys.append(key)
                if len(keys) < 3:
                    return Reply(400, {"reason": "INVALID_ARGUMENT"})
            return await super().post(path, body, key, prefer)

    async with asyncio.timeout(10):
        story = await journey.Journey(Learning(), shopping.order(shop, 2), "run-1").play()
    assert story.status == "completed"
    assert keys == ["D7-000002", "D7-000002-1", "D7-000002-2"]
