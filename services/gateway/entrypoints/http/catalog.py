"""Products, sites, extended sites, sales zones, modes, pickup points."""

import re

from oms.catalog.v1 import catalog_service_pb2 as wire
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.entrypoints.http.bodies import shown
from services.gateway.entrypoints.http.contracts import CATALOG
from services.gateway.entrypoints.http.incoming import incoming
from services.gateway.entrypoints.http.routes import Composed, Face, Route
from services.gateway.entrypoints.http.wire import Malformed, from_query

_NEAR = re.compile(r"(-?\d{1,2}(?:\.\d{1,9})?),(-?\d{1,3}(?:\.\d{1,9})?)")


async def find_pickup_points(face: Face, request: Request) -> Response:
    """Find pickup points near a position (``near=48.85,2.35``) or a postcode."""
    query: dict[str, list[str]] = {}
    for name, text in request.query_params.multi_items():
        query.setdefault(name, []).append(text)
    near = query.pop("near", [])
    message = from_query(wire.FindPickupPointsRequest, query, {})
    if near:
        found = _NEAR.fullmatch(near[0])
        if found is None or len(near) > 1:
            raise Malformed(("?near", "must be latitude,longitude in degrees, as 48.85,2.35"))
        message.near.latitude_e6 = round(float(found[1]) * 1_000_000)
        message.near.longitude_e6 = round(float(found[2]) * 1_000_000)
    brought = incoming(request.scope)
    answer = await face.remote.call(
        CATALOG["FindPickupPoints"], message, brought.metadata(), brought.timeout_s
    )
    return shown(request, answer)


ROUTES = (
    Route("GET", "/v1/products", CATALOG["ListProducts"], "List products by sku"),
    Route("GET", "/v1/products/{sku}", CATALOG["GetProduct"], "Show a product", shows="product"),
    Route("GET", "/v1/sites", CATALOG["ListSites"], "List sites"),
    Route("GET", "/v1/sites/{site_id}", CATALOG["GetSite"], "Show a site", shows="site"),
    Route("GET", "/v1/extended-sites", CATALOG["ListExtendedSites"], "List extended sites"),
    Route(
        "GET",
        "/v1/extended-sites/{extended_site_id}",
        CATALOG["GetExtendedSite"],
        "Show an extended site",
        shows="extended_site",
    ),
    Route("GET", "/v1/sales-zones", CATALOG["ListSalesZones"], "List sales zones"),
    Route("GET", "/v1/modes", CATALOG["ListModes"], "List the newest version of every mode"),
    Route("GET", "/v1/modes/{mode_id}", CATALOG["GetMode"], "Show a mode", shows="mode"),
    Composed(
        "GET",
        "/v1/pickup-points",
        find_pickup_points,
        "Find sites that hand over, nearest first",
        calls=(CATALOG["FindPickupPoints"],),
        parameters=(
            {"name": "near", "in": "query", "description": "latitude,longitude in degrees"},
            {"name": "postcode", "in": "query"},
            {"name": "mode_id", "in": "query"},
            {"name": "limit", "in": "query"},
        ),
        answers=CATALOG["FindPickupPoints"],
    ),
    Route(
        "POST",
        "/v1/catalog/products:batch",
        CATALOG["UpsertProducts"],
        "Define or change up to 1000 products",
        shows="outcome",
    ),
    Route(
        "POST",
        "/v1/catalog/sites:batch",
        CATALOG["UpsertSites"],
        "Define or change up to 1000 sites",
        shows="outcome",
    ),
    Route(
        "POST",
        "/v1/catalog/extended-sites:batch",
        CATALOG["UpsertExtendedSites"],
        "Define or change up to 1000 extended sites",
        shows="outcome",
    ),
    Route(
        "POST",
        "/v1/catalog/sales-zones:batch",
        CATALOG["UpsertSalesZones"],
        "Define or change up to 1000 sales zones",
        shows="outcome",
    ),
    Route(
        "POST",
        "/v1/catalog/modes",
        CATALOG["PublishMode"],
        "Publish a mode version for ever",
        status=201,
        takes="mode",
    ),
)
