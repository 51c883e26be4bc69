"""The HTTP contract: what every route promises, whatever service is behind it."""

import asyncio
import time
from enum import StrEnum
from typing import Any

import msgspec
import pytest
from oms.catalog.v1 import catalog_service_pb2 as catalog
from oms.delivery.v1 import delivery_service_pb2 as delivery
from oms.order.v1 import order_service_pb2 as order
from oms.picking.v1 import picking_service_pb2 as picking
from oms.stock_ledger.v1 import stock_ledger_service_pb2 as stock

from services.gateway.entrypoints.http.wire import MAX_FAULTS, Malformed, from_json
from services.kernel.application.authenticator import Denied
from services.kernel.domain.errors import Invalid, NotFound, Rejected
from tests.unit.gateway.fakes import POOR_TOKEN, TOKEN, Fakes, MemoryKeys, gateway

KEY = {"Idempotency-Key": "k-1"}
LINES = {"lines": [{"sku": "pear", "quantity": 2, "choice": {"mode_id": "home_delivery"}}]}
ACCEPTED = order.PlaceOrderResponse(
    order_id="O-1", status=order.ORDER_STATUS_ACCEPTED, version=3, currency="EUR", total_minor=250
)


class Refusal(StrEnum):
    CUTOFF_PASSED = "CUTOFF_PASSED"
    VERSION_MISMATCH = "VERSION_MISMATCH"
    IDEMPOTENCY_MISMATCH = "IDEMPOTENCY_MISMATCH"


async def test_an_accepted_order_is_created_and_can_be_tracked() -> None:
    fakes = Fakes({"PlaceOrder": ACCEPTED})
    async with gateway(fakes) as http:
        answer = await http.post("/v1/orders", json={"order_id": "O-1", **LINES}, headers=KEY)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == "/v1/orders/O-1"
    assert answer.headers["etag"] == '"3"'
    assert answer.json()["status"] == "accepted"
    assert answer.json()["tracking_url"].startswith("/track/")
    assert fakes.calls[0].request.wait_ms == 5000
    assert fakes.calls[0].metadata["authorization"] == f"Bearer {TOKEN}"


async def test_a_refused_order_is_a_conflict_with_alternatives() -> None:
    refused = order.PlaceOrderResponse(
        order_id="O-1", status=order.ORDER_STATUS_REFUSED, version=2, reason="OUT_OF_STOCK"
    )
    refused.alternatives.add(site_id="lyon", sku="pear", available=7)
    async with gateway(Fakes({"PlaceOrder": refused})) as http:
        answer = await http.post("/v1/orders", json=LINES, headers=KEY)
        again = await http.post("/v1/orders", json=LINES, headers=KEY)
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["reason"] == "OUT_OF_STOCK"
    assert answer.json()["alternatives"] == [{"site_id": "lyon", "sku": "pear", "available": 7}]
    assert again.headers["idempotent-replayed"] == "true"
    assert again.content == answer.content


async def test_an_undecided_order_is_accepted_for_later() -> None:
    placed = order.PlaceOrderResponse(order_id="O-1", status=order.ORDER_STATUS_PLACED, version=1)
    fakes = Fakes({"PlaceOrder": placed})
    async with gateway(fakes) as http:
        answer = await http.post(
            "/v1/orders", json=LINES, headers={**KEY, "Prefer": "respond-async, wait=0"}
        )
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "wait=0"
    assert fakes.calls[0].request.wait_ms == 0
    assert fakes.calls[0].request.order_id  # minted from the key


async def test_a_repeat_gets_the_stored_answer_and_reaches_no_service() -> None:
    fakes = Fakes({"PlaceOrder": ACCEPTED})
    async with gateway(fakes) as http:
        first = await http.post("/v1/orders", json=LINES, headers=KEY)
        again = await http.post("/v1/orders", json=LINES, headers=KEY)
        other = await http.post("/v1/orders", json={**LINES, "customer_id": "c"}, headers=KEY)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["location"] == first.headers["location"]
    assert other.status_code == 422
    assert other.json()["reason"] == "IDEMPOTENCY_MISMATCH"
    assert len(fakes.calls) == 1


