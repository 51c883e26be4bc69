"""Around every request, as plain ASGI: limits, correlation, security headers, no stack traces."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace

import grpc
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.entrypoints.http.bounded_head import MAX_HEAD_BYTES
from services.gateway.entrypoints.http.incoming import SCOPE_KEY, incoming
from services.gateway.entrypoints.http.parameters import problem_of_parameters
from services.gateway.entrypoints.http.problems import Problem, answer, problem, problem_for
from services.gateway.entrypoints.http.wire import Malformed
from services.kernel.application.authenticator import Unauthenticated
from services.kernel.application.guesses import GuessedTooOften
from services.kernel.application.runner import Overloaded
from services.kernel.application.telemetry import RequestTelemetry

MAX_BODY_BYTES = 1024 * 1024
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Strict-Transport-Security": "max-age=31536000",
    "Cache-Control": "no-store",
}
type Header = tuple[bytes, bytes]
type PageLost = Callable[[Scope], ASGIApp | None]
_SECURITY = [(name.lower().encode(), text.encode()) for name, text in SECURITY_HEADERS.items()]

_log = logging.getLogger("oms.gateway")


class Around:
    """The whole application.

    Attributes:
        drain: Ends what would never end by itself; called when the server is to stop.
        page_lost: Makes the page that a person gets at an address that leads nowhere; nothing for
            whoever is no person.
        telemetry: Gets a span per request while anybody collects them; may be nobody.
    """

    def __init__(self, app: ASGIApp, drain: Callable[[], None], page_lost: PageLost) -> None:
        self._app = app
        self.drain = drain
        self.page_lost = page_lost
        self.telemetry: RequestTelemetry | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self.telemetry is not None and _is_disbelieved(scope):
            self.telemetry.forwarding_disbelieved()
        if self.telemetry is not None and self.telemetry.is_tracing:
            await self._traced(self.telemetry, scope, receive, send)
        else:
            await self._served(scope, receive, send)

    async def _traced(
        self, telemetry: RequestTelemetry, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve it within a span; the services' spans hang below that one."""
        brought = incoming(scope)
        with telemetry.request(scope["method"], brought.traceparent) as span:

            async def send_noting(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.note("http.response.status_code", message["status"])
                await send(message)

            scope[SCOPE_KEY] = replace(brought, traceparent=span.traceparent)
            await self._served(scope, receive, send_noting)
            # The template, never the path: that one holds ids.
            span.note("http.route", getattr(scope.get("route"), "path", ""))

    async def _served(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False
        correlation_id = incoming(scope).correlation_id

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = _with_ours(message["headers"], correlation_id)
            await send(message)

        try:
            _refuse_large(scope)
            await self._app(scope, _bounded(receive), send_with_headers)
        except Exception as error:
            if begun:
                raise
            found = problem_in(error, correlation_id)
            page = self.page_lost(scope) if found.reason == "ROUTE_NOT_FOUND" else None
            if page is not None:
                await page(scope, receive, send_with_headers)
            else:
                await tell(found, scope, receive, send_with_headers)


def _is_disbelieved(scope: Scope) -> bool:
    """Tell whether a proxy names the caller's address, and the server does not take it from him.

    Whom the server trusts, by FORWARDED_ALLOW_IPS, that one's header says who the client is.
    """
    told = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
    return bool(told) and (scope.get("client") or ("",))[0].encode() not in told


def _with_ours(headers: Iterable[Header], correlation_id: str) -> list[Header]:
    """Return the headers of an answer with those of every answer; an answer's own go first."""
    whole = list(headers)
    present = {name for name, _ in whole}
    whole += [pair for pair in _SECURITY if pair[0] not in present]
    whole.append((b"x-correlation-id", correlation_id.encode()))
    return whole


def problem_in(  # noqa: PLR0911 - one return per kind of error
    error: Exception, correlation_id: str
) -> Problem:
    """Return what is told about an error. Of a fault of ours: nothing but that it is one."""
    match error:
        case Problem():
            return error
        case RequestValidationError():
            return problem_of_parameters(error)
        case HTTPException(status_code=405):
            return problem("METHOD_NOT_ALLOWED", headers=dict(error.headers or {}))
        case HTTPException():
            return problem("ROUTE_NOT_FOUND")
        case Malformed():
            return problem("MALFORMED_REQUEST", errors=error.faults)
        case Unauthenticated():
            return problem_for(grpc.StatusCode.UNAUTHENTICATED, "", "")
        case GuessedTooOften():
            retry_after_s = -(-error.retry_after_ms // 1_000)
            return problem("RATE_LIMITED", f"{error}", headers={"Retry-After": str(retry_after_s)})
        case Overloaded():
            return problem_for(grpc.StatusCode.UNAVAILABLE, "", "")
        case _:
            _log.error("unexpected", exc_info=error, extra={"correlation_id": correlation_id})
            return problem_for(grpc.StatusCode.INTERNAL, "", "")


async def tell(found: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the problem."""
    brought = incoming(scope)
    response = answer(
        found,
        instance=scope["path"],
        correlation_id=brought.correlation_id,
        traceparent=brought.traceparent,
    )
    await response(scope, receive, send)


def _refuse_large(scope: Scope) -> None:
    head_bytes = len(scope["raw_path"]) + len(scope["query_string"])
    head_bytes += sum(len(name) + len(value) for name, value in scope["headers"])
    if head_bytes > MAX_HEAD_BYTES:
        raise problem("HEAD_TOO_LARGE", f"at most {MAX_HEAD_BYTES} bytes of address and headers")
    for name, value in scope["headers"]:
        if name == b"content-length" and (not value.isdigit() or int(value) > MAX_BODY_BYTES):
            raise problem("BODY_TOO_LARGE", f"at most {MAX_BODY_BYTES} bytes")


def _bounded(receive: Receive) -> Receive:
    """Count what arrives: a chunked body has no length to refuse beforehand."""
    received_bytes = 0

    async def count() -> Message:
        nonlocal received_bytes
        message = await receive()
        if message["type"] == "http.request":
            received_bytes += len(message.get("body", b""))
            if received_bytes > MAX_BODY_BYTES:
                raise problem("BODY_TOO_LARGE", f"at most {MAX_BODY_BYTES} bytes")
        return message

    return count
