"""What the stock ledger hears of the catalog: what products are called, and where they belong."""

from collections.abc import Sequence

from oms.catalog.v1.catalog_events_pb2 import CatalogEvent
from oms.common.v1.common_pb2 import LocalizedText

from services.kernel.application.feeds import Envelope
from services.kernel.application.work import Work
from services.stock_ledger.read_models.known_products import KnownProduct, remember


async def prepare_catalog(batch: Sequence[tuple[CatalogEvent, Envelope]], work: Work) -> None:
    """Keep what products are called and where they belong, for the whole batch at once."""
    products = [
        KnownProduct(
            envelope.tenant,
            event.product_upserted.product.sku,
            event.product_upserted.product.name,
            tuple(event.product_upserted.product.category_path),
            _translations(event.product_upserted.product.localized_name),
            envelope.stream_version,
        )
        for event, envelope in batch
        if event.WhichOneof("event") == "product_upserted"
    ]
    await remember(products, work.sql)


def _translations(name: LocalizedText) -> tuple[str, ...]:
    return tuple(text for text in (name.fr, name.en) if text)


async def hear_catalog(event: CatalogEvent, envelope: Envelope, work: Work) -> None:
    """Everything is written in ``prepare_catalog``."""
