"""Products, sites, extended sites, sales zones, modes, pickup points."""

import re
from typing import Annotated, Any

from fastapi import Query, Request, Response
from oms.catalog.v1 import catalog_service_pb2 as wire
from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from services.gateway.entrypoints.http.bodies import shown
from services.gateway.entrypoints.http.contracts import CATALOG
from services.gateway.entrypoints.http.document import described
from services.gateway.entrypoints.http.incoming import incoming
from services.gateway.entrypoints.http.parameters import filled, query_model, refuse_stray
from services.gateway.entrypoints.http.resource import Resource
from services.gateway.entrypoints.http.routes import Face, Route
from services.gateway.entrypoints.http.schemas import reference

_NEAR = re.compile(r"(-?\d{1,2}(?:\.\d{1,9})?),(-?\d{1,3}(?:\.\d{1,9})?)")


def _position(text: str) -> tuple[int, int]:
    found = _NEAR.fullmatch(text)
    if found is None:
        raise PydanticCustomError("near", "must be latitude,longitude in degrees, as 48.85,2.35")
    return round(float(found[1]) * 1_000_000), round(float(found[2]) * 1_000_000)


_Near = Annotated[
    tuple[int, int] | None, BeforeValidator(_position), WithJsonSchema({"type": "string"})
]
_POINTS: Any = query_model(
    wire.FindPickupPointsRequest.DESCRIPTOR,
    near=(
        _Near,
        Field(
            default_factory=lambda: None, description="latitude,longitude in degrees, as 48.85,2.35"
        ),
    ),
)
_POINT_NAMES = frozenset(_POINTS.model_fields)


def resource(face: Face) -> Resource:
    """Return the routes of the catalog."""
    catalog = Resource("catalog", face, ROUTES)

    @catalog.get(
        "/v1/pickup-points",
        summary="Find sites that hand over, nearest first",
        **described(
            CATALOG["FindPickupPoints"], answer=reference(CATALOG["FindPickupPoints"].output_type)
        ),
    )
    async def find_pickup_points(request: Request, query: Annotated[_POINTS, Query()]) -> Response:
        """Find pickup points near a position (``near=48.85,2.35``) or a postcode."""
        refuse_stray(request, _POINT_NAMES)
        message = filled(wire.FindPickupPointsRequest(), query)
        if query.near is not None:
            message.near.latitude_e6, message.near.longitude_e6 = query.near
        brought = incoming(request.scope)
        answer = await face.remote.call(
            CATALOG["FindPickupPoints"], message, brought.metadata(), brought.timeout_s
        )
        return shown(request, answer)

    return catalog


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
