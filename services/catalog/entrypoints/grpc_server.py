"""CatalogService over gRPC: translate in, hand over, translate out. No rule lives here."""

from typing import Any, override

from oms.catalog.v1 import catalog_service_pb2 as wire
from oms.catalog.v1 import catalog_service_pb2_grpc as rpc

from services.catalog.application.handlers import CatalogHandlers
from services.catalog.entrypoints import rows
from services.catalog.entrypoints.answers import Show, outcome_shown
from services.catalog.entrypoints.requests import (
    after_of,
    bounded,
    page_size_of,
    place_near,
    products_wanted,
    token_of,
)
from services.catalog.read_models import circles, modes, products, sites
from services.kernel.application.runner import Reader
from services.kernel.domain.errors import Invalid, NotFound
from services.kernel.domain.ids import identifier
from services.kernel.entrypoints.calls import caller, cause

MAX_PICKUP_POINTS = 50
DEFAULT_PICKUP_POINTS = 10


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


class CatalogGrpc(rpc.CatalogServiceServicer):
    def __init__(self, handlers: CatalogHandlers, reader: Reader, show: Show) -> None:
        self._handlers = handlers
        self._reader = reader
        self._show = show

    @override
    async def UpsertProducts(
        self, request: wire.UpsertProductsRequest, context: Any
    ) -> wire.UpsertProductsResponse:
        bounded("products", request.products)
        outcome = await self._handlers.upsert_products(
            cause(request.request_id), rows.products(request.products)
        )
        return wire.UpsertProductsResponse(outcome=outcome_shown(outcome))

    @override
    async def UpsertSites(
        self, request: wire.UpsertSitesRequest, context: Any
    ) -> wire.UpsertSitesResponse:
        bounded("sites", request.sites)
        outcome = await self._handlers.upsert_sites(
            cause(request.request_id), rows.sites(request.sites)
        )
        return wire.UpsertSitesResponse(outcome=outcome_shown(outcome))

    @override
    async def UpsertExtendedSites(
        self, request: wire.UpsertExtendedSitesRequest, context: Any
    ) -> wire.UpsertExtendedSitesResponse:
        bounded("extended_sites", request.extended_sites)
        outcome = await self._handlers.upsert_extended_sites(
            cause(request.request_id), rows.extended_sites(request.extended_sites)
        )
        return wire.UpsertExtendedSitesResponse(outcome=outcome_shown(outcome))

    @override
    async def UpsertSalesZones(
        self, request: wire.UpsertSalesZonesRequest, context: Any
    ) -> wire.UpsertSalesZonesResponse:
        bounded("sales_zones", request.sales_zones)
        outcome = await self._handlers.upsert_sales_zones(
            cause(request.request_id), rows.sales_zones(request.sales_zones)
        )
        return wire.UpsertSalesZonesResponse(outcome=outcome_shown(outcome))

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
        limit = page_size_of(request.page_size)
        wanted = products_wanted(request)
        found = await products.page(
            self._reader.sql,
            tenant=caller().tenant,
            after=after_of(request.page_token),
            limit=limit + 1,
            category_prefix=list(request.category_prefix),
            text=request.text,
            skus=wanted,
        )
        return wire.ListProductsResponse(
            products=[self._show.product(product) for product in found[:limit]],
            next_page_token=token_of(limit, [product.sku for product in found]),
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
        limit = page_size_of(request.page_size)
        if request.type and request.type not in rows.SITE_TYPES:
            raise Invalid(("type", "must be a known type of site, or be left out"))
        found = await sites.page(
            self._reader.sql,
            tenant=caller().tenant,
            after=after_of(request.page_token),
            limit=limit + 1,
            site_type=rows.SITE_TYPES[request.type].value if request.type else "",
        )
        return wire.ListSitesResponse(
            sites=[self._show.site(site) for site in found[:limit]],
            next_page_token=token_of(limit, [site.site_id for site in found]),
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
        limit = page_size_of(request.page_size)
        found = await circles.extended_sites(
            self._reader.sql,
            tenant=caller().tenant,
            after=after_of(request.page_token),
            limit=limit + 1,
        )
        return wire.ListExtendedSitesResponse(
            extended_sites=[self._show.extended_site(each) for each in found[:limit]],
            next_page_token=token_of(limit, [each.extended_site_id for each in found]),
        )

    @override
    async def ListSalesZones(
        self, request: wire.ListSalesZonesRequest, context: Any
    ) -> wire.ListSalesZonesResponse:
        limit = page_size_of(request.page_size)
        found = await circles.sales_zones(
            self._reader.sql,
            tenant=caller().tenant,
            after=after_of(request.page_token),
            limit=limit + 1,
        )
        return wire.ListSalesZonesResponse(
            sales_zones=[self._show.sales_zone(each) for each in found[:limit]],
            next_page_token=token_of(limit, [each.sales_zone_id for each in found]),
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
        limit = page_size_of(request.page_size)
        found = await modes.page(
            self._reader.sql,
            tenant=caller().tenant,
            after=after_of(request.page_token),
            limit=limit + 1,
        )
        return wire.ListModesResponse(
            modes=[self._show.mode(mode) for mode in found[:limit]],
            next_page_token=token_of(limit, [mode.mode_id for mode in found]),
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
        near = place_near(request) or await sites.position_of(
            self._reader.sql, tenant=tenant, postcode=request.postcode, country=request.country
        )
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
