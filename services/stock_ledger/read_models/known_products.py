"""Names and categories of products.

Answers    which category rules concern a product; what the stock page calls it
Fed by     the catalog's feed
"""

from collections.abc import Sequence
from dataclasses import dataclass

from services.kernel.application.work import Sql


@dataclass(frozen=True, slots=True)
class KnownProduct:
    """Attributes: ``translations`` are names in other languages, to be found by."""

    tenant: str
    sku: str
    name: str
    category_path: tuple[str, ...]
    translations: tuple[str, ...]
    version: int


async def remember(products: Sequence[KnownProduct], sql: Sql) -> None:
    """Keep the newest version of each; arrays in arrays do not pass ``unnest``, so one by one."""
    newest = {(one.tenant, one.sku): one for one in products}
    await sql.executemany(
        "INSERT INTO known_product AS t (tenant, sku, name, category_path, translations, version)"
        " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant, sku) DO UPDATE SET"
        " name = excluded.name, category_path = excluded.category_path,"
        " translations = excluded.translations,"
        " version = excluded.version WHERE excluded.version > t.version",
        [
            (
                *(one.tenant, one.sku, one.name),
                *(list(one.category_path), list(one.translations), one.version),
            )
            for one in newest.values()
        ],
    )
