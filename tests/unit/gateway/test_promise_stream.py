"""Promises over server-sent events: all at first, then what changes."""

from oms.stock_ledger.v1 import promise_service_pb2 as wire

from services.kernel.domain.errors import Invalid
from tests.unit.gateway.fakes import Fakes, gateway

PATH = "/v1/stock/promises/stream"


async def test_promises_are_told_as_they_change() -> None:
    told = [
        wire.WatchPromisesResponse(
            promises=[wire.Promise(site_id="paris", sku="tea", confidence=wire.CONFIDENCE_HIGH)]
        ),
        wire.WatchPromisesResponse(),
    ]
    fakes = Fakes({"GetPromises": wire.GetPromisesResponse(), "WatchPromises": lambda _: told})
    async with gateway(fakes, is_streaming=True) as http:
        answer = await http.get(
            PATH, params={"sku": "tea", "site_id": ["paris", "lyon"], "channel": "web"}
        )

    asked = fakes.calls[1].request.pairs
    assert [(one.site_id, one.sku) for one in asked] == [("paris", "tea"), ("lyon", "tea")]
    assert answer.headers["content-type"].startswith("text/event-stream")
    [_, event, alive, *_] = answer.text.split("\n\n")
    assert event.startswith("event: promises\ndata: [{")
    assert '"confidence":"high"' in event
    assert alive == ": still here"


async def test_what_cannot_be_watched_is_refused_with_a_status() -> None:
    fakes = Fakes({"GetPromises": Invalid(("pairs[0].sku", "must be an id"))})
    async with gateway(fakes) as http:
        wrong = await http.get(PATH, params={"sku": "|", "site_id": "paris"})
        missing = await http.get(PATH, params={"sku": "tea"})

    assert wrong.status_code == 400
    assert missing.status_code in (400, 422)


async def test_a_product_of_two_lists_is_refused_before_it_is_multiplied() -> None:
    fakes = Fakes()
    async with gateway(fakes) as http:
        many = await http.get(PATH, params={"sku": ["a"] * 1_500, "site_id": ["b"] * 1_500})
        stranger = await http.get(
            PATH, params={"sku": "a", "site_id": "b"}, headers={"Authorization": "Bearer nobody"}
        )

    assert many.status_code == 400, many.text
    assert "at most 500" in many.json()["errors"][0]["detail"]
    assert stranger.status_code == 401
    assert not fakes.calls
