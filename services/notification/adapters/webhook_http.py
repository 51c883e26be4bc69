"""Webhooks by HTTP, after Standard Webhooks, safe against requests into our own network.

The host is resolved here, every address it has must be public, and the connection goes to the
address that was checked (the certificate is still checked against the name), so a name that points
elsewhere a moment later gains nothing. Redirects are not followed, proxies of the environment not
used, bodies of answers not read, and connections not shared between endpoints.
"""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Self

import httpx

from services.kernel.application.clock import Clock
from services.notification.application.ports import Delivery, Outcome, Result
from services.notification.domain.signature import signed_headers
from services.notification.domain.webhook_url import is_public

EVENT_TYPE = "oms.notification.v1.message"
_SUCCESS = range(200, 300)
_GONE = 410
_ASKS_TO_WAIT = (429, 503)

type Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class AddressRefused(Exception):
    """The host has an address that is not public."""


class WebhookHttp:
    """An ``Outlet``.

    Args:
        clock: For the time in the signature.
        timeout_s: Longest try, everything included.
        allow_private: Whether private addresses and plain http may be called (development).
        at_a_time: Most tries at a time.
        resolve: Addresses of a host.
        client: Replaced in tests.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        timeout_s: float,
        allow_private: bool,
        at_a_time: int = 128,
        resolve: Resolve | None = None,
        client: httpx.AsyncClient | None = None,
    ) -> None:
        self._clock = clock
        self._timeout_s = timeout_s
        self._allow_private = allow_private
        self._resolver = SystemResolver(at_a_time)
        self._resolve = resolve or self._resolver.addresses
        self._client = client

    async def send(self, delivery: Delivery) -> Outcome:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._post(delivery)
        except AddressRefused:
            return Outcome(Result.RETRY, "address refused")
        except (TimeoutError, httpx.TimeoutException):
            return Outcome(Result.RETRY, "timed out")
        # A name that cannot be asked for is a UnicodeError, which is a ValueError.
        except (OSError, ValueError, httpx.HTTPError, httpx.InvalidURL) as error:
            return Outcome(Result.RETRY, f"not reached: {type(error).__name__}")

    async def _post(self, delivery: Delivery) -> Outcome:
        url = httpx.URL(delivery.url)
        if url.scheme != "https" and not self._allow_private:
            raise AddressRefused
        address = await self._checked_address(url)
        body = body_of(delivery)
        now_s = int(self._clock.now().timestamp())
        request_headers = {
            "host": url.netloc.decode("ascii"),
            "content-type": "application/json",
            "user-agent": "so-oms",
            **signed_headers(delivery.message_id, now_s, body, delivery.secrets),
        }
        async with self._http().stream(
            "POST",
            url.copy_with(host=address),
            content=body,
            headers=request_headers,
            extensions={"sni_hostname": _name_of(url)},
        ) as answer:
            return self._outcome(answer)

    async def _checked_address(self, url: httpx.URL) -> str:
        port = url.port or (443 if url.scheme == "https" else 80)
        addresses = await self._resolve(_name_of(url), port)
        if not addresses:
            raise OSError("no address")
        if not self._allow_private and not all(map(is_public, addresses)):
            raise AddressRefused
        return addresses[0]

    def _outcome(self, answer: httpx.Response) -> Outcome:
        detail = f"HTTP {answer.status_code}"
        if answer.status_code in _SUCCESS:
            return Outcome(Result.TAKEN, detail)
        if answer.status_code == _GONE:
            return Outcome(Result.GONE, detail)
        asked = None
        if answer.status_code in _ASKS_TO_WAIT:
            asked = wait_asked(answer.headers.get("retry-after", ""), self._clock.now())
        return Outcome(Result.RETRY, detail, asked)

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(
                follow_redirects=False,
                trust_env=False,
                timeout=httpx.Timeout(self._timeout_s, connect=self._timeout_s / 3),
                # Two names may share an address; a kept connection was verified for one of them.
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            )
        return self._client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._resolver.close()
        if self._client is not None:
            await self._client.aclose()
            self._client = None


def body_of(delivery: Delivery) -> bytes:
    """Return what is sent: the same bytes on every try."""
    return json.dumps(
        {
            "type": EVENT_TYPE,
            "timestamp": _rfc3339(delivery.occurred_at),
            "data": {
                "message_id": delivery.message_id,
                "order_id": delivery.order_id,
                "group_id": delivery.group_id,
                "step_id": delivery.step_id,
                "kind": delivery.occasion.value,
                "text": {"fr": delivery.text.fr, "en": delivery.text.en},
                # Deliveries may overtake each other: the receiver orders them by these two.
                "ordering_key": delivery.order_id,
                "sequence": delivery.sequence,
            },
        },
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode()


def wait_asked(retry_after: str, now: datetime) -> timedelta | None:
    """Return what a Retry-After header asks for: seconds or an HTTP date; nothing if unreadable."""
    value = retry_after.strip()
    if value.isascii() and value.isdigit():
        return timedelta(seconds=min(int(value[:9]), 10**7))
    try:
        until = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(until - now, timedelta(0))


def _name_of(url: httpx.URL) -> str:
    """Return the host as it was registered: ``url.host`` is Unicode, which may name another."""
    return url.raw_host.decode("ascii")


class SystemResolver:
    """Asks the system for addresses, each question in a thread of its own.

    The loop's own threads are few: names that nobody answers for would hold up everybody else's.

    Args:
        at_a_time: Most questions at a time.
    """

    def __init__(self, at_a_time: int) -> None:
        self._at_a_time = at_a_time
        self._threads: ThreadPoolExecutor | None = None

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses of a host, in the order the system prefers them."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._at_a_time, "resolver")
        ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    def close(self) -> None:
        """Ask nothing more; what was asked is waited for by nobody."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None


def _rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
