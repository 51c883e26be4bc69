"""A gRPC server for one service or several: factory, health, and stopping in order.

What stands before every method is in ``grpc_guard``. Health checks are open to all; reflection is
off unless asked for.
"""

import asyncio
import errno
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, cast

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.kernel.application.authenticator import Authenticator
from services.kernel.application.telemetry import Telemetry
from services.kernel.entrypoints.grpc_context import Context
from services.kernel.entrypoints.grpc_guard import Guard
from services.kernel.entrypoints.grpc_limits import Limits, ServiceToken

# The library refuses beyond this multiple of our own caps, which tell the caller more.
_BACKSTOP = 4
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Servable(Protocol):
    """The part of a service that its gRPC server needs."""

    @property
    def name(self) -> str: ...
    @property
    def grpc(self) -> Sequence[Callable[[grpc.aio.Server], None]]: ...
    @property
    def scopes(self) -> Mapping[str, str]: ...


class _Registrar:
    """Takes the place of a server while servicers add themselves to it."""

    def __init__(self) -> None:
        self.handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        self.service_names: set[str] = set()

    def add_generic_rpc_handlers(self, handlers: Iterable[object]) -> None:
        """Ignore them: generated code registers the same methods below by name."""

    def add_registered_method_handlers(
        self, service_name: str, handlers: "Mapping[str, grpc.RpcMethodHandler[Any, Any]]"
    ) -> None:
        if service_name in self.service_names:
            raise ValueError(f"{service_name} is served twice")
        self.service_names.add(service_name)
        for method, handler in handlers.items():
            self.handlers[f"/{service_name}/{method}"] = handler


# The stubs make it generic, the library does not.
_GenericRpcHandler: Any = grpc.GenericRpcHandler


class _Table(_GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, handlers: "Mapping[str, grpc.RpcMethodHandler[Any, Any]]") -> None:
        self._handlers = handlers

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        return self._handlers.get(handler_call_details.method)


_HealthServicer: Any = vars(health)["aio"].HealthServicer  # the stubs do not know it


