"""CatalogService over gRPC: translate in, hand over, translate out. No rule lives here."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, override

from oms.catalog.v1 import catalog_events_pb2 as values
from oms.catalog.v1 import catalog_service_pb2 as wire
from oms.catalog.v1 import catalog_service_pb2_grpc as rpc

from services.catalog.application.handlers import CatalogHandlers, Outcome
from services.catalog.domain.extended_site import ExtendedSite
from services.catalog.domain.mode_definition import Mode
from services.catalog.domain.product import MAX_CATEGORY_LEVELS, Product
from services.catalog.domain.sales_zone import SalesZone
from services.catalog.domain.site import MAX_LATITUDE_E6, MAX_LONGITUDE_E6, Site
from services.catalog.domain.values import Position, country_faults
from services.catalog.entrypoints import rows
from services.catalog.read_models import circles, modes, products, sites
from services.kernel.application.runner import Reader
from services.kernel.domain.errors import Invalid, NotFound
from services.kernel.domain.ids import identifier
from services.kernel.domain.text import is_text
from services.kernel.entrypoints.calls import caller, cause

MAX_BATCH_ROWS = 1000
MAX_PAGE = 200
DEFAULT_PAGE = 50
MAX_PICKUP_POINTS = 50
DEFAULT_PICKUP_POINTS = 10
MAX_TEXT_CHARACTERS = 100
MAX_POSTCODE_CHARACTERS = 12

SCOPES = {
    f"/oms.catalog.v1.CatalogService/{method}": scope
    for scope, methods in {
        "catalog:read": (
            *("GetProduct", "ListProducts", "GetSite", "ListSites", "GetExtendedSite"),
            *("ListExtendedSites", "ListSalesZones", "GetMode", "ListModes", "FindPickupPoints"),
        ),
        "catalog:write": (
            *("UpsertProducts", "UpsertSites", "UpsertExtendedSites", "UpsertSalesZones"),
            "PublishMode",
        ),
    }.items()
    for method in methods
}


@dataclass(frozen=True, slots=True)
class Show:
    """How the domain is written in the contract."""

    product: Callable[[Product], values.Product]
    site: Callable[[Site], values.Site]
    extended_site: Callable[[ExtendedSite], values.ExtendedSite]
    sales_zone: Callable[[SalesZone], values.SalesZone]
    mode: Callable[[Mode], values.Mode]


class CatalogGrpc(rpc.CatalogServiceServicer):
    def __init__(self, handlers: CatalogHandlers, reader: Reader, show: Show) -> None:
        self._handlers = handlers
        self._reader = reader
        self._show = show

    @override
    async def UpsertProducts(
        self, request: wire.UpsertProductsRequest, context: Any
    ) -> wire.UpsertProductsResponse:
        _bounded("products", request.products)
        outcome = await self._handlers.upsert_products(
            cause(request.request_id), rows.products(request.products)
        )
        return wire.UpsertProductsResponse(outcome=_outcome(outcome))

    @override
    async def UpsertSites(
        self, request: wire.UpsertSitesRequest, context: Any
    ) -> wire.UpsertSitesResponse:
        _bounded("sites", request.sites)
        outcome = await self._handlers.upsert_sites(
            cause(request.request_id), rows.sites(request.sites)
        )
        return wire.UpsertSitesResponse(outcome=_outcome(outcome))

    @override
    async def UpsertExtendedSites(
        self, request: wire.UpsertExtendedSitesRequest, context: Any
    ) -> wire.UpsertExtendedSitesResponse:
        _bounded("extended_sites", request.extended_sites)
        outcome = await self._handlers.upsert_extended_sites(
            cause(request.request_id), rows.extended_sites(request.extended_sites)
        )
        return wire.UpsertExtendedSitesResponse(outcome=_outcome(outcome))

    @override
    async def UpsertSalesZones(
        self, request: wire.UpsertSalesZonesRequest, context: Any
    ) -> wire.UpsertSalesZonesResponse:
        _bounded("sales_zones", request.sales_zones)
        outcome = await self._handlers.upsert_sales_zones(
            cause(request.request_id), rows.sales_zones(request.sales_zones)
        )
        return wire.UpsertSalesZonesResponse(outcome=_outcome(outcome))

    @override
    async def PublishMode(
        self, request: wire.PublishModeRequest, context: Any
    ) -> wire.PublishModeResponse:
        identifier(request.mode.mode_id, "mode.mode_id")
        version = await self._handlers.publish_mode(
            cause(request.request_id), rows.mode(request.mode)
        )
        return wire.PublishModeResponse(mode_id=request.mode.mode_id, version=version)

    @override
    async def GetProduct(
        self, request: wire.GetProductRequest, context: Any
    ) -> wire.GetProductResponse:
        sku = identifier(request.sku, "sku")
        found = await products.get(self._reader.sql, tenant=caller().tenant, sku=sku)
        if found is None:
            raise NotFound("product", sku)
        return wire.GetProductResponse(product=self._show.product(found[0]), version=found[1])

    @override
    async def ListProducts(
        self, request: wire.ListProductsRequest, context: Any
    ) -> wire.ListProductsResponse:
        limit = _page_size(request.page_size)
        if len(request.category_prefix) > MAX_CATEGORY_LEVELS:
            raise Invalid(("category_prefix", f"must have at most {MAX_CATEGORY_LEVELS} levels"))
        if len(request.text) > MAX_TEXT_CHARACTERS or "\x00" in request.text:
            raise Invalid(("text", f"must be at most {MAX_TEXT_CHARACTERS} printable characters"))
        if not all(map(is_text, request.category_prefix)):
            raise Invalid(("category_prefix", "must hold no control characters"))
        if len(request.skus) > MAX_PAGE:
            raise Invalid(("skus", f"must be at most {MAX_PAGE}"))
        wanted = [identifier(sku, f"skus[{place}]") for place, sku in enumerate(request.skus)]
        found = await products.page(
            self._reader.sql,
            tenant=caller().tenant,
            after=_after(request.page_token),
            limit=limit + 1,
            category_prefix=list(request.category_prefix),
            text=request.text,
            skus=wanted,
        )
        return wire.ListProductsResponse(
            products=[self._show.product(product) for product in found[:limit]],
            next_page_token=_token(limit, [product.sku for product in found]),
        )

    @override
    async def GetSite(self, request: wire.GetSiteRequest, context: Any) -> wire.GetSiteResponse:
        site_id = identifier(request.site_id, "site_id")
        found = await sites.get(self._reader.sql, tenant=caller().tenant, site_id=site_id)
        if found is None:
            raise NotFound("site", site_id)
        return wire.GetSiteResponse(site=self._show.site(found[0]), version=found[1])

    @override
    async def ListSites(
        self, request: wire.ListSitesRequest, context: Any
    ) -> wire.ListSitesResponse:
        limit = _page_size(request.page_size)
        if request.type and request.type not in rows.SITE_TYPES:
            raise Invalid(("type", "must be a known type of site, or be left out"))
        found = await sites.page(
            self._reader.sql,
            tenant=caller().tenant,
            after=_after(request.page_token),
            limit=limit + 1,
            site_type=rows.SITE_TYPES[request.type].value if request.type else "",
        )
        return wire.ListSitesResponse(
            sites=[self._show.site(site) for site in found[:limit]],
            next_page_token=_token(limit, [site.site_id for site in found]),
        )

    @override
    async def GetExtendedSite(
        self, request: wire.GetExtendedSiteRequest, context: Any
    ) -> wire.GetExtendedSiteResponse:
        key = identifier(request.extended_site_id, "extended_site_id")
        found = await circles.get_extended_site(
            self._reader.sql, tenant=caller().tenant, extended_site_id=key
        )
        if found is None:
            raise NotFound("extended site", key)
        return wire.GetExtendedSiteResponse(
            extended_site=self._show.extended_site(found[0]), version=found[1]
        )

    @override
    async def ListExtendedSites(
        self, request: wire.ListExtendedSitesRequest, context: Any
    ) -> wire.ListExtendedSitesResponse:
        limit = _page_size(request.page_size)
        found = await circles.extended_sites(
            self._reader.sql,
            tenant=caller().tenant,
            after=_after(request.page_token),
            limit=limit + 1,
        )
        return wire.ListExtendedSitesResponse(
            extended_sites=[self._show.extended_site(each) for each in found[:limit]],
            next_page_token=_token(limit, [each.extended_site_id for each in found]),
        )

    @override
    async def ListSalesZones(
        self, request: wire.ListSalesZonesRequest, context: Any
    ) -> wire.ListSalesZonesResponse:
        limit = _page_size(request.page_size)
        found = await circles.sales_zones(
            self._reader.sql,
            tenant=caller().tenant,
            after=_after(request.page_token),
            limit=limit + 1,
        )
        return wire.ListSalesZonesResponse(
            sales_zones=[self._show.sales_zone(each) for each in found[:limit]],
            next_page_token=_token(limit, [each.sales_zone_id for each in found]),
        )

    @override
    async def GetMode(self, request: wire.GetModeRequest, context: Any) -> wire.GetModeResponse:
        mode_id = identifier(request.mode_id, "mode_id")
        if request.version < 0:
            raise Invalid(("version", "must be 0 (the newest) or more"))
        found = await modes.get(
            self._reader.sql, tenant=caller().tenant, mode_id=mode_id, version=request.version
        )
        if found is None:
            raise NotFound("mode", mode_id)
        return wire.GetModeResponse(mode=self._show.mode(found))

    @override
    async def ListModes(
        self, request: wire.ListModesRequest, context: Any
    ) -> wire.ListModesResponse:
        limit = _page_size(request.page_size)
        found = await modes.page(
            self._reader.sql,
            tenant=caller().tenant,
            after=_after(request.page_token),
            limit=limit + 1,
        )
        return wire.ListModesResponse(
            modes=[self._show.mode(mode) for mode in found[:limit]],
            next_page_token=_token(limit, [mode.mode_id for mode in found]),
        )

    @override
    async def FindPickupPoints(
        self, request: wire.FindPickupPointsRequest, context: Any
    ) -> wire.FindPickupPointsResponse:
        limit = request.limit or DEFAULT_PICKUP_POINTS
        if not 1 <= limit <= MAX_PICKUP_POINTS:
            raise Invalid(("limit", f"must be 1 to {MAX_PICKUP_POINTS}"))
        mode_id = identifier(request.mode_id, "mode_id") if request.mode_id else ""
        tenant = caller().tenant
        near = await self._near(request, tenant)
        if near is None:
            return wire.FindPickupPointsResponse()
        found = await sites.nearest(
            self._reader.sql, tenant=tenant, near=near, mode_id=mode_id, limit=limit
        )
        return wire.FindPickupPointsResponse(
            pickup_points=[
                wire.PickupPoint(site=self._show.site(site), distance_m=distance_m)
                for site, distance_m in found
            ]
        )

    async def _near(self, request: wire.FindPickupPointsRequest, tenant: str) -> Position | None:
        if request.HasField("near"):
            near = Position(request.near.latitude_e6, request.near.longitude_e6)
            if abs(near.latitude_e6) > MAX_LATITUDE_E6 or abs(near.longitude_e6) > MAX_LONGITUDE_E6:
                raise Invalid(("near", "must be a point on earth in micro-degrees"))
            return near
        if not request.postcode:
            raise Invalid(("near", "give a position, or a postcode"))
        if len(request.postcode) > MAX_POSTCODE_CHARACTERS or not is_text(request.postcode):
            raise Invalid(("postcode", f"must be at most {MAX_POSTCODE_CHARACTERS} characters"))
        if request.country and any(country_faults("country", request.country)):
            raise Invalid(("country", "must be an ISO 3166-1 alpha-2 code such as FR"))
        return await sites.position_of(
            self._reader.sql, tenant=tenant, postcode=request.postcode, country=request.country
        )


def _bounded(field: str, batch: Sequence[object]) -> None:
    if not 1 <= len(batch) <= MAX_BATCH_ROWS:
        raise Invalid((field, f"must have 1 to {MAX_BATCH_ROWS} rows"))


def _outcome(outcome: Outcome) -> wire.BatchOutcome:
    return wire.BatchOutcome(
        changed=outcome.changed,
        unchanged=outcome.unchanged,
        problems=[
            wire.RowProblem(
                row=problem.index,
                key=problem.key[:200],
                field=problem.fault.field,
                reason=problem.reason,
                detail=f"{problem.fault.field} {problem.fault.problem}".strip(),
                remedy=problem.fault.remedy,
            )
            for problem in outcome.problems[:MAX_BATCH_ROWS]
        ],
    )


def _page_size(page_size: int) -> int:
    if not 0 <= page_size <= MAX_PAGE:
        raise Invalid(("page_size", f"must be 1 to {MAX_PAGE}, or 0 for {DEFAULT_PAGE}"))
    return page_size or DEFAULT_PAGE


def _after(page_token: str) -> str:
    """Return the id that the page before ended with."""
    if not page_token:
        return ""
    try:
        return identifier(base64.urlsafe_b64decode(page_token).decode(), "page_token")
    except (binascii.Error, ValueError):
        raise Invalid(("page_token", "must come from the answer before")) from None


def _token(limit: int, ids: Sequence[str]) -> str:
    """Return the token of the next page; one row more than the page was read to know of it."""
    return base64.urlsafe_b64encode(ids[limit - 1].encode()).decode() if len(ids) > limit else ""
