"""What a gRPC call brings with it, and what its method finds: metadata, peer, time, message."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import unquote

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from services.kernel.application.authenticator import Key
from services.kernel.application.telemetry import LOG_CONTEXT, trace_id_of
from services.kernel.domain.errors import Invalid
from services.kernel.domain.ids import identifier
from services.kernel.entrypoints.calls import CALLER, Caller, Encoded
from services.kernel.entrypoints.grpc_errors import CORRELATION_ID

AUTHORIZATION = "authorization"
TENANT = "x-oms-tenant"
TRACEPARENT = "traceparent"
type Context = grpc.aio.ServicerContext[Any, Any]
type Handler = grpc.RpcMethodHandler[Any, Any]
type Serve = Callable[[Any, Context], Awaitable[Any]]


def metadata_of(context: Context) -> Mapping[str, str]:
    pairs: Any = context.invocation_metadata() or ()
    return dict(pairs)


def address_of(context: Context) -> str:
    """Return where a call comes from, without the port: ``ipv4:192.0.2.7:4711``."""
    kind, _, place = unquote(context.peer()).partition(":")
    return place.rpartition(":")[0].strip("[]") if kind in {"ipv4", "ipv6"} else kind


def correlation_id_of(metadata: Mapping[str, str], traceparent: str) -> str:
    """What the caller sent, if it may serve as an id; else the id of the trace."""
    try:
        return identifier(metadata[CORRELATION_ID], CORRELATION_ID)
    except (KeyError, Invalid):
        return trace_id_of(traceparent)


def enter(key: Key, correlation_id: str, traceparent: str) -> None:
    # Every call is served in a task, and so in a context, of its own: nothing to reset.
    CALLER.set(
        Caller(
            tenant=key.tenant,
            actor=key.key_id,
            scopes=key.scopes,
            correlation_id=correlation_id,
            traceparent=traceparent,
        )
    )
    LOG_CONTEXT.set(
        {
            "tenant": key.tenant,
            "correlation_id": correlation_id,
            "trace_id": trace_id_of(traceparent),
        }
    )


def decoded(decode: Callable[[bytes], Any], request: bytes) -> Any:
    try:
        return decode(request)
    except DecodeError as error:
        raise Invalid(("request", "is not a message of this method's type")) from error


def encoder(encode: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    def encoded(answer: Any) -> bytes:
        return answer.message if type(answer) is Encoded else encode(answer)

    return encoded


def time_allowed_s(context: Context, default_s: float, longest_s: float) -> float:
    remaining_s: float | None = context.time_remaining()
    return default_s if remaining_s is None else min(remaining_s, longest_s)
