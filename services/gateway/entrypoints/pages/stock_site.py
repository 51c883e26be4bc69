"""The stock pages: products by site, and the ledger of one product at one site. Live."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from oms.catalog.v1 import catalog_service_pb2 as catalog
from oms.stock_ledger.v1 import promise_service_pb2 as promise
from oms.stock_ledger.v1 import stock_ledger_service_pb2 as ledger

from services.gateway.entrypoints.http.contracts import CATALOG, PROMISES, STOCK
from services.gateway.entrypoints.http.incoming import Metadata
from services.gateway.entrypoints.http.problems import Problem, problem
from services.gateway.entrypoints.http.remote import Remote
from services.gateway.entrypoints.http.streams import MAX_SECONDS, Streams
from services.gateway.entrypoints.pages import stock_page
from services.gateway.entrypoints.pages.links import Links
from services.gateway.entrypoints.pages.order_page import Reader
from services.gateway.entrypoints.pages.stock_texts import STOCK_TEXTS

_ENTRIES = 100
_MOST_TEXT = 64
_TIMEOUT_S = 5.0
_NOT_FOUND, _GONE, _INVALID, _UNAVAILABLE = 404, 410, 400, 503

type Show = Callable[[Request, str, Mapping[str, Any], int], Response]


class StockSite:
    """Serves the pages under ``/stock/{token}``, where the signed token names the tenant.

    Args:
        remote: The services.
        streams: Counts what is open.
        links: Signs and reads tokens.
        demo_tenant: Whose stock ``/stock`` leads to; empty: nobody's.
        reader: Who reads a page.
        acting: The right to call the services for a tenant.
        show: Renders a template with what it needs and a status.
    """

    def __init__(
        self,
        remote: Remote,
        streams: Streams,
        links: Links,
        demo_tenant: str,
        reader: Callable[[Request], Reader],
        acting: Callable[[Request, str], Metadata],
        show: Show,
    ) -> None:
        self._remote = remote
        self._streams = streams
        self._links = links
        self._demo_tenant = demo_tenant
        self._reader = reader
        self._acting = acting
        self._show = show

    def add_to(self, pages: APIRouter) -> None:
        """Add the pages to a router."""
        page: Callable[..., Awaitable[Response]]
        for path, page in (
            ("/stock", self.start),
            ("/stock/{token}", self.board),
            ("/stock/{token}/ledger", self.entries),
            ("/stock/{token}/stream", self.stream),
        ):
            pages.add_api_route(path, page, response_model=None)

    async def start(self, request: Request) -> Response:
        """Lead to the demo tenant's stock."""
        if not self._demo_tenant:
            return self._notice(request, "not_found", _NOT_FOUND)
        token = self._links.stock_pages(self._demo_tenant).token
        sought = {name: text for name, text in _given(request, "q", "site_id").items() if text}
        query = urlencode({"lang": self._reader(request).language, **sought})
        return RedirectResponse(f"/stock/{token}?{query}", 303)

    async def board(self, request: Request, token: str) -> Response:
        """Show products with their sites."""
        asked = _given(request, "q", "site_id")
        message = promise.GetStockBoardRequest(
            text=asked["q"],
            site_id=asked["site_id"],
            page_token=_given(request, "page_token", most=512)["page_token"],
        )

        async def shown(found: Any, base: str, acting: Metadata) -> Mapping[str, Any]:
            known = await self._products([one.sku for one in found.products], acting)
            return stock_page.board(found, base, asked, self._reader(request), known)

        return await self._page(
            request, token, "stock.html", PROMISES["GetStockBoard"], message, shown
        )

    async def entries(self, request: Request, token: str) -> Response:
        """Show the ledger of one product at one site."""
        asked = _given(request, "site_id", "sku", "cause", "as_of", "known_at")
        message = ledger.ListEntriesRequest(
            site_id=asked["site_id"],
            sku=asked["sku"],
            page_size=_ENTRIES,
            page_token=_given(request, "page_token", most=512)["page_token"],
        )
        for clock in ("as_of", "known_at"):
            if asked[clock]:
                at = _time(asked[clock], self._reader(request).zone)
                if at is None:
                    return self._notice(request, "invalid", _INVALID)
                getattr(message, clock).FromDatetime(at)

        async def shown(found: Any, base: str, acting: Metadata) -> Mapping[str, Any]:
            known = await self._products([asked["sku"]], acting)
            return stock_page.entries(found, base, asked, self._reader(request), known)

        return await self._page(request, token, "ledger.html", STOCK["ListEntries"], message, shown)

    async def stream(self, request: Request, token: str) -> Response:
        """Tell a page when to read itself again."""
        known = self._links.read_stock(token)
        if known is None or self._links.has_expired(known):
            raise problem("ROUTE_NOT_FOUND")
        pairs = [
            promise.PromisePair(site_id=site_id, sku=sku)
            for site_id, _, sku in (
                text.partition("|") for text in request.query_params.getlist("pair")
            )
        ]
        watched = promise.WatchPromisesRequest(pairs=pairs, max_seconds=MAX_SECONDS)
        return await self._streams.follow(
            self._remote,
            self._acting(request, known.tenant),
            PROMISES["WatchPromises"],
            watched,
            _changed,
            PROMISES["GetPromises"],
            promise.GetPromisesRequest(pairs=pairs[:1]),
        )

    async def _page(
        self,
        request: Request,
        token: str,
        template: str,
        method: Any,
        message: Any,
        shown: Callable[[Any, str, Metadata], Awaitable[Mapping[str, Any]]],
    ) -> Response:
        known = self._links.read_stock(token)
        if known is None:
            return self._notice(request, "not_found", _NOT_FOUND)
        if self._links.has_expired(known):
            return self._notice(request, "expired", _GONE)
        acting = self._acting(request, known.tenant)
        try:
            found = await self._remote.call(method, message, acting, _TIMEOUT_S)
        except Problem as wrong:
            if wrong.kind.status == _INVALID:
                return self._notice(request, "invalid", _INVALID)
            return self._notice(request, "away", _UNAVAILABLE)
        given = {
            "stock": STOCK_TEXTS[self._reader(request).language],
            **await shown(found, f"/stock/{token}", acting),
        }
        return self._show(request, template, given, 200)

    async def _products(self, skus: Sequence[str], acting: Metadata) -> stock_page.Products:
        """Return what the catalog says of these; nothing where it is away: the page goes on."""
        if not skus:
            return {}
        asked = catalog.ListProductsRequest(page_size=len(skus), skus=skus)
        try:
            answer = await self._remote.call(CATALOG["ListProducts"], asked, acting, _TIMEOUT_S)
        except Problem:
            return {}
        return {one.sku: one for one in answer.products}

    def _notice(self, request: Request, name: str, status: int) -> Response:
        text = STOCK_TEXTS[self._reader(request).language]
        shown = {"headline": text[name], "help": text[f"{name}_help"], "code": ""}
        return self._show(request, "notice.html", shown, status)


def _changed(answer: promise.WatchPromisesResponse) -> bytes:
    """Return an event that says only that something changed: the page reads itself again."""
    return b"event: changed\ndata: stock\n\n" if answer.promises else b": still here\n\n"


def _given(request: Request, *names: str, most: int = _MOST_TEXT) -> dict[str, str]:
    return {name: request.query_params.get(name, "").strip()[:most] for name in names}


def _time(text: str, zone: ZoneInfo) -> datetime | None:
    """Return a time as a form sends it; without a zone it is of the one that the page tells in."""
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
