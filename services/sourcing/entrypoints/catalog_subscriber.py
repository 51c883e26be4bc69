"""What sourcing hears of the catalog: products, sites, circles and modes, kept as rows."""

from collections.abc import Sequence

from oms.catalog.v1.catalog_events_pb2 import CatalogEvent

from services.kernel.application.feeds import Envelope
from services.kernel.application.work import Work
from services.sourcing.domain.wishes import Product
from services.sourcing.entrypoints import translation
from services.sourcing.read_models.network_view import PartRow, keep_parts
from services.sourcing.read_models.stock_view import keep_products


async def take_in_catalog(batch: Sequence[tuple[CatalogEvent, Envelope]], work: Work) -> None:
    """Take in the batch's products, sites, circles and modes at once."""
    products: list[tuple[str, Product, int]] = []
    parts: list[PartRow] = []
    for event, envelope in batch:
        tenant, version = envelope.tenant, envelope.stream_version
        match event.WhichOneof("event"):
            case "product_upserted":
                product = translation.product(event.product_upserted.product)
                products.append((tenant, product, version))
            case "site_upserted":
                site = translation.site(event.site_upserted.site)
                parts.append(PartRow(tenant, site, version))
            case "extended_site_upserted":
                extended = event.extended_site_upserted.extended_site
                parts.append(PartRow(tenant, translation.extended_site(extended), version))
            case "sales_zone_upserted":
                zone = translation.sales_zone(event.sales_zone_upserted.sales_zone)
                parts.append(PartRow(tenant, zone, version))
            case "mode_published":
                mode = translation.mode(event.mode_published.mode)
                parts.append(PartRow(tenant, mode, version))
            case None:
                pass  # an event newer than this consumer
    await keep_products(products, work.sql)
    await keep_parts(parts, work.sql)


async def known_already(_: CatalogEvent, __: Envelope, ___: Work) -> None:
    """Nothing is left to do: the batch was taken in at once."""
