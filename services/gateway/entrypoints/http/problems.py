"""What can go wrong, as RFC 9457 tells it: the one table from reasons to statuses.

A refusal of a service arrives as a gRPC status with a registry reason. The reason decides first;
where it has no row of its own, the gRPC code does. Nothing here ever shows a stack trace.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import grpc
import msgspec
from fastapi import Response

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "/problems/"  # resolves: the gateway serves a page for every type


@dataclass(frozen=True, slots=True)
class Kind:
    """A row of the table.

    Attributes:
        status: HTTP status.
        title: The same for every occurrence.
        remedy: What the caller can do; shown on the page of the type.
    """

    status: int
    title: str
    remedy: str


REASONS: Mapping[str, Kind] = {
    # What the gateway itself finds.
    "MALFORMED_REQUEST": Kind(400, "The request is malformed", "Mend what `errors` points at."),
    "IDEMPOTENCY_KEY_MISSING": Kind(
        400, "An Idempotency-Key is required", "Send a key of your own, the same on every retry."
    ),
    "ROUTE_NOT_FOUND": Kind(404, "No such route", "See /openapi.json."),
    "METHOD_NOT_ALLOWED": Kind(405, "The method is not allowed here", "See the Allow header."),
    "BODY_TOO_LARGE": Kind(413, "The body is too large", "Send at most 1 MiB; split batches."),
    "HEAD_TOO_LARGE": Kind(
        431, "The head is too large", "Send at most 32 KiB of address and headers."
    ),
    "UNSUPPORTED_MEDIA_TYPE": Kind(415, "The body must be JSON", "Send application/json."),
    "IDEMPOTENCY_MISMATCH": Kind(
        422, "The key or id was used for another request", "Send the same body, or a new key."
    ),
    "IDEMPOTENCY_RUNNING": Kind(
        409, "A request with this key is running", "Retry after the time that Retry-After says."
    ),
    "IF_MATCH_NOT_SUPPORTED": Kind(400, "If-Match is not supported here", "Leave the header out."),
    "TOO_MANY_STREAMS": Kind(503, "Too many streams are open", "Poll, or retry later."),
    # What the services find, by their registry.
    "VERSION_MISMATCH": Kind(412, "The version is another", "Read it again, then decide again."),
    "OUT_OF_STOCK": Kind(409, "Out of stock", "Choose one of `alternatives`, or less."),
    "PARTIALLY_AVAILABLE": Kind(409, "Only partly available", "Choose less, or another site."),
    "PLAN_NOT_FOUND": Kind(
        409, "No plan was found in time", "Choose fewer places and times, or order in parts."
    ),
    "TOO_MANY_HOLDS": Kind(
        409, "Too many unpaid holds", "Confirm or release one, or let it run out."
    ),
    "RESERVATION_EXPIRED": Kind(409, "The reservation has expired", "Reserve anew."),
    "MODE_NOT_CAPABLE": Kind(409, "The mode cannot do this", "Choose another mode or site."),
    "CUTOFF_PASSED": Kind(409, "Too late for this", "The step that allowed it has passed."),
    "STEP_CONFLICT": Kind(409, "Not possible at this step", "Read the state, then decide again."),
    "QUOTE_STALE": Kind(409, "The quote no longer holds", "Ask for a new quote."),
    "PREVIEW_STALE": Kind(409, "The preview no longer holds", "Ask for a new preview."),
    "REFUND_EXCEEDS_CAPTURE": Kind(
        409, "More than was captured", "Give back at most what was captured."
    ),
    "RATE_LIMITED": Kind(429, "Too many requests", "Retry after the time that Retry-After says."),
    "ORDER_CANCELLED": Kind(409, "The order is cancelled", "Place a new order."),
}

_INVALID = Kind(400, "The request is not valid", "Mend what `errors` points at.")
_AWAY = Kind(503, "Not available now", "Retry with the same key.")
_FAULT = Kind(500, "Our fault", "Report the correlation id.")

CODES: Mapping[grpc.StatusCode, tuple[str, Kind]] = {
    grpc.StatusCode.INVALID_ARGUMENT: ("INVALID_ARGUMENT", _INVALID),
    grpc.StatusCode.OUT_OF_RANGE: ("INVALID_ARGUMENT", _INVALID),
    grpc.StatusCode.UNAUTHENTICATED: (
        "UNAUTHENTICATED",
        Kind(401, "Not authenticated", "Send a valid API key as bearer token."),
    ),
    grpc.StatusCode.PERMISSION_DENIED: (
        "PERMISSION_DENIED",
        Kind(403, "Not allowed", "Use a key that has the scope."),
    ),
    grpc.StatusCode.NOT_FOUND: ("NOT_FOUND", Kind(404, "Not found", "Check the id.")),
    grpc.StatusCode.ALREADY_EXISTS: (
        "ALREADY_EXISTS",
        Kind(409, "It exists already", "Use another id."),
    ),
    grpc.StatusCode.FAILED_PRECONDITION: (
        "REFUSED",
        Kind(409, "A rule forbids this", "Read the detail; do not retry unchanged."),
    ),
    grpc.StatusCode.ABORTED: (
        "CONCURRENT_CHANGE",
        Kind(409, "Another change came first", "Retry with the same key."),
    ),
    grpc.StatusCode.RESOURCE_EXHAUSTED: ("RATE_LIMITED", REASONS["RATE_LIMITED"]),
    grpc.StatusCode.UNAVAILABLE: ("UNAVAILABLE", _AWAY),
    grpc.StatusCode.CANCELLED: ("UNAVAILABLE", _AWAY),
    grpc.StatusCode.DEADLINE_EXCEEDED: (
        "DEADLINE_EXCEEDED",
        Kind(504, "Not answered in time", "Retry with the same key: it may have been done."),
    ),
    grpc.StatusCode.UNIMPLEMENTED: (
        "NOT_IMPLEMENTED",
        Kind(501, "Not offered here", "This installation does not run it."),
    ),
    grpc.StatusCode.INTERNAL: ("INTERNAL", _FAULT),
    grpc.StatusCode.UNKNOWN: ("INTERNAL", _FAULT),
    grpc.StatusCode.DATA_LOSS: ("INTERNAL", _FAULT),
}

# Worth another try with the same key: nothing final was said. What is not found may only not have
# been heard of yet, by a service whose feeds are behind.
PASSING = frozenset({401, 403, 404, 408, 429, 500, 501, 502, 503, 504})
PASSING_REASONS = frozenset({"CONCURRENT_CHANGE"})
RETRY_AFTER_S = 1


@dataclass(frozen=True)
class Problem(Exception):
    """A problem to be answered.

    Attributes:
        reason: Registry name.
        kind: Row of the table.
        detail: What is wrong in this occurrence. No personal data.
        errors: Pairs of JSON pointer and what is wrong there.
        alternatives: What would be possible instead.
        headers: Extra headers, such as Retry-After.
    """

    reason: str
    kind: Kind
    detail: str = ""
    errors: Sequence[tuple[str, str]] = ()
    alternatives: Sequence[Mapping[str, Any]] = ()
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


def problem(reason: str, detail: str = "", **more: Any) -> Problem:
    """Return the problem with this registry reason."""
    return Problem(reason, REASONS.get(reason) or _unlisted(reason), detail, **more)


def problem_for(code: grpc.StatusCode, reason: str, detail: str, **more: Any) -> Problem:
    """Return the problem that a gRPC status stands for. Details of our own faults stay inside."""
    fallback, kind = CODES.get(code, CODES[grpc.StatusCode.INTERNAL])
    if kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        detail = ""
    if code in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ABORTED) and reason:
        known = REASONS.get(reason)
        if known is not None or code is grpc.StatusCode.FAILED_PRECONDITION:
            return Problem(reason, known or _unlisted(reason), detail, **more)
    return Problem(fallback, kind, detail, **more)


def _unlisted(reason: str) -> Kind:
    title = reason.replace("_", " ").capitalize()
    return Kind(409, title, "Read the detail; do not retry unchanged.")


def answer(found: Problem, *, instance: str, correlation_id: str, traceparent: str) -> Response:
    """Return the response that tells the problem."""
    body: dict[str, Any] = {
        "type": TYPE_PREFIX + found.reason.lower().replace("_", "-"),
        "title": found.kind.title,
        "status": found.kind.status,
        "detail": found.detail or found.kind.remedy,
        "instance": instance,
        "reason": found.reason,
        "correlation_id": correlation_id,
    }
    if traceparent:
        body["trace_id"] = traceparent.split("-")[1]
    if found.errors:
        body["errors"] = [{"pointer": pointer, "detail": wrong} for pointer, wrong in found.errors]
    if found.alternatives:
        body["alternatives"] = [dict(one) for one in found.alternatives]
    headers = dict(found.headers)
    if found.kind.status in (429, 503) or found.reason == "CONCURRENT_CHANGE":
        headers.setdefault("Retry-After", str(RETRY_AFTER_S))
    if found.kind.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="oms"'
    return Response(msgspec.json.encode(body), found.kind.status, headers, MEDIA_TYPE)
