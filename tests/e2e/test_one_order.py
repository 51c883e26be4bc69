"""Every journey of an order, once, as a retailer's platform and its staff live it over HTTP."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio

from tests.support.api import Api
from tests.support.embedded import Embedded
from tests.support.journey import Line, Staff
from tests.support.stack import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Prices in cents follow from the products' numbers: 100 + number.
SOAP, RICE = "P1", "P2"
SOAP_MINOR, RICE_MINOR, HOME_FEE_MINOR = 101, 102, 490
AT_S2 = {"mode_id": "click_and_collect", "site_id": "S2"}
HOME = {"mode_id": "home_delivery", "destination": {"postcode": "75011", "country": "FR"}}
TOLD_AT_COUNTER = ["confirmed", "picking", "arrival", "handover"]
TOLD_AT_HOME = ["confirmed", "picking", "dispatch", "delivery"]


@pytest_asyncio.fixture(loop_scope="session")
async def platform(system: Embedded) -> AsyncIterator[Api]:
    async with system.api(retries=5) as api:
        await api.load_chain(6, 200, 5_000)
        await eventually(lambda: _is_known(api), within_s=60)
        yield api


async def _is_known(api: Api) -> bool:
    """Tell whether what was loaded last can be promised: the feeds have carried it everywhere."""
    choice = {"mode_id": "click_and_collect", "site_id": "S6"}
    lines = [{"line_id": "L1", "sku": "P200", "quantity": 1, "choice": choice}]
    answer = await api.post("/v1/promises:quote", {"lines": lines})
    return bool(answer.is_success and answer.json().get("promise", {}).get("is_feasible"))


async def _place(
    api: Api, order_id: str, *lines: tuple[str, int, Mapping[str, Any]]
) -> dict[str, Any]:
    """Place an order of (sku, quantity, choice) lines that must be accepted."""
    answer = await api.post(
        "/v1/orders",
        {
            "order_id": order_id,
            "customer_id": "C1",
            "lines": [
                {"line_id": f"L{place}", "sku": sku, "quantity": quantity, "choice": choice}
                for place, (sku, quantity, choice) in enumerate(lines, 1)
            ],
        },
        headers={"Prefer": "wait=10"},
    )
    assert answer.status_code == 201, answer.text
    placed: dict[str, Any] = answer.json()
    assert placed["status"] == "accepted"
    return placed


async def _stock(api: Api, site_id: str, sku: str) -> Counter[str]:
    shown = await api.get("/v1/stock", site_id=site_id, sku=sku)
    (level,) = shown["levels"]
    accounts = ("free", "held", "allocated", "picked", "on_hand")
    return Counter({name: level[name] for name in accounts})


async def _moves_to(api: Api, site_id: str, sku: str, expected: Mapping[str, int]) -> None:
    """Wait until the stock is as expected; the ledger hears of the order's steps by its feeds."""
    seen: Counter[str] = Counter()

    async def is_there() -> bool:
        nonlocal seen
        seen = await _stock(api, site_id, sku)
        return all(seen[name] == units for name, units in expected.items())

    try:
        await eventually(is_there)
    except TimeoutError:
        raise AssertionError(f"{site_id} {sku}: {seen} instead of {expected}") from None


async def _timeline(api: Api, order_id: str) -> list[dict[str, Any]]:
    shown = await api.get(f"/v1/orders/{order_id}/events")
    entries: list[dict[str, Any]] = shown["entries"]
    return entries


async def _tracking(api: Api, order_id: str) -> list[dict[str, Any]]:
    shown = await api.get(f"/v1/orders/{order_id}/tracking")
    entries: list[dict[str, Any]] = shown["entries"]
    return entries


async def _mailbox(api: Api, order_id: str, count: int) -> list[dict[str, Any]]:
    """Return an order's messages once there are ``count``; there must never be more."""
    found: list[dict[str, Any]] = []

    async def has_all() -> bool:
        nonlocal found
        found = (await api.get(f"/v1/orders/{order_id}/messages"))["messages"]
        return len(found) >= count

    try:
        await eventually(has_all)
    except TimeoutError:
        raise AssertionError(f"{len(found)} messages instead of {count}: {found}") from None
    await asyncio.sleep(0.3)  # long enough for one too many
    found = (await api.get(f"/v1/orders/{order_id}/messages"))["messages"]
    assert len(found) == count, found
    return found


