"""Every rpc has its route, every route is in the document and reaches its rpc."""

import re
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from services.gateway.entrypoints.http import (
    baskets,
    catalog,
    decisions,
    handover,
    notifications,
    orders,
    picking,
    promises,
    returns,
    stock,
    stock_feeds,
)
from services.gateway.entrypoints.http.contracts import ALL, ORDER, STOCK, scope_to_change
from services.gateway.entrypoints.http.endpoints import names_in
from services.gateway.entrypoints.http.remote import Remote
from services.gateway.main import build_app
from services.gateway.settings import GatewaySettings
from services.kernel.main import SERVICES
from tests.support.built import built
from tests.unit.gateway.fakes import Fakes, MemoryKeys, OneKey, gateway

# Rpcs without a route, each with its reason.
WITHOUT_ROUTE: dict[str, str] = {
    "oms.stock_ledger.v1.StockLedgerService/AskAvailability": "a stream both ways: gRPC only",
}
MODULES = (
    orders, picking, stock, stock_feeds, promises, baskets, catalog,
    handover, returns, decisions, notifications,
)  # fmt: skip
ROUTES = [route for module in MODULES for route in module.ROUTES]


@pytest.fixture(scope="module")
def edge() -> FastAPI:
    _, edge, _ = build_app(Remote({}), MemoryKeys(), OneKey(), GatewaySettings())
    return edge


def operations(edge: FastAPI) -> dict[tuple[str, str], dict[str, Any]]:
    paths = edge.openapi()["paths"]
    return {(path, verb): one for path, verbs in paths.items() for verb, one in verbs.items()}


def test_every_rpc_has_its_route_or_a_reason_not_to(edge: FastAPI) -> None:
    covered = {name for one in operations(edge).values() for name in one["x-rpc"]}
    rpcs = {
        f"{method.containing_service.full_name}/{method.name}"
        for methods in ALL
        for method in methods.values()
    }
    assert rpcs - covered == set(WITHOUT_ROUTE)


def test_every_route_is_in_the_document_once(edge: FastAPI) -> None:
    live = [
        (route.path, verb.lower())
        for route in edge.routes
        if isinstance(route, APIRoute) and route.include_in_schema
        for verb in route.methods or ()
    ]
    described = operations(edge)
    assert len(live) == len(set(live)) > len(ROUTES)
    assert set(live) == set(described)
    ids = [one["operationId"] for one in described.values()]
    assert len(ids) == len(set(ids))


def test_every_row_is_described_with_its_own_parameters(edge: FastAPI) -> None:
    described = operations(edge)
    for route in ROUTES:
        one = described[route.path, route.verb.lower()]
        parameters = {(each["in"], each["name"]) for each in one.get("parameters", ())}
        fields = route.method.input_type.fields_by_name
        assert {name for place, name in parameters if place == "path"} == set(names_in(route.path))
        assert (("header", "If-Match") in parameters) == ("expected_version" in fields)
        is_url = not route.is_command and route.verb == "GET"
        in_query = {name for place, name in parameters if place == "query"}
        hidden = {*names_in(route.path), *route.fixed}
        assert in_query == (set(fields) - hidden if is_url else set()), route.path
        assert ("requestBody" in one) == (route.verb in ("POST", "PUT"))


def test_nothing_is_filled_in_for_those_who_try_the_api(edge: FastAPI) -> None:
    for (path, _), one in operations(edge).items():
        for each in one.get("parameters", ()):
            assert "default" not in each["schema"], (path, each)
            assert "unspecified" not in each["schema"].get("enum", ()), (path, each)


def test_every_parameter_is_described(edge: FastAPI) -> None:
    bare = [
        (path, verb, each["name"])
        for (path, verb), one in operations(edge).items()
        for each in one.get("parameters", ())
        if not each.get("description")
    ]
    assert not bare


def test_every_operation_says_what_it_does(edge: FastAPI) -> None:
    assert not [at for at, one in operations(edge).items() if not one.get("description")]


def test_every_post_that_changes_something_asks_for_a_key(edge: FastAPI) -> None:
    for (path, verb), one in operations(edge).items():
        if verb == "post":
            rows = [route for route in ROUTES if (route.path, route.verb) == (path, "POST")]
            changes = rows[0].is_command if rows else not path.endswith(":quote")
            required = {each["name"] for each in one.get("parameters", ()) if each["required"]}
            assert ("Idempotency-Key" in required) == changes, path


def test_every_reference_of_the_document_resolves(edge: FastAPI) -> None:
    whole = edge.openapi()
    names = set(re.findall(r"#/components/schemas/([\w.]+)", str(whole)))
    assert names <= set(whole["components"]["schemas"])
    assert len(names) > 40


async def test_the_document_is_served() -> None:
    async with gateway(Fakes()) as http:
        served = (await http.get("/openapi.json")).json()
    assert served["openapi"].startswith("3.1")
    assert "Idempotency-Key" in str(served["paths"]["/v1/orders"]["post"]["parameters"])
    assert served["security"] == [{"key": []}]


async def test_every_row_reaches_its_rpc() -> None:
    fakes = Fakes()
    async with gateway(fakes) as http:
        for number, route in enumerate(ROUTES):
            path = re.sub(r"\{\w+\}", "x", route.path)
            body: dict[str, Any] = {"json": {}} if route.verb in ("POST", "PUT") else {}
            answer = await http.request(
                route.verb, path, headers={"Idempotency-Key": f"k{number}"}, **body
            )
            assert answer.status_code == route.status, (route.path, answer.text)
            assert fakes.calls[-1].method == route.method.name
            for name in names_in(route.path):
                sent = fakes.calls[-1].request
                assert "x" in (getattr(sent, name, ""), *_nested(sent, route.nests, name))


def _nested(sent: Any, nest: str, name: str) -> list[str]:
    return [getattr(getattr(sent, nest), name, "")] if nest else []


async def test_head_is_get_without_its_body() -> None:
    async with gateway(Fakes()) as http:
        assert (await http.head("/v1/orders/O-1")).status_code == 200
        assert (await http.head("/")).status_code == 200


def test_the_scope_that_a_command_takes_is_known_before_it_is_answered_from_memory() -> None:
    declared = {method: scope for name in SERVICES for method, scope in built(name).scopes.items()}
    commands = [*(route.method for route in ROUTES if route.is_command), ORDER["PlaceOrder"]]
    commands += [STOCK[name] for name in ("ReceiveStock", "AdjustStock", "RecordTillSales")]
    assert len(commands) > 30
    for method in commands:
        scope = declared[f"/{method.containing_service.full_name}/{method.name}"]
        assert scope_to_change(method) == scope, method.full_name
