"""The problem table, row by row."""

import asyncio

import grpc
import pytest

from services.gateway.entrypoints.http.incoming import incoming
from services.gateway.entrypoints.http.problems import (
    CODES,
    PASSING,
    REASONS,
    answer,
    problem,
    problem_for,
)
from services.gateway.entrypoints.http.wire import pointer_of
from tests.unit.gateway.fakes import Fakes, gateway

EXPECTED = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: 503,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.DATA_LOSS: 500,
}


def test_every_grpc_status_but_ok_has_a_row() -> None:
    assert set(CODES) == set(grpc.StatusCode) - {grpc.StatusCode.OK} == set(EXPECTED)


@pytest.mark.parametrize("code", EXPECTED)
async def test_a_status_of_a_service_becomes_its_http_status(code: grpc.StatusCode) -> None:
    async with gateway(Fakes({"GetOrder": code})) as http:
        told = await http.get("/v1/orders/O-1")
    assert told.status_code == EXPECTED[code]
    assert told.headers["content-type"] == "application/problem+json"
    body = told.json()
    assert body["status"] == told.status_code
    assert body["title"]
    assert body["type"] == "/problems/" + body["reason"].lower().replace("_", "-")
    if told.status_code >= 500:
        assert "innards" not in told.text
    assert ("retry-after" in told.headers) == (
        told.status_code in (429, 503) or body["reason"] == "CONCURRENT_CHANGE"
    )


@pytest.mark.parametrize("reason", REASONS)
async def test_every_reason_has_a_page_that_explains_it(reason: str) -> None:
    told = problem(reason)
    response = answer(told, instance="/x", correlation_id="c", traceparent="")
    assert response.status_code == REASONS[reason].status
    async with gateway(Fakes()) as http:
        page = await http.get(f"/problems/{reason.lower().replace('_', '-')}")
    assert page.status_code == 200
    assert reason in page.text


def test_a_reason_nobody_listed_is_a_conflict_with_its_own_name() -> None:
    told = problem_for(grpc.StatusCode.FAILED_PRECONDITION, "WRONG_PICKUP_CODE", "four tries left")
    assert (told.kind.status, told.reason) == (409, "WRONG_PICKUP_CODE")
    assert told.kind.title == "Wrong pickup code"


async def test_an_unreachable_service_is_not_available() -> None:
    assert 503 in PASSING
    async with gateway(Fakes({"GetOrder": grpc.StatusCode.UNAVAILABLE})) as http:
        told = await http.get("/v1/orders/O-1")
    assert told.headers["retry-after"] == "1"


async def test_a_slow_service_is_a_timeout_within_what_the_caller_waits() -> None:
    async def slow(_: object) -> None:
        await asyncio.sleep(5)

    async with gateway(Fakes({"GetOrder": slow})) as http:
        told = await http.get("/v1/orders/O-1", headers={"X-Request-Timeout-Ms": "200"})
    assert told.status_code == 504


def test_field_paths_become_json_pointers() -> None:
    assert pointer_of("lines[2].choice.site_id") == "/lines/2/choice/site_id"
    assert pointer_of("") == ""


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("", ""), ("Basic abc", ""), ("Bearer oms_a_b_c", "oms_a_b_c"), ("bearer x", "x")],
)
def test_only_bearer_tokens_are_passed_on(sent: str, kept: str) -> None:
    scope = {"type": "http", "headers": [(b"authorization", sent.encode())]}
    assert incoming(scope).token == kept