async def test_collected_at_the_counter(platform: Api) -> None:
    before = await _stock(platform, "S2", SOAP)
    await _place(platform, "one-counter", (SOAP, 3, AT_S2), (RICE, 1, AT_S2))
    await _moves_to(
        platform, "S2", SOAP, before + Counter(allocated=3) - Counter(free=3, held=before["held"])
    )

    order = await Staff(platform).finish("one-counter")

    assert order["status"] == "completed"
    assert order["captured_minor"] == 3 * SOAP_MINOR + RICE_MINOR == order["total_minor"]
    (group,) = order["groups"]
    assert group["group"]["source_site_id"] == group["group"]["handover_site_id"] == "S2"
    assert [line["quantities"]["delivered"] for line in order["lines"]] == [3, 1]
    await _moves_to(
        platform,
        *("S2", SOAP),
        {"free": before["free"] - 3, "picked": 0, "on_hand": before["on_hand"] - 3},
    )
    entries = await platform.get("/v1/stock/entries", site_id="S2", sku=SOAP, page_size=200)
    causes = [entry["cause"] for entry in entries["entries"]]
    assert {"hold", "confirm", "pick", "handover"} <= set(causes), causes


async def test_the_banner_sees_everything_and_the_consumer_what_is_visible(platform: Api) -> None:
    await _place(platform, "one-views", (SOAP, 1, AT_S2))
    await Staff(platform).finish("one-views")

    timeline = await _timeline(platform, "one-views")
    kinds = Counter(entry["kind"] for entry in timeline)
    assert kinds["step_started"] == 4  # the first step, the reservation, is over at once
    assert kinds["step_completed"] == 5
    assert [kinds[kind] for kind in ("order_placed", "payment_captured", "order_completed")] == [
        *(1, 1, 1)
    ]
    assert [entry["version"] for entry in timeline] == list(range(1, len(timeline) + 1))

    tracking = await _tracking(platform, "one-views")
    assert [entry["step_id"] for entry in tracking] == TOLD_AT_COUNTER
    assert "staging" not in json.dumps(tracking)

    messages = await _mailbox(platform, "one-views", len(TOLD_AT_COUNTER))
    assert sorted(message["step_id"] for message in messages) == sorted(TOLD_AT_COUNTER)
    for message in messages:
        assert message["text"]["fr"]
        assert message["text"]["en"]
        assert message["text"]["fr"] != message["text"]["en"]


async def test_the_decision_can_be_explained_and_repeated(platform: Api) -> None:
    await _place(platform, "one-why", (SOAP, 2, {"mode_id": "click_and_collect"}))

    (decision,) = (await platform.get("/v1/orders/one-why/decisions"))["decisions"]
    assert decision["is_decided"]
    assert decision["policy_version"]
    assert decision["snapshot_hash"]
    assert len(decision["candidates"]) > 1
    assert decision["cost"]["total_minor"] > 0

    replay = await platform.done(f"/v1/decisions/{decision['decision_id']}:replay")
    assert replay["is_equal"], replay
    assert replay["snapshot_hash"] == decision["snapshot_hash"]


async def test_what_was_not_found_is_not_paid(platform: Api) -> None:
    before = await _stock(platform, "S3", SOAP)
    at_s3 = {"mode_id": "click_and_collect", "site_id": "S3"}
    await _place(platform, "one-short", (SOAP, 3, at_s3), (RICE, 2, at_s3))

    def two_soaps(_group_id: str, line: Line) -> int:
        return 2 if line["sku"] == SOAP else 0

    order = await Staff(platform, missing=two_soaps).finish("one-short")

    assert order["total_minor"] == 3 * SOAP_MINOR + 2 * RICE_MINOR
    assert order["captured_minor"] == SOAP_MINOR + 2 * RICE_MINOR
    soap, rice = (line["quantities"] for line in order["lines"])
    assert (soap["delivered"], soap["shorted"]) == (1, 2)
    assert (rice["delivered"], rice["shorted"]) == (2, 0)
    (short,) = [e for e in await _timeline(platform, "one-short") if e["kind"] == "line_shorted"]
    assert (short["ordered_quantity"], short["picked_quantity"]) == (3, 1)
    assert "line_shorted" in [entry["kind"] for entry in await _tracking(platform, "one-short")]
    # What is not there is not in the books any more either.
    await _moves_to(
        platform,
        *("S3", SOAP),
        {"free": before["free"] - 3, "allocated": 0, "on_hand": before["on_hand"] - 3},
    )
    messages = await _mailbox(platform, "one-short", len(TOLD_AT_COUNTER) + 1)
    assert Counter(message["kind"] for message in messages)["shorted"] == 1


