"""What goes over the wire, and how an endpoint's answer is understood."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from services.notification.adapters.webhook_http import (
    Resolve,
    SystemResolver,
    WebhookHttp,
    wait_asked,
)
from services.notification.application.ports import Delivery, Outcome, Result
from services.notification.domain.message import Channel, Occasion, Text
from services.notification.domain.signature import secret_of, signed_headers

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECRET = secret_of(b"k" * 32)
DELIVERY = Delivery(
    tenant="demo",
    message_id="m-1",
    channel=Channel.WEBHOOK,
    endpoint_id="erp",
    order_id="O-1",
    group_id="O-1.1",
    step_id="arrival",
    occasion=Occasion.STEP,
    text=Text("Prête", "Ready"),
    occurred_at=NOON,
    sequence=7,
    attempts=1,
    first_attempt_at=NOON,
    fence=1,
    url="https://shop.example/hook?x=1",
    secrets=(SECRET,),
)


class FixedClock:
    def now(self) -> datetime:
        return NOON


def resolving(*addresses: str) -> Resolve:
    async def resolve(host: str, port: int) -> Sequence[str]:
        assert (host, port) == ("shop.example", 443)
        return addresses

    return resolve


async def send(
    answer: Callable[[httpx.Request], httpx.Response],
    resolve: Resolve,
    timeout_s: float = 5.0,
) -> Outcome:
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        outlet = WebhookHttp(
            FixedClock(), timeout_s=timeout_s, allow_private=False, resolve=resolve, client=client
        )
        return await outlet.send(DELIVERY)


async def test_the_checked_address_is_called_under_the_name_and_signed() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(204)

    outcome = await send(answer, resolving("93.184.215.14"))
    assert outcome == Outcome(Result.TAKEN, "HTTP 204")
    (request,) = seen
    assert str(request.url) == "https://93.184.215.14/hook?x=1"
    assert request.headers["host"] == "shop.example"
    assert request.extensions["sni_hostname"] == "shop.example"
    expected = signed_headers("m-1", int(NOON.timestamp()), request.content, [SECRET])
    assert {name: request.headers[name] for name in expected} == expected
    body = json.loads(request.content)
    assert body["type"] == "oms.notification.v1.message"
    assert body["timestamp"] == "2026-03-02T12:00:00Z"
    assert body["data"]["text"] == {"fr": "Prête", "en": "Ready"}
    assert (body["data"]["ordering_key"], body["data"]["sequence"]) == ("O-1", 7)


@pytest.mark.parametrize(
    "addresses", [("10.0.0.1",), ("93.184.215.14", "127.0.0.1"), ("169.254.169.254",)]
)
async def test_a_host_with_a_private_address_is_not_called(addresses: Sequence[str]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise AssertionError("called")

    outcome = await send(answer, resolving(*addresses))
    assert outcome == Outcome(Result.RETRY, "address refused")


async def test_a_redirect_is_not_followed() -> None:
    calls = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        return httpx.Response(302, headers={"location": "https://127.0.0.1/"})

    outcome = await send(answer, resolving("93.184.215.14"))
    assert outcome == Outcome(Result.RETRY, "HTTP 302")
    assert calls == 1


@pytest.mark.parametrize(
    ("status", "retry_after", "expected"),
    [
        (200, "", Outcome(Result.TAKEN, "HTTP 200")),
        (410, "", Outcome(Result.GONE, "HTTP 410")),
        (404, "", Outcome(Result.RETRY, "HTTP 404")),
        (500, "30", Outcome(Result.RETRY, "HTTP 500")),
        (503, "30", Outcome(Result.RETRY, "HTTP 503", timedelta(seconds=30))),
        (429, "", Outcome(Result.RETRY, "HTTP 429")),
    ],
)
async def test_answers_are_understood(status: int, retry_after: str, expected: Outcome) -> None:
    headers = {"retry-after": retry_after} if retry_after else {}
    outcome = await send(
        lambda _: httpx.Response(status, headers=headers), resolving("93.184.215.14")
    )
    assert outcome == expected


async def test_silence_and_breakdown_are_tried_again() -> None:
    def breaks(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.sleep(60)
        return ()

    outcome = await send(breaks, resolving("93.184.215.14"))
    assert outcome == Outcome(Result.RETRY, "not reached: ConnectError")
    outcome = await send(breaks, never, timeout_s=0.05)
    assert outcome == Outcome(Result.RETRY, "timed out")


async def test_names_that_nobody_answers_for_hold_up_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go = threading.Event()

    def ask(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        if host == "silent.example":
            go.wait(30)
        return [(0, 0, 0, "", ("93.184.215.14", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    resolver = SystemResolver(at_a_time=40)
    silent = [asyncio.create_task(resolver.addresses("silent.example", 443)) for _ in range(39)]
    await asyncio.sleep(0.05)
    async with asyncio.timeout(2):
        assert await resolver.addresses("shop.example", 443) == ["93.184.215.14"]
    go.set()
    await asyncio.gather(*silent)
    resolver.close()


def test_retry_after_is_seconds_or_a_date_or_nothing() -> None:
    assert wait_asked(" 120 ", NOON) == timedelta(seconds=120)
    assert wait_asked("Mon, 02 Mar 2026 12:01:00 GMT", NOON) == timedelta(seconds=60)
    assert wait_asked("Mon, 02 Mar 2026 11:00:00 GMT", NOON) == timedelta(0)
    assert wait_asked("soon", NOON) is None
    assert wait_asked("", NOON) is None
    assert wait_asked("9" * 400, NOON) is not None
    assert wait_asked(f"Mon, 01 Jan {'9' * 20} 00:00:00 GMT", NOON) is None
    assert wait_asked("Mon, 01 Jan 2026 00:00:00 +99999999999999", NOON) is None


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "shop..example", ".example"])
async def test_a_host_that_cannot_be_asked_for_is_not_reached(host: str) -> None:
    delivery = replace(DELIVERY, url=f"https://{host}/hook")
    outlet = WebhookHttp(FixedClock(), timeout_s=5, allow_private=False)
    outcome = await outlet.send(delivery)
    assert outcome == Outcome(Result.RETRY, "not reached: UnicodeError")


async def test_a_host_is_asked_for_as_it_was_registered() -> None:
    """The name in Unicode may be another's: an older rule makes fass.example of it."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["93.184.215.14"]

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.extensions["sni_hostname"])
        return httpx.Response(204)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        outlet = WebhookHttp(
            FixedClock(), timeout_s=5, allow_private=False, resolve=resolve, client=client
        )
        await outlet.send(replace(DELIVERY, url="https://xn--fa-hia.example/hook"))
    assert asked == ["xn--fa-hia.example"] * 2
