"""Every rpc has its route, every route is in the document and reaches its rpc."""

import re
from typing import Any

from services.gateway.entrypoints.http.app import api_routes
from services.gateway.entrypoints.http.contracts import ALL
from services.gateway.entrypoints.http.document import document
from services.gateway.entrypoints.http.routes import Route
from services.gateway.entrypoints.http.streams import Streams
from tests.unit.gateway.fakes import Fakes, gateway

# Rpcs without a route, each with its reason.
WITHOUT_ROUTE: dict[str, str] = {}
ROUTES = api_routes(Streams())


def test_every_rpc_has_its_route_or_a_reason_not_to() -> None:
    covered = {
        method.full_name
        for route in ROUTES
        for method in ((route.method,) if isinstance(route, Route) else route.calls)
    }
    rpcs = {method.full_name for methods in ALL for method in methods.values()}
    assert rpcs - covered == set(WITHOUT_ROUTE)


def test_every_route_is_in_the_document_once() -> None:
    described: dict[str, dict[str, Any]] = document(ROUTES)["paths"]
    live = [(route.path, route.verb.lower()) for route in ROUTES]
    assert len(live) == len(set(live))
    assert set(live) == {(path, verb) for path, verbs in described.items() for verb in verbs}
    ids = [one["operationId"] for verbs in described.values() for one in verbs.values()]
    assert len(ids) == len(set(ids))


def test_every_post_that_changes_something_asks_for_a_key() -> None:
    for route in ROUTES:
        if isinstance(route, Route) and route.verb == "POST":
            described = document([route])["paths"][route.path]["post"]["parameters"]
            named = {one["name"] for one in described}
            assert ("Idempotency-Key" in named) == (
                "request_id" in route.method.input_type.fields_by_name
            )


def test_every_reference_of_the_document_resolves() -> None:
    whole = document(ROUTES)
    names = set(re.findall(r"#/components/schemas/([\w.]+)", str(whole)))
    assert names <= set(whole["components"]["schemas"])


async def test_the_document_is_served() -> None:
    async with gateway(Fakes()) as http:
        served = (await http.get("/openapi.json")).json()
    assert served["openapi"] == "3.1.0"
    assert "Idempotency-Key" in str(served["paths"]["/v1/orders"]["post"]["parameters"])


async def test_every_route_reaches_its_rpc() -> None:
    fakes = Fakes()
    async with gateway(fakes) as http:
        for number, route in enumerate(ROUTES):
            if not isinstance(route, Route):
                continue
            path = re.sub(r"\{\w+\}", "x", route.path)
            body: dict[str, Any] = {"json": {}} if route.verb in ("POST", "PUT") else {}
            answer = await http.request(
                route.verb, path, headers={"Idempotency-Key": f"k{number}"}, **body
            )
            assert answer.status_code == route.status, (route.path, answer.text)
            assert fakes.calls[-1].method == route.method.name