async def test_nothing_found_ends_the_order_without_a_capture(platform: Api) -> None:
    await _place(platform, "one-nothing", (SOAP, 2, AT_S2))
    order = await Staff(platform, missing=lambda _, line: int(line["quantity"])).finish(
        "one-nothing"
    )
    assert order["captured_minor"] == 0
    assert order["lines"][0]["quantities"]["shorted"] == 2


async def test_returned_elsewhere_restocks_there_and_refunds_what_was_paid(platform: Api) -> None:
    await _place(platform, "one-return", (SOAP, 3, AT_S2), (RICE, 1, AT_S2))
    await Staff(platform).finish("one-return")
    before = await _stock(platform, "S5", SOAP)
    await eventually(lambda: _is_returnable(platform, "one-return"))

    mistaken = {
        "return_id": "return-0",
        "order_id": "one-return",
        "site_id": "S5",
        "lines": [{"line_id": "L1", "quantity": 3}],
    }
    await platform.done("/v1/returns", mistaken)
    await platform.done("/v1/returns/return-0:withdraw", {"reason": "opened by mistake"})
    opened = await platform.done(
        "/v1/returns",
        {
            "return_id": "return-1",
            "order_id": "one-return",
            "site_id": "S5",
            "lines": [{"line_id": "L1", "quantity": 2}],
        },
    )
    assert opened["version"] > 0
    rows = [{"line_id": "L1", "quantity": 2, "disposition": "restock"}]
    await platform.done("/v1/returns/return-1:inspect", {"lines": rows})
    preview = await platform.get("/v1/returns/return-1/refund-preview")
    assert preview["amount"]["amount_minor"] == 2 * SOAP_MINOR
    await platform.done(
        "/v1/returns/return-1:validate",
        {
            "preview_version": preview["preview_version"],
            "amount_minor": preview["amount"]["amount_minor"],
            "clerk_id": "clerk-1",
        },
    )

    await eventually(lambda: _is_refunded(platform, "one-return", 2 * SOAP_MINOR))
    await _moves_to(
        platform,
        *("S5", SOAP),
        {"free": before["free"] + 2, "on_hand": before["on_hand"] + 2},
    )
    too_many = {
        "return_id": "return-2",
        "order_id": "one-return",
        "site_id": "S5",
        "lines": [{"line_id": "L1", "quantity": 2}],
    }
    refused = await platform.post("/v1/returns", too_many)
    assert refused.is_client_error, refused.text


async def _is_returnable(api: Api, order_id: str) -> bool:
    return (await api.client.get(f"/v1/orders/{order_id}/returnable")).is_success


async def _is_refunded(api: Api, order_id: str, amount_minor: int) -> bool:
    order = await api.get(f"/v1/orders/{order_id}")
    return bool(order["refunded_minor"] == amount_minor)


async def test_cancelled_in_time_frees_the_stock(platform: Api) -> None:
    before = await _stock(platform, "S4", RICE)
    await _place(
        platform, "one-cancel", (RICE, 4, {"mode_id": "click_and_collect", "site_id": "S4"})
    )
    await _moves_to(platform, "S4", RICE, {"free": before["free"] - 4, "allocated": 4})

    told = await platform.done("/v1/orders/one-cancel:cancel", {"reason": "CHANGED_MIND"})

    # Whoever wants to read what he just wrote says so.
    order = await platform.get("/v1/orders/one-cancel", min_version=told["version"])
    assert order["status"] == "cancelled"
    await _moves_to(platform, "S4", RICE, {"free": before["free"], "allocated": 0})
    await eventually(lambda: _is_task(platform, "one-cancel.1", "cancelled"))


async def _is_task(api: Api, task_id: str, status: str) -> bool:
    answer = await api.client.get(f"/v1/tasks/{task_id}")
    return bool(answer.is_success and answer.json()["summary"]["status"] == status)


async def test_cancelled_too_late_is_refused(platform: Api) -> None:
    await _place(platform, "one-late", (RICE, 1, AT_S2))
    order = await Staff(platform).finish("one-late", stop_before="staging")
    assert not order["is_cancellable"]
    refused = await platform.post("/v1/orders/one-late:cancel", {"reason": "TOO_LATE"})
    assert refused.status_code == 409
    assert refused.json()["reason"] == "CUTOFF_PASSED"
    assert (await Staff(platform).finish("one-late"))["status"] == "completed"


