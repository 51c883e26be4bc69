"""What others learn of the catalog: everything, as it is."""

from typing import assert_never

from oms.catalog.v1 import catalog_events_pb2 as wire

from services.catalog.adapters import wire as to_wire
from services.catalog.domain.extended_site import ExtendedSiteUpserted
from services.catalog.domain.mode import ModePublished
from services.catalog.domain.product import ProductUpserted
from services.catalog.domain.sales_zone import SalesZoneUpserted
from services.catalog.domain.site import SiteUpserted
from services.kernel.domain.messages import Recorded

type Event = (
    ProductUpserted | SiteUpserted | ExtendedSiteUpserted | SalesZoneUpserted | ModePublished
)


def publish(recorded: Recorded[Event]) -> wire.CatalogEvent | None:
    """Return the public event."""
    event = recorded.event
    match event:
        case ProductUpserted(product):
            return wire.CatalogEvent(
                product_upserted=wire.ProductUpserted(product=to_wire.product(product))
            )
        case SiteUpserted(site):
            return wire.CatalogEvent(site_upserted=wire.SiteUpserted(site=to_wire.site(site)))
        case ExtendedSiteUpserted(extended_site):
            return wire.CatalogEvent(
                extended_site_upserted=wire.ExtendedSiteUpserted(
                    extended_site=to_wire.extended_site(extended_site)
                )
            )
        case SalesZoneUpserted(sales_zone):
            return wire.CatalogEvent(
                sales_zone_upserted=wire.SalesZoneUpserted(
                    sales_zone=to_wire.sales_zone(sales_zone)
                )
            )
        case ModePublished(mode):
            return wire.CatalogEvent(mode_published=wire.ModePublished(mode=to_wire.mode(mode)))
        case _:
            assert_never(event)
