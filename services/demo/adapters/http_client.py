"""The public API over HTTP: kept-alive connections, a limit on them, retries with the same key."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec

from services.demo.application.ports import ApiAway, Reply

CONNECTIONS = 32
TIMEOUT_S = 30.0
RETRY_WITHIN_S = 90.0
FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 3.0

# Nothing final was said: the same request with the same key is safe, and worth another try.
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_PASSING_REASONS = frozenset({"CONCURRENT_CHANGE", "IDEMPOTENCY_RUNNING"})


class HttpApi:
    """Implements ``Api``.

    Args:
        base_url: For example ``http://127.0.0.1:8080``.
        api_key: Sent as bearer token.
        retry_within_s: How long a request is retried while the API is away.
        transport: Instead of the network, in tests.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        retry_within_s: float = RETRY_WITHIN_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._retry_within_s = retry_within_s
        self._client = httpx.AsyncClient(
            base_url=base_url,
            headers={"Authorization": f"Bearer {api_key}", "Accept": "application/json"},
            limits=httpx.Limits(max_connections=CONNECTIONS, keepalive_expiry=30.0),
            timeout=httpx.Timeout(TIMEOUT_S, pool=None),
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Reply:
        return await self._send("GET", path, b"", {}, params)

    async def post(self, path: str, body: Any, key: str, prefer: str = "") -> Reply:
        headers = {"Content-Type": "application/json"}
        if key:
            headers["Idempotency-Key"] = key
        if prefer:
            headers["Prefer"] = prefer
        return await self._send("POST", path, msgspec.json.encode(body), headers, None)

    async def _send(
        self,
        method: str,
        path: str,
        content: bytes,
        headers: Mapping[str, str],
        params: Mapping[str, str] | None,
    ) -> Reply:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._retry_within_s
        delay_s = FIRST_DELAY_S
        is_first = True
        while True:
            wait_s = 0.0
            try:
                response = await self._client.request(
                    method, path, content=content, headers=headers, params=params
                )
                reply = _reply(response)
                if not _is_passing(reply):
                    # What is replayed to a second try may be the answer that the first one lost.
                    return reply if is_first else replace(reply, is_replayed=False)
                problem = reply.problem
                wait_s = _retry_after_s(response)
            except httpx.TransportError as error:
                problem = f"{type(error).__name__} {error}".strip()
            wait_s = max(wait_s, delay_s)
            if loop.time() + wait_s > until:
                raise ApiAway(f"{method} {path}: {problem}")
            is_first = False
            await asyncio.sleep(wait_s)
            delay_s = min(delay_s * 2, LONGEST_DELAY_S)


def _reply(response: httpx.Response) -> Reply:
    try:
        body = msgspec.json.decode(response.content) if response.content else {}
    except msgspec.DecodeError:  # not the API: a proxy's page
        body = {"reason": f"HTTP_{response.status_code}", "detail": "the answer is not JSON"}
    is_replayed = response.headers.get("Idempotent-Replayed", "") == "true"
    return Reply(response.status_code, body, is_replayed)


def _is_passing(reply: Reply) -> bool:
    return reply.status in _PASSING or (not reply.is_ok and reply.reason in _PASSING_REASONS)


def _retry_after_s(response: httpx.Response) -> float:
    told = response.headers.get("Retry-After", "")
    return min(float(told), LONGEST_DELAY_S) if told.isascii() and told.isdigit() else 0.0
