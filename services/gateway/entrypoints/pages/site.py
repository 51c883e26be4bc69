"""The pages: an order's own page, the start page for development, the map of the API."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from oms.order.v1 import order_service_pb2 as order
from starlette.types import Scope

from services.gateway.entrypoints.http.contracts import (
    ORDER,
)
from services.gateway.entrypoints.http.incoming import Metadata, incoming, metadata
from services.gateway.entrypoints.http.parameters import LastEventId
from services.gateway.entrypoints.http.problems import CODES, REASONS, Problem, problem
from services.gateway.entrypoints.http.remote import Remote
from services.gateway.entrypoints.http.streams import Streams, changed_bytes
from services.gateway.entrypoints.http.wire import enum_names
from services.gateway.entrypoints.pages.beside import beside
from services.gateway.entrypoints.pages.links import Links
from services.gateway.entrypoints.pages.order_page import (
    Reader,
    order_page,
)
from services.gateway.entrypoints.pages.stock_site import StockSite
from services.gateway.entrypoints.pages.texts import TEXTS, is_for_people, language_of
from services.kernel.domain.money import amount

_HERE = Path(__file__).parent
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "Vary": "Accept-Language",
}
# Swagger UI writes styles into its elements; of scripts it needs none but its own file.
_DOCS_POLICY = _HEADERS["Content-Security-Policy"].replace(
    "style-src 'self'", "style-src 'self' 'unsafe-inline'"
)
_ASSETS = {
    "page.css": "text/css",
    "stock.css": "text/css",
    "track.js": "text/javascript",
    "docs.css": "text/css",
    "docs.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
}
_ASSET_HEADERS = {"Cache-Control": "public, max-age=300"}
_TIMEOUT_S = 5.0
_BAD_REQUEST, _NOT_FOUND, _UNAVAILABLE = 400, 404, 503
_LONGEST_TOKEN = 500
_LATEST = 20
_SHOWN_STATUSES = ("placed", "accepted", "completed", "refused", "cancelled")


@dataclass(frozen=True, slots=True)
class Acting:
    """The right to call the services for a tenant that a signed address names."""

    token: str
    demo_tenant: str
    zone: ZoneInfo


class Site:
    def __init__(self, remote: Remote, streams: Streams, links: Links, acting: Acting) -> None:
        self._remote = remote
        self._streams = streams
        self._links = links
        self._acting = acting
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._assets = {name: _asset_path(name).read_bytes() for name in _ASSETS}

    def router(self) -> APIRouter:
        """Return what is served beside the API."""
        pages = APIRouter(include_in_schema=False, default_response_class=Response)
        for path, page in (
            ("/", self.start),
            ("/track/{token}", self.track),
            ("/track/{token}/stream", self.stream),
            ("/assets/{name}", self.asset),
            ("/docs", self.docs),
            ("/problems/{slug}", self.problem_type),
        ):
            pages.add_api_route(path, page, response_model=None)
        StockSite(
            self._remote,
            self._streams,
            self._links,
            self._acting.demo_tenant,
            self._reader,
            self._metadata,
            self._page,
        ).add_to(pages)
        return pages

    async def track(self, request: Request, token: str) -> Response:
        """Show the page of one order."""
        reader = self._reader(request)
        named = self._links.read(token)
        if named is None:
            return self._notice(request, "not_found", _NOT_FOUND)
        tenant, order_id = named
        acting = self._metadata(request, tenant)
        try:
            asked = order.GetOrderRequest(order_id=order_id)
            answer = await self._call(ORDER["GetOrder"], asked, acting)
        except Problem as wrong:
            if wrong.kind.status == _NOT_FOUND:
                return self._notice(request, "not_found", _NOT_FOUND)
            return self._notice(request, "away", _UNAVAILABLE)
        found: order.Order = answer.order
        page = request.query_params.get("messages", "")
        page = page if len(page) <= _LONGEST_TOKEN else ""
        shown = order_page(found, await beside(found, acting, self._call, page), reader)
        shown["stream"] = f"/track/{token}/stream"
        shown["is_older"] = page != ""
        return self._page(request, "track.html", shown)

    async def stream(self, request: Request, token: str, last_event_id: LastEventId) -> Response:
        """Tell the page of one order when to read itself again."""
        named = self._links.read(token)
        if named is None:
            raise problem("ROUTE_NOT_FOUND")
        tenant, order_id = named
        watched = order.WatchTimelineRequest(
            order_id=order_id,
            view=order.TIMELINE_VIEW_CONSUMER,
            after_version=last_event_id,
        )
        acting = self._metadata(request, tenant)
        return await self._streams.timeline(self._remote, acting, watched, changed_bytes)

    async def start(self, request: Request) -> Response:
        """List orders of the demo tenant, newest first; without one, point to the API."""
        reader = self._reader(request)
        shown: dict[str, Any] = {"orders": [], "filters": [], "next_page": "", "stock": ""}
        if self._acting.demo_tenant:
            shown["stock"] = f"/stock?lang={reader.language}"
            chosen = request.query_params.get("status", "")
            if chosen not in _SHOWN_STATUSES:
                chosen = ""
            asked = order.ListOrdersRequest(
                page_size=_LATEST, page_token=request.query_params.get("page", "")[:_LONGEST_TOKEN]
            )
            if chosen:
                shown["query"] = urlencode({"status": chosen})
                asked.status = order.OrderStatus.Value(f"ORDER_STATUS_{chosen.upper()}")
            acting = self._metadata(request, self._acting.demo_tenant)
            try:
                listed = await self._call(ORDER["ListOrders"], asked, acting)
            except Problem as wrong:
                if wrong.kind.status == _BAD_REQUEST:
                    return self._notice(request, "not_found", _NOT_FOUND)
                return self._notice(request, "away", _UNAVAILABLE)
            shown["orders"] = [self._row(one, reader) for one in listed.orders]
            shown["filters"] = [
                {
                    "label": TEXTS[reader.language][f"status_{one}" if one else "all"],
                    "url": f"/?{urlencode({'lang': reader.language, 'status': one})}",
                    "is_chosen": one == chosen,
                }
                for one in ("", *_SHOWN_STATUSES)
            ]
            if listed.next_page_token:
                query = {"status": chosen, "page": listed.next_page_token}
                shown["next_page"] = f"/?{urlencode({'lang': reader.language, **query})}"
        return self._page(request, "start.html", shown)

    async def asset(self, name: str) -> Response:
        """Serve a stylesheet or a script of ours."""
        if name not in _ASSETS:
            raise problem("ROUTE_NOT_FOUND")
        return Response(self._assets[name], 200, _ASSET_HEADERS, _ASSETS[name])

    async def docs(self, request: Request) -> Response:
        """Let people read and try the API; without scripts, list its routes."""
        tags: dict[str, list[dict[str, str]]] = {}
        for path, verbs in request.app.openapi()["paths"].items():
            for verb, one in verbs.items():
                row = {"verb": verb.upper(), "path": path, "summary": one["summary"]}
                tags.setdefault(one["tags"][0], []).append(row)
        page = self._page(request, "docs.html", {"tags": dict(sorted(tags.items()))})
        page.headers["Content-Security-Policy"] = _DOCS_POLICY
        return page

    async def problem_type(self, request: Request, slug: str) -> Response:
        """Explain a type of problem: where its ``type`` leads."""
        reason = slug.upper().replace("-", "_")
        kinds = dict(CODES.values()) | dict(REASONS)
        kind = kinds.get(reason)
        if kind is None:
            raise problem("ROUTE_NOT_FOUND")
        shown = {
            "headline": kind.title,
            "help": kind.remedy,
            "code": f"{kind.status} {reason}",
            "told_in": "en",  # it is for programmers, as the API's own texts are
        }
        return self._page(request, "notice.html", shown)

    def lost(self, scope: Scope) -> Response | None:
        """Return what a person sees at an address that leads nowhere; programs get a problem."""
        request = Request(scope)
        is_asked = scope["method"] in ("GET", "HEAD")
        if not is_asked or not is_for_people(request.headers.get("accept", "")):
            return None
        page = self._notice(request, "lost", _NOT_FOUND)
        page.headers["Vary"] = "Accept, Accept-Language"
        return page

    async def _call(self, method: Any, asked: Any, acting: Metadata) -> Any:
        return await self._remote.call(method, asked, acting, _TIMEOUT_S)

    def _metadata(self, request: Request, tenant: str) -> Metadata:
        brought = incoming(request.scope)
        return metadata(self._acting.token, brought.correlation_id, brought.traceparent, tenant)

    def _row(self, one: order.OrderSummary, reader: Reader) -> dict[str, Any]:
        status = enum_names(order.OrderStatus.DESCRIPTOR)[one.status]
        return {
            "order_id": one.order_id,
            "url": "/track/" + self._links.token(self._acting.demo_tenant, one.order_id),
            "status": TEXTS[reader.language].get(f"status_{status}", status),
            "total": amount(one.total_minor, one.currency, reader.language),
            "at": reader.time(one.placed_at) if one.HasField("placed_at") else None,
        }

    def _reader(self, request: Request) -> Reader:
        asked = request.query_params.get("lang", "")
        language = language_of(asked, request.headers.get("accept-language", ""))
        return Reader(language, self._acting.zone)

    def _notice(self, request: Request, name: str, status: int) -> Response:
        text = TEXTS[self._reader(request).language]
        shown = {"headline": text[name], "help": text[f"{name}_help"], "code": ""}
        return self._page(request, "notice.html", shown, status)

    def _page(
        self, request: Request, template: str, shown: Mapping[str, Any], status: int = 200
    ) -> Response:
        language = self._reader(request).language
        given = {
            "language": language,
            "other": "en" if language == "fr" else "fr",
            "text": TEXTS[language],
            "query": "",
            "told_in": "",
            **shown,
        }
        html = self._templates.get_template(template).render(given)
        headers = {**_HEADERS, "Content-Language": language}
        return Response(html, status, headers, "text/html")


def _asset_path(name: str) -> Path:
    """Return where an asset is. Swagger UI comes as a package: no page loads from afar."""
    if not name.startswith("swagger-ui"):
        return _HERE / "assets" / name
    found = find_spec("fastapi_swagger")  # its files are wanted, not its code
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("fastapi_swagger holds the page /docs; install requirements/run")
    return Path(found.submodule_search_locations[0]) / "resources" / name
