"""The ASGI application: every route, and around them what every request gets."""

from collections.abc import Awaitable, Callable, Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Path
from starlette.routing import Router
from starlette.types import Receive, Scope, Send

from services.gateway.entrypoints.http import (
    baskets,
    catalog,
    decisions,
    handover,
    notifications,
    orders,
    picking,
    returns,
    stock,
    stock_feeds,
)
from services.gateway.entrypoints.http.bodies import json_response
from services.gateway.entrypoints.http.document import document
from services.gateway.entrypoints.http.middleware import Around
from services.gateway.entrypoints.http.problems import problem
from services.gateway.entrypoints.http.routes import Composed, Face, Route, serve
from services.gateway.entrypoints.http.streams import Streams, stream_routes


def api_routes(streams: Streams) -> tuple[Route | Composed, ...]:
    """Return every route of the API, the busiest first: they are tried in this order."""
    return (
        *orders.ROUTES,
        *stream_routes(streams),
        *picking.ROUTES,
        *stock.ROUTES,
        *stock_feeds.ROUTES,
        *baskets.ROUTES,
        *catalog.ROUTES,
        *handover.ROUTES,
        *returns.ROUTES,
        *decisions.ROUTES,
        *notifications.ROUTES,
    )


def application(face: Face, streams: Streams, pages: Sequence[Path]) -> Around:
    """Return the application.

    Args:
        face: What the endpoints work with.
        streams: Counts the open streams.
        pages: What is not part of the API.
    """
    routes = api_routes(streams)
    described = json_response(document(routes))

    async def openapi(_: Request) -> Response:
        return Response(described.body, media_type="application/json")

    async def healthz(_: Request) -> Response:
        return json_response({"status": "ok"})

    paths = [
        *(Path(route.path, _endpoint(face, route), methods=[route.verb]) for route in routes),
        Path("/healthz", healthz, methods=["GET"]),
        Path("/openapi.json", openapi, methods=["GET"]),
        *pages,
    ]
    return Around(_Routed(Router(paths, redirect_slashes=False)), streams.end)


def _endpoint(face: Face, route: Route | Composed) -> Callable[[Request], Awaitable[Response]]:
    if isinstance(route, Composed):
        composed = route

        async def handle(request: Request) -> Response:
            return await composed.handle(face, request)

        return handle
    translated = route

    async def translate(request: Request) -> Response:
        return await serve(face, translated, request)

    return translate


class _Routed:
    """The router, with its refusals told as problems."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self  # makes the router raise rather than answer in plain text
        try:
            await self._router(scope, receive, send)
        except HTTPException as refused:
            if refused.status_code == 405:  # noqa: PLR2004 - HTTP's own number
                raise problem("METHOD_NOT_ALLOWED", headers=dict(refused.headers or {})) from None
            raise problem("ROUTE_NOT_FOUND") from None
