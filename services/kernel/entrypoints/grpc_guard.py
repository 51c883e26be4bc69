"""What stands before every gRPC method: who may call, for how long, how many at once.

Every method is wrapped once, when it is registered; nothing is looked up by name or inspected
while a call is served. A call passes, in this order: the cap, the key, the scope, the decoding of
its request, its deadline, the method, the error table. A method that declares no scope can be
called by nobody.
"""

import asyncio
import hmac
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import unquote

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from services.kernel.application.authenticator import Authenticator, Denied, Key, Unauthenticated
from services.kernel.application.guesses import Doorkeeper
from services.kernel.application.runner import Overloaded, QueueFull
from services.kernel.application.telemetry import (
    LOG_CONTEXT,
    Span,
    Telemetry,
    accepted_traceparent,
    trace_id_of,
)
from services.kernel.domain.errors import Invalid
from services.kernel.domain.ids import identifier
from services.kernel.entrypoints.calls import CALLER, Caller, Encoded
from services.kernel.entrypoints.grpc_errors import CORRELATION_ID, failure_of

AUTHORIZATION = "authorization"
TENANT = "x-oms-tenant"
TRACEPARENT = "traceparent"

_BEARER = "Bearer "
_FAULTS = frozenset(
    {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
)
_SECURITY_EVENTS = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})

_LOG = logging.getLogger(__name__)

