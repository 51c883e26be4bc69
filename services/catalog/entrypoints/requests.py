"""Requests in: sizes, filters, places and page tokens are checked here; rows are in ``rows``."""

import base64
import binascii
from collections.abc import Sequence

from oms.catalog.v1 import catalog_service_pb2 as wire

from services.catalog.domain.product import MAX_CATEGORY_LEVELS
from services.catalog.domain.site import MAX_LATITUDE_E6, MAX_LONGITUDE_E6
from services.catalog.domain.values import Position, country_faults
from services.kernel.domain.errors import Invalid
from services.kernel.domain.ids import identifier
from services.kernel.domain.text import is_text

MAX_PAGE = 200
DEFAULT_PAGE = 50
MAX_BATCH_ROWS = 1000
MAX_TEXT_CHARACTERS = 100
MAX_POSTCODE_CHARACTERS = 12


def bounded(field: str, batch: Sequence[object]) -> None:
    if not 1 <= len(batch) <= MAX_BATCH_ROWS:
        raise Invalid((field, f"must have 1 to {MAX_BATCH_ROWS} rows"))


def products_wanted(request: wire.ListProductsRequest) -> list[str]:
    """Return the products that are named, every filter checked."""
    if len(request.category_prefix) > MAX_CATEGORY_LEVELS:
        raise Invalid(("category_prefix", f"must have at most {MAX_CATEGORY_LEVELS} levels"))
    if len(request.text) > MAX_TEXT_CHARACTERS or "\x00" in request.text:
        raise Invalid(("text", f"must be at most {MAX_TEXT_CHARACTERS} printable characters"))
    if not all(map(is_text, request.category_prefix)):
        raise Invalid(("category_prefix", "must hold no control characters"))
    if len(request.skus) > MAX_PAGE:
        raise Invalid(("skus", f"must be at most {MAX_PAGE}"))
    return [identifier(sku, f"skus[{place}]") for place, sku in enumerate(request.skus)]


def place_near(request: wire.FindPickupPointsRequest) -> Position | None:
    """Return the position that is given, or nothing where a checked postcode is given instead."""
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
    return None


def page_size_of(page_size: int) -> int:
    if not 0 <= page_size <= MAX_PAGE:
        raise Invalid(("page_size", f"must be 1 to {MAX_PAGE}, or 0 for {DEFAULT_PAGE}"))
    return page_size or DEFAULT_PAGE


def after_of(page_token: str) -> str:
    """Return the id that the page before ended with."""
    if not page_token:
        return ""
    try:
        return identifier(base64.urlsafe_b64decode(page_token).decode(), "page_token")
    except (binascii.Error, ValueError):
        raise Invalid(("page_token", "must come from the answer before")) from None


def token_of(limit: int, ids: Sequence[str]) -> str:
    """Return the token of the next page; one row more than the page was read to know of it."""
    return base64.urlsafe_b64encode(ids[limit - 1].encode()).decode() if len(ids) > limit else ""
