"""Requests are retried with the same key until something final is said, within a limit."""

import httpx
import pytest

from services.demo.adapters import http_client
from services.demo.adapters.http_client import HttpApi
from services.demo.application.ports import ApiAway


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "FIRST_DELAY_S", 0.001)


def api(answers: list[httpx.Response | Exception], seen: list[httpx.Request]) -> HttpApi:
    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    return HttpApi("http://test", "oms_dev_x_y", 0.5, httpx.MockTransport(answer))


async def test_passing_faults_are_retried_with_the_same_key() -> None:
    seen: list[httpx.Request] = []
    answers: list[httpx.Response | Exception] = [
        httpx.ConnectError("refused"),
        httpx.Response(503, json={"reason": "UNAVAILABLE"}),
        httpx.Response(409, json={"reason": "CONCURRENT_CHANGE"}),
        httpx.Response(201, json={"status": "accepted"}, headers={"Idempotent-Replayed": "true"}),
    ]
    async with api(answers, seen) as client:
        reply = await client.post("/v1/orders", {"a": 1}, "key-1", prefer="wait=5")
    assert reply.is_ok
    assert not reply.is_replayed, "it may be the answer to our own first try"
    assert {request.headers["Idempotency-Key"] for request in seen} == {"key-1"}
    assert {request.content for request in seen} == {b'{"a":1}'}
    assert seen[0].headers["Authorization"] == "Bearer oms_dev_x_y"
    assert seen[0].headers["Prefer"] == "wait=5"
    assert len(seen) == 4


async def test_an_answer_of_an_earlier_run_is_told_as_one() -> None:
    again = httpx.Response(201, json={}, headers={"Idempotent-Replayed": "true"})
    async with api([again], []) as client:
        assert (await client.post("/v1/orders", {}, "key-1")).is_replayed


async def test_a_refusal_is_an_answer() -> None:
    seen: list[httpx.Request] = []
    refused = httpx.Response(409, json={"reason": "OUT_OF_STOCK", "detail": "none left"})
    async with api([refused], seen) as client:
        reply = await client.get("/v1/orders/1")
    assert (reply.reason, reply.problem) == ("OUT_OF_STOCK", "OUT_OF_STOCK: none left")
    assert len(seen) == 1


async def test_retries_end() -> None:
    def away(_: httpx.Request) -> httpx.Response:
        return httpx.Response(502, text="<html>")

    async with HttpApi("http://test", "k", 0.05, httpx.MockTransport(away)) as client:
        with pytest.raises(ApiAway, match="HTTP_502"):
            await client.get("/v1/sites")