type Context = grpc.aio.ServicerContext[Any, Any]
type Handler = grpc.RpcMethodHandler[Any, Any]
type Serve = Callable[[Any, Context], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the server takes on.

    Attributes:
        call_timeout_s: For a call whose client set no deadline.
        longest_call_s: However late the client's deadline is.
        stream_timeout_s: The same two, for calls that answer with a stream.
        concurrent_calls: Calls at once, all services together; more are RESOURCE_EXHAUSTED.
        concurrent_streams: Streams at once; counted apart, because they are long and idle.
        streams_of_one: The same for one key, so that others have room; the gateway takes 300.
        request_bytes: Largest request message.
        response_bytes: Largest response message.
        metadata_bytes: Largest metadata of a request.
        retry_after_ms: What a refused caller is told to wait.
        guesses_at_once: Keys that nobody has, from one address, before the next are refused.
        guesses_per_s: How many more each second allows.
        connection_age_s: A connection is renewed after this, so that load spreads to new replicas.
        ping_every_s: Idle connections are probed this often; clients may not do it more often.
        grace_s: How long running calls may take to finish when the server stops.
    """

    call_timeout_s: float = 10.0
    longest_call_s: float = 60.0
    stream_timeout_s: float = 300.0
    concurrent_calls: int = 256
    concurrent_streams: int = 512
    streams_of_one: int = 320
    request_bytes: int = 1 << 20
    response_bytes: int = 4 << 20
    metadata_bytes: int = 16 << 10
    retry_after_ms: int = 250
    guesses_at_once: int = 20
    guesses_per_s: float = 0.5
    connection_age_s: float = 300.0
    ping_every_s: float = 20.0
    grace_s: float = 10.0


@dataclass(frozen=True, slots=True)
class ServiceToken:
    """A secret of our own processes: its bearer acts for the tenant named in the metadata.

    Attributes:
        token: At least 128 bits, from a secret store.
        scopes: What its bearer may do.
        actor: Goes into the events as who asked.
    """

    token: str
    scopes: frozenset[str]
    actor: str = "internal"

    def __post_init__(self) -> None:
        if len(self.token) < 32:  # noqa: PLR2004 - 128 bits in hexadecimal
            raise ValueError("a service token has at least 32 characters")


class Guard:
    """Wraps methods; counts what runs."""

    def __init__(
        self,
        scopes: Mapping[str, str],
        authenticator: Authenticator,
        telemetry: Telemetry,
        limits: Limits,
        service_token: ServiceToken | None,
    ) -> None:
        self.limits = limits
        self._scopes = scopes
        self._door = Doorkeeper(
            authenticator, at_once=limits.guesses_at_once, per_s=limits.guesses_per_s
        )
        self._telemetry = telemetry
        self._service_token = service_token
        self._calls = 0
        self._streams: set[asyncio.Task[Any]] = set()
        self._streams_of: Counter[tuple[str, str]] = Counter()
        self._is_draining = False

    def end_streams(self) -> None:
        """Tell the clients of every stream to come back elsewhere."""
        self._is_draining = True
        for task in self._streams:
            task.cancel()

    def wrapped(self, method: str, handler: Handler) -> Handler:
        """Return ``handler`` behind the guard."""
        scope = self._scopes.get(method, "")
        if not scope:
            _LOG.warning("a method without a scope can be called by nobody: %s", method)
        any_handler: Any = handler  # the stubs know only its two booleans
        arity = (
            f"{'stream' if any_handler.request_streaming else 'unary'}_"
            f"{'stream' if any_handler.response_streaming else 'unary'}"
        )
        behaviour = getattr(any_handler, arity)
        decode = any_handler.request_deserializer
        if any_handler.request_streaming:
            read, decode = decode, None  # message by message, by the library
        else:
            read = None  # by us, once the caller is known
        run = (
            self._stream(behaviour, decode)
            if any_handler.response_streaming
            else self._unary(behaviour, decode)
        )
        make = getattr(grpc, f"{arity}_rpc_method_handler")
        return cast(
            "Handler",
            make(
                self._answered(method, scope, run, is_stream=any_handler.response_streaming),
                read,
                _encoder(any_handler.response_serializer),
            ),
        )

    def _unary(self, behaviour: Serve, decode: Callable[[bytes], Any] | None) -> Serve:
        limits = self.limits

        async def run(request: Any, context: Context) -> Any:
            if decode is not None:
                request = _decoded(decode, request)
            allowed_s = _time_allowed_s(context, limits.call_timeout_s, limits.longest_call_s)
            async with asyncio.timeout(allowed_s):
                return await behaviour(request, context)

        return run

    def _stream(
        self, behaviour: Callable[[Any, Context], Any], decode: Callable[[bytes], Any] | None
    ) -> Serve:
        limits = self.limits

        async def run(request: Any, context: Context) -> None:
            if decode is not None:
                request = _decoded(decode, request)
            allowed_s = _time_allowed_s(context, limits.stream_timeout_s, limits.stream_timeout_s)
            async with asyncio.timeout(allowed_s):
                answers = behaviour(request, context)
                if not hasattr(answers, "__aiter__"):
                    await answers  # it writes to the context by itself
                    return
                try:
                    async for answer in answers:
                        await context.write(answer)
                finally:
                    await answers.aclose()

        return self._ended_by_drain(run)

    def _ended_by_drain(self, run: Serve) -> Serve:
        async def serve(request: Any, context: Context) -> None:
            task = asyncio.current_task()
            assert task is not None  # noqa: S101 - the library serves every call in a task
            caller = CALLER.get()
            who = (caller.tenant, caller.actor)
            if len(self._streams) >= self.limits.concurrent_streams:
                raise QueueFull("too many streams at once", self.limits.retry_after_ms)
            if self._streams_of[who] >= self.limits.streams_of_one:
                raise QueueFull("too many streams of one key at once", self.limits.retry_after_ms)
            self._streams.add(task)
            self._streams_of[who] += 1
            try:
                await run(request, context)
            except asyncio.CancelledError:
                if not self._is_draining or context.cancelled():
                    raise
                task.uncancel()
                raise Overloaded("the server stops", self.limits.retry_after_ms) from None
            finally:
                self._streams.discard(task)
                self._streams_of[who] -= 1
                if not self._streams_of[who]:
                    del self._streams_of[who]

        return serve

    def _answered(self, method: str, scope: str, run: Serve, *, is_stream: bool) -> Serve:
        """``run`` for callers who may, with its errors told and its time taken."""
        telemetry, limits = self._telemetry, self.limits

        async def answered(request: Any, context: Context) -> Any:
            began_s = time.perf_counter()
            code = grpc.StatusCode.OK
            metadata = _metadata(context)
            if not is_stream:
                self._calls += 1
            with telemetry.span(
                method, accepted_traceparent(metadata.get(TRACEPARENT, ""))
            ) as span:
                correlation_id = _correlation_id(metadata, span.traceparent)
                try:
                    if self._calls > limits.concurrent_calls and not is_stream:
                        raise QueueFull("too many calls at once", limits.retry_after_ms)
                    key = await self._bearer(metadata, context)
                    if not scope or scope not in key.scopes:
                        LOG_CONTEXT.set({"tenant": key.tenant, "actor": key.key_id})
                        raise Denied(scope)
                    _enter(key, correlation_id, span.traceparent)
                    return await run(request, context)
                except grpc.aio.AbortError:
                    code = context.code()
                    raise
                except asyncio.CancelledError:
                    code = grpc.StatusCode.CANCELLED
                    raise
                except Exception as error:  # noqa: BLE001 - the table has a row for anything
                    failure = failure_of(error, correlation_id)
                    code = failure.code
                    _tell(code, method, scope, correlation_id, span)
                    await context.abort(code, failure.detail, failure.trailing_metadata)
                finally:
                    if not is_stream:
                        self._calls -= 1
                    telemetry.call_ended(method, code.name, time.perf_counter() - began_s)

        return answered

    async def _bearer(self, metadata: Mapping[str, str], context: Context) -> Key:
        authorization = metadata.get(AUTHORIZATION, "")
        if not authorization.startswith(_BEARER):
            raise Unauthenticated
        token = authorization[len(_BEARER) :]
        ours = self._service_token
        if ours is not None and hmac.compare_digest(token.encode(), ours.token.encode()):
            return Key(ours.actor, identifier(metadata.get(TENANT, ""), TENANT), ours.scopes)
        key = await self._door.key_of(token, _address(context))
        if key is None:
            raise Unauthenticated
        return key


def _tell(code: grpc.StatusCode, method: str, scope: str, correlation_id: str, span: Span) -> None:
    if code in _FAULTS:
        span.failed(code.name)
    elif code in _SECURITY_EVENTS:
        _LOG.warning(
            "%s: %s",
            code.name.lower(),
            method,
            extra={"scope": scope, "correlation_id": correlation_id},
        )


def _metadata(context: Context) -> Mapping[str, str]:
    pairs: Any = context.invocation_metadata() or ()
    return dict(pairs)


def _address(context: Context) -> str:
    """Return where a call comes from, without the port: ``ipv4:192.0.2.7:4711``."""
    kind, _, place = unquote(context.peer()).partition(":")
    return place.rpartition(":")[0].strip("[]") if kind in {"ipv4", "ipv6"} else kind


def _correlation_id(metadata: Mapping[str, str], traceparent: str) -> str:
    """What the caller sent, if it may serve as an id; else the id of the trace."""
    try:
        return identifier(metadata[CORRELATION_ID], CORRELATION_ID)
    except (KeyError, Invalid):
        return trace_id_of(traceparent)


def _enter(key: Key, correlation_id: str, traceparent: str) -> None:
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


def _decoded(decode: Callable[[bytes], Any], request: bytes) -> Any:
    try:
        return decode(request)
    except DecodeError as error:
        raise Invalid(("request", "is not a message of this method's type")) from error


def _encoder(encode: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    def encoded(answer: Any) -> bytes:
        return answer.message if type(answer) is Encoded else encode(answer)

    return encoded


def _time_allowed_s(context: Context, default_s: float, longest_s: float) -> float:
    remaining_s: float | None = context.time_remaining()
    return default_s if remaining_s is None else min(remaining_s, longest_s)