async def test_delivered_at_home_from_wherever_it_is_best(platform: Api) -> None:
    placed = await _place(platform, "one-home", (SOAP, 2, HOME))
    assert placed["total_minor"] == 2 * SOAP_MINOR + HOME_FEE_MINOR
    (decision,) = (await platform.get("/v1/orders/one-home/decisions"))["decisions"]
    site_id = decision["groups"][0]["group"]["source_site_id"]

    order = await Staff(platform).finish("one-home")

    assert order["status"] == "completed"
    assert order["captured_minor"] == 2 * SOAP_MINOR + HOME_FEE_MINOR
    assert [e["step_id"] for e in await _tracking(platform, "one-home")] == TOLD_AT_HOME
    await _mailbox(platform, "one-home", len(TOLD_AT_HOME))
    entries = await platform.get("/v1/stock/entries", site_id=site_id, sku=SOAP, page_size=200)
    assert {"shipment", "delivery"} <= {entry["cause"] for entry in entries["entries"]}


async def test_two_modes_in_one_order(platform: Api) -> None:
    await _place(platform, "one-both", (SOAP, 1, AT_S2), (RICE, 2, HOME))
    order = await Staff(platform).finish("one-both")
    assert order["status"] == "completed"
    assert {group["group"]["mode_id"] for group in order["groups"]} == {
        *("click_and_collect", "home_delivery")
    }
    assert order["captured_minor"] == SOAP_MINOR + 2 * RICE_MINOR + HOME_FEE_MINOR
    assert sum(group["captured_minor"] for group in order["groups"]) == order["captured_minor"]
    tracking = await _tracking(platform, "one-both")
    assert Counter(e["step_id"] for e in tracking) == Counter(TOLD_AT_COUNTER + TOLD_AT_HOME)
    await _mailbox(platform, "one-both", len(tracking))


async def test_the_same_product_on_two_lines(platform: Api) -> None:
    at_s6 = {"mode_id": "click_and_collect", "site_id": "S6"}
    before = await _stock(platform, "S6", SOAP)
    await _place(platform, "one-twice", (SOAP, 2, at_s6), (SOAP, 3, at_s6))
    await _moves_to(platform, "S6", SOAP, {"free": before["free"] - 5, "allocated": 5})
    order = await Staff(platform, missing=lambda _, line: int(line["line_id"] == "L2")).finish(
        "one-twice"
    )
    assert order["captured_minor"] == 4 * SOAP_MINOR
    assert [line["quantities"]["shorted"] for line in order["lines"]] == [0, 1]
    await _moves_to(
        platform,
        *("S6", SOAP),
        {"free": before["free"] - 5, "allocated": 0, "picked": 0, "on_hand": before["on_hand"] - 5},
    )


async def test_the_page_shows_visible_steps_in_both_languages(platform: Api) -> None:
    placed = await _place(platform, "one-page", (SOAP, 1, AT_S2))
    await Staff(platform).finish("one-page", stop_before="arrival")
    for language, here, hidden in (
        ("fr", "Étape picking", "Étape staging"),
        ("en", "Step picking", "Step staging"),
    ):
        answer = await platform.client.get(placed["tracking_url"], params={"lang": language})
        assert answer.headers["content-type"].startswith("text/html")
        text = re.sub(r"<[^>]+>", " ", answer.text)
        assert here in text
        assert hidden not in text
        code = (await platform.get("/v1/groups/one-page.1/pickup-code"))["pickup_code"]
        assert code in text


async def test_the_live_timeline_goes_on_where_it_broke_off(platform: Api) -> None:
    await _place(platform, "one-live", (SOAP, 1, AT_S2))
    path = "/v1/orders/one-live/events/stream"
    first = await _listen(platform, path, "", until=2)
    assert [event["version"] for event in first] == [1, 2]

    listening = asyncio.create_task(_listen(platform, path, "2", until=14))
    await Staff(platform).finish("one-live")
    rest = await asyncio.wait_for(listening, 20)
    timeline = await _timeline(platform, "one-live")
    assert [*first, *rest] == timeline


async def _listen(api: Api, path: str, last_event_id: str, until: int) -> list[dict[str, Any]]:
    """Return the events of a stream up to the one with the id ``until``."""
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    heard: list[dict[str, Any]] = []
    async with api.client.stream("GET", path, headers=headers) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        event_id = 0
        async for line in stream.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                event_id = int(value)
            elif name == "data":
                heard.append(json.loads(value))
                if event_id >= until:
                    break
    return heard


async def test_nothing_is_broken_afterwards(system: Embedded) -> None:
    code, said = await system.oms("verify")
    assert code == 0, said
