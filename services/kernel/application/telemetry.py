"""Watching the service work: the port, and the W3C trace context that travels with events.

A trace context is accepted, made and passed on whether or not anybody collects traces, so that
every stored event carries one (https://www.w3.org/TR/trace-context/).
"""

import re
import secrets
from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Protocol

_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
_TRACE_ID = slice(3, 35)

LOG_CONTEXT: ContextVar[Mapping[str, str]] = ContextVar("log_context")
"""Ids that every log line of the present task carries; see ``JsonLines`` for the names allowed."""


def accepted_traceparent(value: str) -> str:
    """Return ``value`` if it is a valid trace context, else the empty string."""
    return value if len(value) == 55 and _TRACEPARENT.fullmatch(value) else ""  # noqa: PLR2004


def child_traceparent(parent: str = "") -> str:
    """Return the context of a new span below ``parent``, or of a new trace when it is empty."""
    if not parent:
        fresh = secrets.token_hex(24)
        return f"00-{fresh[16:]}-{fresh[:16]}-01"
    return f"00-{parent[_TRACE_ID]}-{secrets.token_hex(8)}-{parent[-2:]}"


def trace_id_of(traceparent: str) -> str:
    """Return the id that all spans of one trace share, or the empty string."""
    return traceparent[_TRACE_ID]


class Span(Protocol):
    """One piece of work that takes time."""

    @property
    def traceparent(self) -> str:
        """Context to store with what this work records and to send with what it asks for."""

    def note(self, name: str, value: str | float) -> None:
        """Remember an attribute; no personal data."""

    def failed(self, reason: str) -> None:
        """Mark the work as failed by a fault of ours; a refusal is not one."""


class Telemetry(Protocol):
    def span(self, name: str, traceparent: str = "") -> AbstractContextManager[Span]:
        """Begin a span below ``traceparent`` (or a new trace); it ends with the block."""

    def call_ended(self, method: str, code: str, duration_s: float) -> None:
        """Count one served gRPC call by method and status."""


class RequestTelemetry(Protocol):
    """The same for HTTP."""

    @property
    def is_tracing(self) -> bool:
        """Whether anybody collects spans."""

    def request(self, verb: str, traceparent: str = "") -> AbstractContextManager[Span]:
        """Begin the span of a served HTTP request below ``traceparent`` (or a new trace)."""

    def forwarding_disbelieved(self) -> None:
        """Count one request whose X-Forwarded-For came from an address that is not trusted."""
