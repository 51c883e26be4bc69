"""``/live``, ``/ready`` and ``/metrics`` over plain HTTP, for the platform only.

Live: the event loop turns. It never asks a dependency, or an outage of the database would restart
every process that waits for it. Ready: every condition holds, so the process can take work.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

_LOG = logging.getLogger(__name__)

_REQUEST_S = 5.0
_REQUEST_BYTES = 8_192
_CONNECTIONS = 32
_REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}
_JSON = "application/json"
_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"

type Condition = Callable[[], Awaitable[bool]]
"""True when the process can take work as far as this goes. Raising counts as False."""


@dataclass
class Heartbeat:
    """Beats as long as the event loop turns.

    Attributes:
        every_s: How often.
        dead_after_s: A loop that has not turned for so long is stuck for good.
        report: Gets the lateness of each beat in seconds.
    """

    every_s: float = 1.0
    dead_after_s: float = 30.0
    report: Callable[[float], None] | None = None
    _last_s: float | None = field(default=None, init=False)

    async def beat(self) -> None:
        """Run for ever; cancel to stop."""
        loop = asyncio.get_running_loop()
        self._last_s = loop.time()
        while True:
            await asyncio.sleep(self.every_s)
            now_s = loop.time()
            if self.report is not None:
                self.report(max(0.0, now_s - self._last_s - self.every_s))
            self._last_s = now_s

    def is_alive(self) -> bool:
        """Tell whether the loop has turned lately; True before the first beat."""
        if self._last_s is None:
            return True
        return asyncio.get_running_loop().time() - self._last_s < self.dead_after_s


class HealthEndpoint:
    """Serves the three pages from ``start`` to ``stop``."""

    def __init__(
        self,
        *,
        ready: Mapping[str, Condition],
        metrics: Callable[[], bytes],
        alive: Callable[[], bool] | None = None,
        condition_s: float = 1.0,
    ) -> None:
        """Prepare the endpoint.

        Args:
            ready: Conditions by name; the names are shown, so they hold no secret.
            metrics: Everything in Prometheus' text format.
            alive: More than the loop's heartbeat, for example that consumers make progress.
            condition_s: A condition that takes longer does not hold.
        """
        self._ready = ready
        self._metrics = metrics
        self._alive = alive
        self._condition_s = condition_s
        self._heartbeat = Heartbeat()
        self._beating: asyncio.Task[None] | None = None
        self._server: asyncio.Server | None = None
        self._connections = 0
        self._is_draining = False

    async def start(
        self, host: str, port: int, report_lateness: Callable[[float], None] | None = None
    ) -> int:
        """Listen; return the port, chosen if ``port`` is 0."""
        self._heartbeat.report = report_lateness
        self._beating = asyncio.create_task(self._heartbeat.beat())
        self._server = await asyncio.start_server(
            self._serve, host, port, limit=_REQUEST_BYTES, backlog=_CONNECTIONS
        )
        return int(self._server.sockets[0].getsockname()[1])

    def drain(self) -> None:
        """Be unready from now on; the first step of stopping."""
        self._is_draining = True

    async def stop(self) -> None:
        """Serve no more; the last step of stopping."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        if self._beating is not None:
            self._beating.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._beating

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections <= _CONNECTIONS:
                async with asyncio.timeout(_REQUEST_S):
                    request = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n", 1)[0]
                    writer.write(await self._answer(request.decode("latin-1")))
                    await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the other side is slow, gone or talks nonsense: nothing to tell it
        finally:
            self._connections -= 1
            writer.close()

    async def _answer(self, request_line: str) -> bytes:
        method, _, rest = request_line.partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if method not in {"GET", "HEAD"}:
            return _response(405, b"{}")
        match path:
            case "/live":
                is_alive = self._heartbeat.is_alive() and (self._alive is None or self._alive())
                status, body, kind = (200 if is_alive else 503), {"live": is_alive}, _JSON
            case "/ready":
                holds = await self.conditions()
                status, body, kind = (200 if all(holds.values()) else 503), holds, _JSON
            case "/metrics":
                return _response(200, self._metrics(), _PROMETHEUS, has_body=method == "GET")
            case _:
                status, body, kind = 404, {}, _JSON
        return _response(status, json.dumps(body).encode(), kind, has_body=method == "GET")

    async def conditions(self) -> dict[str, bool]:
        """Return which conditions hold now."""
        holds = await asyncio.gather(
            *(self._holds(name, condition) for name, condition in self._ready.items())
        )
        return {"serving": not self._is_draining} | dict(zip(self._ready, holds, strict=True))

    async def _holds(self, name: str, condition: Condition) -> bool:
        try:
            async with asyncio.timeout(self._condition_s):
                return await condition()
        except Exception:  # noqa: BLE001 - whatever it is, we are not ready
            _LOG.warning("readiness condition %r failed", name, exc_info=True)
            return False


def _response(status: int, body: bytes, kind: str = _JSON, *, has_body: bool = True) -> bytes:
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (body if has_body else b"")
