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
from collections.abc import Callable, Mapping
from typing import Any, cast

import grpc
import grpc.aio

from services.kernel.application.authenticator import Authenticator, Denied, Key, Unauthenticated
from services.kernel.application.guesses import Doorkeeper
from services.kernel.application.runner import Overloaded, QueueFull
from services.kernel.application.telemetry import LOG_CONTEXT, Span, Telemetry, accepted_traceparent
from services.kernel.domain.ids import identifier
from services.kernel.entrypoints.calls import CALLER
from services.kernel.entrypoints.grpc_context import (
    AUTHORIZATION,
    TENANT,
    TRACEPARENT,
    Context,
    Handler,
    Serve,
    address_of,
    correlation_id_of,
    decoded,
    encoder,
    enter,
    metadata_of,
    time_allowed_s,
)
from services.kernel.entrypoints.grpc_errors import failure_of
from services.kernel.entrypoints.grpc_limits import Limits, ServiceToken

_BEARER = "Bearer "
_FAULTS = frozenset(
    {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
)
_SECURITY_EVENTS = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})
_LOG = logging.getLogger(__name__)


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
                encoder(any_handler.response_serializer),
            ),
        )

    def _unary(self, behaviour: Serve, decode: Callable[[bytes], Any] | None) -> Serve:
        limits = self.limits

        async def run(request: Any, context: Context) -> Any:
            if decode is not None:
                request = decoded(decode, request)
            allowed_s = time_allowed_s(context, limits.call_timeout_s, limits.longest_call_s)
            async with asyncio.timeout(allowed_s):
                return await behaviour(request, context)

        return run

    def _stream(
        self, behaviour: Callable[[Any, Context], Any], decode: Callable[[bytes], Any] | None
    ) -> Serve:
        limits = self.limits

        async def run(request: Any, context: Context) -> None:
            if decode is not None:
                request = decoded(decode, request)
            allowed_s = time_allowed_s(context, limits.stream_timeout_s, limits.stream_timeout_s)
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
            metadata = metadata_of(context)
            if not is_stream:
                self._calls += 1
            with telemetry.span(
                method, accepted_traceparent(metadata.get(TRACEPARENT, ""))
            ) as span:
                correlation_id = correlation_id_of(metadata, span.traceparent)
                try:
                    if self._calls > limits.concurrent_calls and not is_stream:
                        raise QueueFull("too many calls at once", limits.retry_after_ms)
                    key = await self._bearer(metadata, context)
                    if not scope or scope not in key.scopes:
                        LOG_CONTEXT.set({"tenant": key.tenant, "actor": key.key_id})
                        raise Denied(scope)
                    enter(key, correlation_id, span.traceparent)
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
        key = await self._door.key_of(token, address_of(context))
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