class _Health(_HealthServicer):  # type: ignore[misc]
    """Ends its watchers when the server stops, which would otherwise wait for them in vain."""

    def __init__(self) -> None:
        super().__init__()
        self.stopping = asyncio.Event()

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> None:
        watching = asyncio.ensure_future(super().Watch(request, context))
        stopping = asyncio.ensure_future(self.stopping.wait())
        try:
            await asyncio.wait({watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watching.cancel()
            stopping.cancel()


class GrpcServer:
    """Made by ``grpc_server``; serves from ``start`` to the end of ``drain``."""

    def __init__(
        self, server: grpc.aio.Server, health: _Health, guard: Guard, names: Sequence[str]
    ) -> None:
        self._server = server
        self._health = health
        self._guard = guard
        self._names = names

    async def start(self, address: str, credentials: grpc.ServerCredentials | None = None) -> int:
        """Listen on ``address``; return the port, which is chosen if the address ends in ``:0``.

        Args:
            address: ``127.0.0.1:7101``, ``[::]:7101`` or ``unix:...``.
            credentials: TLS; without it the port is plain, for loopback and meshes only.

        Raises:
            OSError: The address cannot be had.
        """
        try:
            if credentials is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, credentials)
        except RuntimeError:  # the library keeps the reason to itself; it is this one mostly
            raise OSError(errno.EADDRINUSE, f"{address}: Address already in use") from None
        await self.ready(is_ready=True)
        await self._server.start()
        return port

    async def ready(self, *, is_ready: bool, service: str | None = None) -> None:
        """Tell health checks whether ``service`` (None: every one) can take work."""
        for name in self._names if service is None else (service,):
            await self._health.set(name, _SERVING if is_ready else _NOT_SERVING)

    async def drain(self, notice_s: float = 0.0, grace_s: float | None = None) -> None:
        """Stop in order: say so, wait until others have noticed, take no more, finish the rest.

        Args:
            notice_s: How long balancers need to notice NOT_SERVING; calls are still served.
            grace_s: How long running calls may still take; streams get half of it.
        """
        grace_s = self._guard.limits.grace_s if grace_s is None else grace_s
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(notice_s)
        self._health.stopping.set()
        ending_streams = asyncio.get_running_loop().call_later(grace_s / 2, self._guard.end_streams)
        try:
            await self._server.stop(grace_s)
        finally:
            ending_streams.cancel()


@functools.cache
def keep_grpc_running() -> None:
    """Keep the library's polling thread for the life of the process.

    Without it, the library ends the thread whenever its last server and channel are gone, and now
    and then waits for ever for a thread that waits for us (grpc/grpc pull request 40989). Whoever
    only makes channels calls this too, once, inside of the event loop.
    """
    library: Any = grpc.aio  # the stubs do not know it
    library.init_grpc_aio()


def grpc_server(
    services: Sequence[Servable],
    *,
    authenticator: Authenticator,
    telemetry: Telemetry,
    limits: Limits | None = None,
    service_token: ServiceToken | None = None,
    has_reflection: bool = False,
) -> GrpcServer:
    """Put the servicers of ``services`` behind one guard, on one server. Needs a running loop.

    Args:
        services: All that this process serves; a method of theirs that is in none of their
            ``scopes`` is PERMISSION_DENIED.
        authenticator: Checks API keys.
        telemetry: Gets a span and a count per call.
        limits: None: the defaults.
        service_token: None: nobody may act for a tenant of their choice.
        has_reflection: For development: lets ``grpcurl`` discover the methods.

    Raises:
        ValueError: Two services serve the same gRPC service, or a scope names no method.
    """
    keep_grpc_running()
    limits = limits or Limits()
    registrar = _Registrar()
    scopes: dict[str, str] = {}
    for service in services:
        for add in service.grpc:
            add(cast("grpc.aio.Server", registrar))
        scopes.update(service.scopes)
    if unknown := scopes.keys() - registrar.handlers.keys():
        raise ValueError(f"scopes for methods that nobody serves: {sorted(unknown)}")
    guard = Guard(scopes, authenticator, telemetry, limits, service_token)
    health_checks = _Health()
    server = grpc.aio.server(
        options=_options(limits),
        maximum_concurrent_rpcs=_BACKSTOP * (limits.concurrent_calls + limits.concurrent_streams),
    )
    server.add_generic_rpc_handlers(
        (
            _Table(
                {method: guard.wrapped(method, one) for method, one in registrar.handlers.items()}
            ),
        )
    )
    health_pb2_grpc.add_HealthServicer_to_server(health_checks, server)
    if has_reflection:
        reflection.enable_server_reflection(
            (*sorted(registrar.service_names), reflection.SERVICE_NAME), server
        )
    names = ("", *(service.name for service in services), *sorted(registrar.service_names))
    return GrpcServer(server, health_checks, guard, names)


def _options(limits: Limits) -> list[tuple[str, int]]:
    ping_every_ms = round(limits.ping_every_s * 1_000)
    return [
        ("grpc.max_receive_message_length", limits.request_bytes),
        ("grpc.max_send_message_length", limits.response_bytes),
        ("grpc.max_metadata_size", limits.metadata_bytes),
        ("grpc.absolute_max_metadata_size", limits.metadata_bytes),
        ("grpc.max_connection_age_ms", round(limits.connection_age_s * 1_000)),
        ("grpc.max_connection_age_grace_ms", round(limits.stream_timeout_s * 1_000)),
        ("grpc.keepalive_time_ms", ping_every_ms),
        ("grpc.keepalive_timeout_ms", ping_every_ms),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", ping_every_ms // 2),
        ("grpc.http2.max_ping_strikes", 2),
        # Two processes on one port would share its calls without a word.
        ("grpc.so_reuseport", 0),
    ]
