"""Stored names of the catalog's events."""

from services.catalog.domain.extended_site import ExtendedSiteUpserted
from services.catalog.domain.mode import ModePublished
from services.catalog.domain.product import ProductUpserted
from services.catalog.domain.sales_zone import SalesZoneUpserted
from services.catalog.domain.site import SiteUpserted
from services.kernel.adapters.event_codec import EventCodec

CODEC = EventCodec(
    {
        "product.upserted.v1": ProductUpserted,
        "site.upserted.v1": SiteUpserted,
        "extendedsite.upserted.v1": ExtendedSiteUpserted,
        "saleszone.upserted.v1": SalesZoneUpserted,
        "mode.published.v1": ModePublished,
    }
)