async def test_a_stored_answer_is_not_for_who_may_not_give_the_command() -> None:
    fakes = Fakes({"PlaceOrder": ACCEPTED})
    theirs = {**KEY, "Authorization": f"Bearer {POOR_TOKEN}"}
    keys = MemoryKeys()
    async with gateway(fakes, keys) as http:
        fakes.replies["PlaceOrder"] = Denied("orders:write")
        too_soon = await http.post("/v1/orders", json=LINES, headers=theirs)
        assert not keys.rows
        fakes.replies["PlaceOrder"] = ACCEPTED
        first = await http.post("/v1/orders", json=LINES, headers=KEY)
        fakes.replies["PlaceOrder"] = Denied("orders:write")
        denied = await http.post("/v1/orders", json=LINES, headers=theirs)
        other = await http.post("/v1/orders", json={**LINES, "customer_id": "c"}, headers=theirs)
        again = await http.post("/v1/orders", json=LINES, headers=KEY)
    for refused in (too_soon, denied, other):
        assert (refused.status_code, refused.json()["reason"]) == (403, "PERMISSION_DENIED")
        assert b"O-1" not in refused.content
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotent-replayed"] == "true"


async def test_who_guesses_keys_is_told_to_wait_and_no_service_hears_of_it() -> None:
    fakes = Fakes()
    wrong = {"Authorization": "Bearer oms_test_9_guess"}
    async with gateway(fakes, guesses_at_once=2, guesses_per_s=0.01) as http:
        assert (await http.get("/v1/orders")).status_code == 200
        answers = [await http.get("/v1/orders", headers=wrong) for _ in range(3)]
        answers.append(await http.post("/v1/orders", json=LINES, headers={**KEY, **wrong}))
        known = await http.get("/v1/orders")
        page = await http.get("/healthz", headers=wrong)
    assert [one.status_code for one in answers] == [401, 401, 429, 429]
    assert answers[2].json()["reason"] == "RATE_LIMITED"
    assert answers[2].headers["content-type"] == "application/problem+json"
    assert int(answers[2].headers["retry-after"]) in (99, 100)
    assert known.status_code == page.status_code == 200
    assert len(fakes.calls) == 2


async def test_a_request_still_running_is_a_conflict_that_says_when_to_retry() -> None:
    go = asyncio.Event()

    async def slow(_: Any) -> Any:
        await go.wait()
        return ACCEPTED

    async with gateway(Fakes({"PlaceOrder": slow})) as http:
        first = asyncio.create_task(http.post("/v1/orders", json=LINES, headers=KEY))
        await asyncio.sleep(0.05)
        second = await http.post("/v1/orders", json=LINES, headers=KEY)
        go.set()
        assert (await first).status_code == 201
    assert second.status_code == 409
    assert second.json()["reason"] == "IDEMPOTENCY_RUNNING"
    assert second.headers["retry-after"] == "1"


async def test_an_outage_is_not_remembered_and_the_retry_is_the_same_command() -> None:
    fakes = Fakes({"PlaceOrder": RuntimeError("boom")})
    async with gateway(fakes) as http:
        failed = await http.post("/v1/orders", json=LINES, headers=KEY)
        fakes.replies["PlaceOrder"] = ACCEPTED
        done = await http.post("/v1/orders", json=LINES, headers=KEY)
    assert failed.status_code == 500
    assert "boom" not in failed.text
    assert done.status_code == 201
    first, second = (call.request for call in fakes.calls)
    assert first.request_id == second.request_id
    assert first.order_id == second.order_id


async def test_what_is_not_known_yet_may_be_known_to_the_retry() -> None:
    """A feed may be behind: a group that is picked is known to delivery a moment later."""
    fakes = Fakes({"MarkReady": NotFound("handover", "O-1.1")})
    async with gateway(fakes) as http:
        early = await http.post("/v1/groups/O-1.1:ready", json={}, headers=KEY)
        fakes.replies["MarkReady"] = delivery.MarkReadyResponse(version=2)
        done = await http.post("/v1/groups/O-1.1:ready", json={}, headers=KEY)
    assert (early.status_code, done.status_code) == (404, 200)
    assert fakes.calls[0].request.request_id == fakes.calls[1].request.request_id


