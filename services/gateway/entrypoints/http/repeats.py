"""The Idempotency-Key contract: the same key, the same request, one effect, one answer.

The id of the command follows from tenant, route and key, and the services know it: running a
command again is harmless. The stored answer only saves the second run and tells the caller that
it is a repeat.
"""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from fastapi import Request, Response
from google.protobuf.descriptor import MethodDescriptor

from services.gateway.application.keys import Answer, Claimed, Keys, KeysAway, Mismatch, Running
from services.gateway.entrypoints.http.bodies import Sent
from services.gateway.entrypoints.http.contracts import scope_to_change
from services.gateway.entrypoints.http.incoming import incoming
from services.gateway.entrypoints.http.problems import (
    PASSING,
    PASSING_REASONS,
    Problem,
    answer,
    problem,
)
from services.kernel.domain.ids import derive

REPLAYED = "Idempotent-Replayed"
_KEPT_HEADERS = ("content-type", "etag", "location", "preference-applied", "retry-after")


@dataclass(frozen=True, slots=True)
class Command:
    """A request that changes something.

    Attributes:
        command_id: The gRPC ``request_id``; the same on every repeat.
        route: Method and path template.
        fingerprint: Of everything that makes the request what it is.
        is_keyed: False when the caller sent no key: nothing is remembered.
        is_allowed: Whether the caller has the scope that the command takes.
    """

    command_id: str
    route: str
    fingerprint: bytes
    is_keyed: bool
    is_allowed: bool
    request: Request

    @property
    def minted_id(self) -> str:
        """An id for what the command makes, when the caller names none."""
        return derive(self.command_id, "made")


def command_of(
    request: Request, sent: Sent[Any], path: str, key: str, method: MethodDescriptor
) -> Command:
    """Return the command that a request is.

    Args:
        request: Its method, address and If-Match belong to what it is.
        sent: Its body.
        path: Template of the route.
        key: From the Idempotency-Key; empty: the caller gave none.
        method: The rpc that carries it out.
    """
    route = f"{request.method} {path}"
    scope = request.scope
    expected = request.headers.get("if-match", "").encode()
    parts = (request.method.encode(), scope["raw_path"], scope["query_string"], expected, sent.raw)
    fingerprint = blake2b(b"\n".join(parts), digest_size=16).digest()
    command_id = derive("gateway", sent.tenant, route, key or secrets.token_hex(16))
    is_allowed = scope_to_change(method) in sent.caller.scopes
    return Command(command_id, route, fingerprint, bool(key), is_allowed, request)


async def once(
    keys: Keys | None, command: Command, run: Callable[[], Awaitable[Response]]
) -> Response:
    """Run the command, or give the answer that it got before.

    Raises:
        Problem: The key was used for another request, or its request is still running.
    """
    if keys is None or not command.is_keyed or not command.is_allowed:
        # Who may not give the command is told so by the service, and nothing of what others were.
        return await run()
    try:
        claim = await keys.claim(command.command_id, command.route, command.fingerprint)
    except KeysAway:  # the effect is still the same, only the replayed header is lost
        return await run()
    match claim:
        case Answer():
            return Response(claim.body, claim.status, {**claim.headers, REPLAYED: "true"})
        case Mismatch():
            raise problem("IDEMPOTENCY_MISMATCH", "the key was used for another request")
        case Running():
            raise problem("IDEMPOTENCY_RUNNING", headers={"Retry-After": "1"})
        case Claimed():
            return await _run_claimed(keys, command, run)


async def _run_claimed(
    keys: Keys, command: Command, run: Callable[[], Awaitable[Response]]
) -> Response:
    try:
        response, is_final = await _told(command.request, run)
    except BaseException:
        await _settle(keys.release(command.command_id))
        raise
    if is_final:
        await _settle(keys.finish(command.command_id, _answer_of(response)))
    else:
        await _settle(keys.release(command.command_id))
    return response


async def _settle(writing: Awaitable[None]) -> None:
    try:
        await writing
    except KeysAway:
        return  # the lease runs out by itself, and a repeat does no harm


async def _told(request: Request, run: Callable[[], Awaitable[Response]]) -> tuple[Response, bool]:
    """Return the answer and whether it is final: a refusal is kept and repeated word for word."""
    try:
        response = await run()
    except Problem as found:
        brought = incoming(request.scope)
        told = answer(
            found,
            instance=request.url.path,
            correlation_id=brought.correlation_id,
            traceparent=brought.traceparent,
        )
        is_passing = found.kind.status in PASSING or found.reason in PASSING_REASONS
        return told, not is_passing
    return response, True


def _answer_of(response: Response) -> Answer:
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    return Answer(response.status_code, bytes(response.body), headers)
