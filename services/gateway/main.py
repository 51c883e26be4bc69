"""The gateway, put together. The runtime and tests call the same function with other parts."""

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import asyncpg
import uvicorn

from services.gateway.adapters.postgres_keys import POOL_SETTINGS, PostgresKeys
from services.gateway.application.keys import Keys
from services.gateway.entrypoints.http.app import Edge, application
from services.gateway.entrypoints.http.connection import Connection
from services.gateway.entrypoints.http.middleware import Around
from services.gateway.entrypoints.http.remote import Remote
from services.gateway.entrypoints.http.routes import Face
from services.gateway.entrypoints.http.streams import Streams
from services.gateway.entrypoints.pages.links import Links
from services.gateway.entrypoints.pages.site import Acting, Site
from services.gateway.settings import GatewaySettings
from services.kernel.application.authenticator import Authenticator
from services.kernel.application.guesses import Doorkeeper
from services.kernel.application.telemetry import RequestTelemetry

__all__ = ["POOL_SETTINGS", "Gateway", "build_app", "build_gateway", "serve"]

_SECRET_BYTES = 32
_DRAIN_S = 20
_BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class Gateway:
    """The application and what it leaves open.

    Attributes:
        app: To be served.
        edge: The FastAPI application inside it.
        close: Closes the channels to the services.
        tasks: Long-running coroutines; to be cancelled on shutdown.
        track: Address of the consumer's page of an order, by tenant and order id.
    """

    app: Around
    edge: Edge
    close: Callable[[], Awaitable[None]]
    tasks: tuple[Callable[[], Awaitable[None]], ...]
    track: Callable[[str, str], str]


def build_gateway(
    target: Mapping[str, str],
    pool: asyncpg.Pool,
    authenticator: Authenticator,
    settings: GatewaySettings,
    telemetry: RequestTelemetry | None = None,
) -> Gateway:
    """Return the gateway.

    Args:
        target: gRPC address of each service by its name.
        pool: To ``oms_gateway``; made with ``server_settings=POOL_SETTINGS``, at least two
            connections.
        authenticator: Says whose token it is; the services check it again.
        settings: What differs per environment.
        telemetry: Gets a span per request, where anybody collects them.
    """
    keys = PostgresKeys(pool)
    remote = Remote(target)
    app, edge, track = build_app(remote, keys, authenticator, settings)
    app.telemetry = telemetry
    return Gateway(app, edge, remote.close, (keys.keep_forgetting,), track)


def build_app(
    remote: Remote, keys: Keys, authenticator: Authenticator, settings: GatewaySettings
) -> tuple[Around, Edge, Callable[[str, str], str]]:
    """Return what is served, the application inside it, and how it addresses an order's page."""
    links = Links(_tracking_secrets(settings), settings.public_url, settings.stock_page_days)
    streams = Streams()
    acting = Acting(
        settings.internal_token.get_secret_value(),
        settings.demo_tenant,
        ZoneInfo(settings.time_zone),
    )
    site = Site(remote, streams, links, acting)
    door = Doorkeeper(authenticator, at_once=settings.guesses_at_once, per_s=settings.guesses_per_s)
    face = Face(remote, keys, door, links.track, links.stock)
    app, edge = application(face, streams, site.router(), site.lost)
    return app, edge, links.track


async def serve(app: Around, sockets: Sequence[socket.socket], *, draining: asyncio.Event) -> None:
    """Serve until ``draining`` is set; then answer what has begun, and return.

    Args:
        app: From ``build_gateway``.
        sockets: Where to listen; bound already.
        draining: Set by the caller on shutdown. Signals stay with the caller.
    """
    config = uvicorn.Config(
        app,
        http=Connection,
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=_DRAIN_S,
        timeout_keep_alive=75,
    )
    server = uvicorn.Server(config)

    async def stop() -> None:
        await draining.wait()
        app.drain()
        server.should_exit = True

    stopping = asyncio.create_task(stop())
    try:
        # Server.serve would take over the process's signals, which belong to the runtime.
        await server._serve(list(sockets))  # noqa: SLF001
    finally:
        stopping.cancel()


def _tracking_secrets(settings: GatewaySettings) -> list[bytes]:
    configured = [
        one.get_secret_value().encode()
        for one in (settings.tracking_secret, settings.previous_tracking_secret)
        if one.get_secret_value()
    ]
    return configured or [secrets.token_bytes(_SECRET_BYTES)]