async def test_without_the_key_database_commands_still_run_under_the_same_id() -> None:
    fakes = Fakes({"PlaceOrder": ACCEPTED})
    async with gateway(fakes, MemoryKeys(is_away=True)) as http:
        for _ in range(2):
            assert (await http.post("/v1/orders", json=LINES, headers=KEY)).status_code == 201
    assert fakes.calls[0].request.request_id == fakes.calls[1].request.request_id


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"lines": [{"sku": "pear", "quantity": "2"}]}, "/lines/0/quantity"),
        ({"lines": [{"sku": "pear", "quantity": True}]}, "/lines/0/quantity"),
        ({"lines": [{"sku": "pear", "price": 0}]}, "/lines/0/price"),
        ({"lines": {}}, "/lines"),
        ({"request_id": "mine"}, "/request_id"),
        ({"wait_ms": 1}, "/wait_ms"),
        ({"a/b~": 1}, "/a~1b~0"),
        ([], ""),
        ({"lines": [{"choice": {"wanted_at": "2026-05-01T08:00"}}]}, "/lines/0/choice/wanted_at"),
        ({"customer_id": "a\x00b"}, "/customer_id"),
    ],
)
async def test_a_malformed_body_is_told_where(body: Any, pointer: str) -> None:
    fakes = Fakes()
    async with gateway(fakes) as http:
        answer = await http.post("/v1/orders", json=body, headers=KEY)
    assert answer.status_code == 400
    assert [one["pointer"] for one in answer.json()["errors"]] == [pointer]
    assert fakes.calls == []


@pytest.mark.parametrize("body", [b"{", b'{"lines": NaN}', b"\xff", b'"\\ud800"', b"[" * 5000])
async def test_what_is_not_json_is_refused(body: bytes) -> None:
    async with gateway(Fakes()) as http:
        answer = await http.post("/v1/orders", content=body, headers=KEY)
    assert answer.status_code == 400
    assert answer.json()["reason"] == "MALFORMED_REQUEST"


async def test_the_edge_refuses_what_no_route_should_see() -> None:
    async def chunks() -> Any:
        for _ in range(40):
            yield b" " * 65536

    async with gateway(Fakes()) as http:
        too_large = await http.post("/v1/orders", content=b" " * (1024 * 1024 + 1), headers=KEY)
        too_long = await http.post("/v1/orders", content=chunks(), headers=KEY)
        keyless = await http.post("/v1/orders", json=LINES)
        typed = await http.post(
            "/v1/orders", content=b"a=1", headers={**KEY, "Content-Type": "text/plain"}
        )
        unknown = await http.get("/v1/nothing")
        wrong_verb = await http.delete("/v1/orders")
        stranger = await http.post(
            "/v1/orders", json=LINES, headers={**KEY, "Authorization": "Bearer x"}
        )
    seen = (too_large, too_long, keyless, typed, unknown, wrong_verb, stranger)
    assert [one.status_code for one in seen] == [413, 413, 400, 415, 404, 405, 401]
    assert all(one.headers["content-type"] == "application/problem+json" for one in seen)
    assert all(one.json()["status"] == one.status_code for one in seen)
    assert keyless.json()["reason"] == "IDEMPOTENCY_KEY_MISSING"
    assert stranger.headers["www-authenticate"].startswith("Bearer")
    assert "allow" in wrong_verb.headers


