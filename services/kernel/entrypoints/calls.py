"""Who is calling: set by the server's interceptor, read by the methods it protects."""

from contextvars import ContextVar
from dataclasses import dataclass

from services.kernel.domain.ids import identifier
from services.kernel.domain.messages import Cause


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller.

    Attributes:
        tenant: The retailer whose data this caller may see.
        actor: Opaque id of the API key.
        scopes: What the key allows, for example ``orders:write``.
        correlation_id: From the request's metadata, or made by the server.
        traceparent: W3C trace context, or empty.
    """

    tenant: str
    actor: str
    scopes: frozenset[str]
    correlation_id: str
    traceparent: str


@dataclass(frozen=True, slots=True)
class Encoded:
    """An answer that is encoded already: the bytes of the method's response message."""

    message: bytes


CALLER: ContextVar[Caller] = ContextVar("caller")


def caller() -> Caller:
    """Return who is calling; only meaningful inside a served call."""
    return CALLER.get()


def cause(request_id: str) -> Cause:
    """Return the cause of the command that a request carries.

    Args:
        request_id: The ``request_id`` field: chosen by the client, the same on every retry.

    Raises:
        Invalid: The id is missing or malformed.
    """
    who = CALLER.get()
    return Cause(
        tenant=who.tenant,
        command_id=identifier(request_id, "request_id"),
        correlation_id=who.correlation_id,
        actor=who.actor,
        traceparent=who.traceparent,
    )
