"""What every request brings along: correlation, trace context, and the caller's token."""

import re
import secrets
from dataclasses import dataclass

from starlette.types import Scope

_CORRELATION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,63}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_BEARER = re.compile(r"[Bb]earer +([\x21-\x7e]{1,4096})")
_TIMEOUT_MS = re.compile(r"[0-9]{1,5}")
DEFAULT_TIMEOUT_S = 15.0
MAX_TIMEOUT_S = 30.0
MARGIN_S = 0.05  # kept for the way back
SCOPE_KEY = "oms.incoming"

type Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Incoming:
    """The parts of a request that are passed on with every gRPC call.

    Attributes:
        correlation_id: From X-Correlation-Id, or made here.
        traceparent: W3C trace context, or empty.
        token: The caller's bearer token, or empty; only the services can tell what it is worth.
        timeout_s: How long the caller waits, less the margin.
    """

    correlation_id: str
    traceparent: str
    token: str
    timeout_s: float

    def metadata(self) -> Metadata:
        """Return the gRPC metadata: the only place that makes it for callers."""
        return metadata(self.token, self.correlation_id, self.traceparent)


def incoming(scope: Scope) -> Incoming:
    """Return what the request of this scope brings along; read once, then kept in the scope."""
    kept = scope.get(SCOPE_KEY)
    if isinstance(kept, Incoming):
        return kept
    headers: dict[bytes, bytes] = dict(scope["headers"])  # names come in lower case
    correlation_id = headers.get(b"x-correlation-id", b"").decode("latin-1")
    if _CORRELATION_ID.fullmatch(correlation_id) is None:
        correlation_id = secrets.token_hex(16)
    traceparent = headers.get(b"traceparent", b"").decode("latin-1")
    bearer = _BEARER.fullmatch(headers.get(b"authorization", b"").decode("latin-1"))
    timeout_ms = headers.get(b"x-request-timeout-ms", b"").decode("latin-1")
    timeout_s = int(timeout_ms) / 1000 if _TIMEOUT_MS.fullmatch(timeout_ms) else DEFAULT_TIMEOUT_S
    read = Incoming(
        correlation_id=correlation_id,
        traceparent=traceparent if _TRACEPARENT.fullmatch(traceparent) else "",
        token=bearer[1] if bearer else "",
        timeout_s=max(min(timeout_s, MAX_TIMEOUT_S) - MARGIN_S, MARGIN_S),
    )
    scope[SCOPE_KEY] = read
    return read


def metadata(token: str, correlation_id: str, traceparent: str = "", tenant: str = "") -> Metadata:
    """Return gRPC metadata. ``tenant`` goes with the internal token only: pages act for one."""
    pairs = [("x-correlation-id", correlation_id)]
    if token:
        pairs.append(("authorization", f"Bearer {token}"))
    if traceparent:
        pairs.append(("traceparent", traceparent))
    if tenant:
        pairs.append(("x-oms-tenant", tenant))
    return tuple(pairs)