async def test_every_answer_carries_security_headers_and_the_correlation_id() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    fakes = Fakes({"GetOrder": NotFound("order", "O-1")})
    async with gateway(fakes) as http:
        answer = await http.get(
            "/v1/orders/O-1", headers={"X-Correlation-Id": "corr-1", "traceparent": trace}
        )
        strange = await http.get("/healthz", headers={"X-Correlation-Id": "a b"})
    assert answer.headers["x-correlation-id"] == "corr-1"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.json()["correlation_id"] == "corr-1"
    assert answer.json()["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert answer.json()["instance"] == "/v1/orders/O-1"
    assert fakes.calls[0].metadata["x-correlation-id"] == "corr-1"
    assert fakes.calls[0].metadata["traceparent"] == trace
    assert len(strange.headers["x-correlation-id"]) == 32


async def test_refusals_of_services_keep_their_reason() -> None:
    fakes = Fakes()
    refusals: tuple[tuple[Exception, int, str], ...] = (
        (Rejected(Refusal.CUTOFF_PASSED, "picked", [{"step": "x"}]), 409, "CUTOFF_PASSED"),
        (Rejected(Refusal.VERSION_MISMATCH, "is 4"), 412, "VERSION_MISMATCH"),
        (Rejected(Refusal.IDEMPOTENCY_MISMATCH, "other"), 422, "IDEMPOTENCY_MISMATCH"),
        (NotFound("order", "O-1"), 404, "NOT_FOUND"),
        (Invalid(("lines[2].quantity", "must be positive")), 400, "INVALID_ARGUMENT"),
    )
    told: dict[str, Any] = {}
    async with gateway(fakes) as http:
        for error, status, reason in refusals:
            fakes.replies["CancelOrder"] = error
            answer = await http.post(
                "/v1/orders/O-1:cancel", headers={"Idempotency-Key": reason, "If-Match": '"3"'}
            )
            told[reason] = answer.json()
            assert (answer.status_code, told[reason]["reason"]) == (status, reason)
    assert told["CUTOFF_PASSED"]["alternatives"] == [{"step": "x"}]
    assert told["INVALID_ARGUMENT"]["errors"] == [
        {"pointer": "/lines/2/quantity", "detail": "must be positive"}
    ]
    assert fakes.calls[0].request.expected_version == 3


async def test_versions_are_etags_and_pages_have_links() -> None:
    shown = catalog.GetProductResponse(version=7)
    shown.product.sku = "pear"
    page = catalog.ListProductsResponse(next_page_token="t=1&x")
    page.products.add(sku="pear")
    fakes = Fakes({"GetProduct": shown, "ListProducts": page})
    async with gateway(fakes) as http:
        full = await http.get("/v1/products/pear")
        known = await http.get("/v1/products/pear", headers={"If-None-Match": '"7"'})
        listed = await http.get("/v1/products?page_size=1&category_prefix=a&category_prefix=b")
        unknown = await http.get("/v1/products?page=1")
        unreadable = await http.get("/v1/products?page_size=many")
    assert (full.status_code, full.headers["etag"], full.json()["sku"]) == (200, '"7"', "pear")
    assert (known.status_code, known.content) == (304, b"")
    assert 'page_token=t%3D1%26x>; rel="next"' in listed.headers["link"]
    assert list(fakes.calls[2].request.category_prefix) == ["a", "b"]
    assert unknown.json()["errors"][0]["pointer"] == "?page"
    assert unreadable.json()["errors"][0]["pointer"] == "?page_size"


async def test_nested_requests_are_flat_for_the_caller() -> None:
    fakes = Fakes({"PickLine": picking.PickLineResponse(version=2)})
    async with gateway(fakes) as http:
        body = {"picker_id": "p", "quantity": 2}
        done = await http.post("/v1/tasks/T-1/lines/1:pick", json=body, headers=KEY)
        short = {"picker_id": "p", "quantity": 1, "reason": "not_found"}
        await http.post("/v1/tasks/T-1/lines/1:short", json=short, headers=KEY)
        wrong = await http.post(
            "/v1/tasks/T-1/lines/1:pick", json={"quantity": "x"}, headers={"Idempotency-Key": "w"}
        )
    assert done.status_code == 200, done.text
    sent = fakes.calls[0].request
    assert (sent.task_id, sent.pick.line_id, sent.pick.quantity) == ("T-1", "1", 2)
    assert sent.pick.action_id
    assert fakes.calls[1].request.short.quantity == 1
    assert wrong.json()["errors"][0]["pointer"] == "/quantity"


def test_a_fault_keeps_its_name_where_that_begins_like_the_nest() -> None:
    wrong = Malformed(("/pick/quantity", "a"), ("/pick", "b"), ("/pick_me", "c"), ("/x/pick", "d"))
    told = [pointer for pointer, _ in wrong.without("pick").faults]
    assert told == ["/quantity", "", "/pick_me", "/x/pick"]


async def test_movements_go_where_their_kind_says() -> None:
    fakes = Fakes({"AdjustStock": stock.AdjustStockResponse()})
    row = {"site_id": "s", "sku": "pear", "quantity": -1, "source_id": "d", "reason": "breakage"}
    async with gateway(fakes) as http:
        done = await http.post(
            "/v1/stock/movements:batch", json={"kind": "adjust", "rows": [row]}, headers=KEY
        )
        wrong = await http.post(
            "/v1/stock/movements:batch", json={"kind": "give"}, headers={"Idempotency-Key": "b"}
        )
        unknown = await http.post(
            "/v1/stock/movements:batch",
            json={"kind": "adjust", "movements": [row]},
            headers={"Idempotency-Key": "c"},
        )
        levels = await http.get("/v1/stock?site_id=s&sku=pear")
    assert done.status_code == 200, done.text
    assert fakes.calls[0].request.rows[0].movement.quantity == -1
    assert fakes.calls[0].request.rows[0].reason == stock.ADJUSTMENT_REASON_BREAKAGE
    assert wrong.json()["errors"][0]["pointer"] == "/kind"
    assert unknown.json()["errors"][0]["pointer"] == "/movements"
    assert levels.status_code == 200
    assert fakes.calls[1].method == "GetAvailability"


async def test_a_time_in_a_url_is_read_and_refused_as_in_a_body() -> None:
    fakes = Fakes()
    async with gateway(fakes) as http:
        asked = {"site_id": "s", "sku": "pear", "as_of": "2026-05-01T08:30:00+02:00"}
        done = await http.get("/v1/stock", params=asked)
        wrong = await http.get("/v1/stock", params=asked | {"as_of": "2026-05-01"})
    assert done.status_code == 200, done.text
    assert fakes.calls[0].request.as_of.ToJsonString() == "2026-05-01T06:30:00Z"
    assert [one["pointer"] for one in wrong.json()["errors"]] == ["?as_of"]
    assert "with its zone" in wrong.json()["errors"][0]["detail"]


async def test_a_quote_joins_prices_and_promise() -> None:
    priced = order.QuoteBasketResponse(basket_version=4)
    priced.prices.currency = "EUR"
    line = priced.prices.lines.add(line_id="1", sku="pear", quantity=2)
    line.choice.mode_id = "home_delivery"
    fakes = Fakes({"QuoteBasket": priced})
    async with gateway(fakes) as http:
        quote = (await http.get("/v1/baskets/B-1/quote")).json()
        line.ClearField("choice")
        unchosen = (await http.get("/v1/baskets/B-1/quote")).json()
    assert (quote["basket_version"], quote["promise"]["is_feasible"]) == (4, False)
    assert fakes.calls[1].request.lines[0].choice.mode_id == "home_delivery"
    assert "promise" not in unchosen


async def test_a_stream_resumes_and_tells_entries_with_their_version() -> None:
    entry = order.WatchTimelineResponse(version=5)
    entry.entry.version = 5
    entry.entry.kind = order.TIMELINE_KIND_STEP_STARTED
    fakes = Fakes({"WatchTimeline": lambda _: [entry, order.WatchTimelineResponse(version=6)]})
    async with gateway(fakes, is_streaming=True) as http:
        answer = await http.get("/v1/orders/O-1/events/stream", headers={"Last-Event-ID": "4"})
        fakes.replies["GetTimeline"] = NotFound("order", "O-1")
        missing = await http.get("/v1/orders/O-1/tracking/stream")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "id: 5\nevent: step_started\ndata: {" in answer.text
    assert ": still here\nid: 6\n\n" in answer.text
    assert fakes.calls[1].request.after_version == 4
    assert 1 <= fakes.calls[1].request.max_seconds <= 290  # what the service allows
    assert fakes.calls[1].request.view == order.TIMELINE_VIEW_BANNER
    assert missing.status_code == 404


async def test_draining_ends_streams_that_would_never_end() -> None:
    async def forever(_: Any) -> Any:
        await asyncio.sleep(60)

    fakes = Fakes({"WatchTimeline": forever})
    async with gateway(fakes, is_streaming=True) as http:
        app: Any = http._transport
        reading = asyncio.create_task(http.get("/v1/orders/O-1/events/stream"))
        await asyncio.sleep(0.2)
        assert not reading.done()
        app.app.drain()
        answer = await asyncio.wait_for(reading, 5)
    assert answer.text.startswith("retry: ")


@pytest.mark.parametrize(
    "path", ["/v1/promises:quote", "/v1/baskets/B:quote", "/v1/stock/promises:batch"]
)
async def test_a_stranger_makes_nobody_read_his_body(path: str) -> None:
    fakes = Fakes()
    async with gateway(fakes) as http:
        told = await http.post(path, content=b"[", headers={"Authorization": "Bearer nobody"})
    assert told.status_code == 401, told.text
    assert not fakes.calls


async def test_faults_of_a_hostile_body_are_not_collected_beyond_what_is_told() -> None:
    body = b'{"lines":[' + b"1," * 300_000 + b"1]}"
    began = time.perf_counter()
    with pytest.raises(Malformed) as told:
        from_json(order.QuoteRequest, msgspec.json.decode(body))
    assert len(told.value.faults) == MAX_FAULTS
    assert time.perf_counter() - began < 0.5


async def test_an_address_counts_as_part_of_the_head() -> None:
    async with gateway(Fakes()) as http:
        told = await http.get("/v1/orders", params={"page_token": "x" * 33_000})
    assert told.status_code == 431, told.text
