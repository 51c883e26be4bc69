"""The FastAPI application: every router, and around them what every request gets."""

from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any, override

from fastapi import APIRouter, FastAPI, Response
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.entrypoints.http import (
    baskets,
    catalog,
    decisions,
    document,
    handover,
    notifications,
    orders,
    picking,
    promises,
    returns,
    stock,
    stock_feeds,
)
from services.gateway.entrypoints.http.bodies import json_response
from services.gateway.entrypoints.http.middleware import Around, PageLost
from services.gateway.entrypoints.http.resource import Resource
from services.gateway.entrypoints.http.routes import Face
from services.gateway.entrypoints.http.streams import Streams, stream_resource

type Admit = Callable[[Scope], Awaitable[None]]


def resources(face: Face, streams: Streams) -> tuple[Resource, ...]:
    """Return the routers of the API; their routes are tried in this order."""
    return (
        orders.resource(face),
        stream_resource(face, streams),
        Resource("picking", face, picking.ROUTES),
        stock.resource(face),
        Resource("stock feeds", face, stock_feeds.ROUTES),
        promises.resource(face, streams),
        baskets.resource(face),
        catalog.resource(face),
        Resource("delivery", face, handover.ROUTES),
        Resource("returns", face, returns.ROUTES),
        Resource("decisions", face, decisions.ROUTES),
        Resource("notifications", face, notifications.ROUTES),
    )


class Edge(FastAPI):
    """The API as FastAPI serves and describes it."""

    def __init__(self, admit: Admit) -> None:
        super().__init__(
            title=document.TITLE,
            version=document.VERSION,
            summary=document.SUMMARY,
            description=document.DESCRIPTION,
            servers=[{"url": "/"}],
            openapi_url=None,  # served below, encoded once
            redirect_slashes=False,
            telemetry={"tracing": False, "metrics": False, "logs": False},  # the kernel's instead
        )
        self._admit = admit
        self._encoded: Response | None = None
        beside = APIRouter(include_in_schema=False)
        beside.add_api_route("/healthz", self._healthz, response_class=Response)
        beside.add_api_route("/openapi.json", self._openapi, response_class=Response)
        self.take(beside)

    def take(self, router: APIRouter) -> None:
        """Add the routes of a router.

        ``include_router`` would keep the router as a node of its own and look through it twice per
        request; none of ours has a prefix or dependencies of its own, for which that is made.
        """
        self.router.routes.extend(router.routes)

    @override
    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = document.completed(super().openapi())
        return self.openapi_schema

    @override
    def build_middleware_stack(self) -> ASGIApp:
        """Only what routes need: limits, errors and telemetry are ``Around`` all of it."""
        return AsyncExitStackMiddleware(_Lookup(self.router, self._admit))

    async def _healthz(self) -> Response:
        return json_response({"status": "ok"})

    async def _openapi(self) -> Response:
        if self._encoded is None:
            self._encoded = json_response(self.openapi())
        return Response(self._encoded.body, media_type="application/json")


class _Lookup:
    """Finds the route by verb and first word of the path before any pattern is tried.

    The router itself tries its some ninety patterns one after the other. What is not found here,
    it refuses: no such route, or not this method. Who may not call is refused before a route runs.
    """

    def __init__(self, router: APIRouter, admit: Admit) -> None:
        self._router = router
        self._admit = admit
        self._routes: dict[tuple[str, str], list[BaseRoute]] = defaultdict(list)
        for route in router.routes:
            if isinstance(route, Route):
                for verb in route.methods or ():
                    self._routes[verb, _first_words(route.path)].append(route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if scope["method"] == "HEAD":  # the server leaves the body out
                scope = {**scope, "method": "GET"}
            for route in self._routes.get((scope["method"], _first_words(scope["path"])), ()):
                match, found = route.matches(scope)
                if match is Match.FULL:
                    await self._admit(scope)
                    scope.update(found)
                    await route.handle(scope, receive, send)
                    return
        await self._router(scope, receive, send)


def _first_words(path: str) -> str:
    """Return what no parameter can stand in.

    >>> _first_words("/v1/orders/O-1:cancel"), _first_words("/v1/tasks:claim-next")
    ('v1/orders', 'v1/tasks')
    >>> _first_words("/track/x"), _first_words("/")
    ('track', '')
    """
    words = path.split("/", 3)[1:3]
    if words[0] != "v1":
        return words[0]
    return "/".join(words).partition(":")[0]


def application(
    face: Face, streams: Streams, pages: APIRouter, page_lost: PageLost
) -> tuple[Around, Edge]:
    """Return the application with all that is around it, and itself.

    Args:
        face: What the endpoints work with.
        streams: Counts the open streams.
        pages: What is not part of the API.
        page_lost: What a person sees at an address that leads nowhere.
    """
    edge = Edge(face.admit)
    for router in (*resources(face, streams), pages):
        edge.take(router)
    return Around(edge, streams.end, page_lost), edge
