"""What notification knows of products: their names, as the chain gives them.

Answers    how a message calls a product
Fed by     the catalog's feed, guarded by the version of the product's stream
Staleness  that of the feed; a product of which nothing was heard yet has no name
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from services.kernel.application.columns import packed, unnested
from services.kernel.application.work import Sql
from services.notification.domain.message import Text

type Product = tuple[str, str]
"""Tenant and sku."""


@dataclass(frozen=True, slots=True)
class NamedProduct:
    tenant: str
    sku: str
    name: str
    translations: Text
    version: int


async def remember(products: Sequence[NamedProduct], sql: Sql) -> None:
    """Write names; an older version than the one known changes nothing."""
    newest: dict[Product, NamedProduct] = {}
    for one in sorted(products, key=lambda product: product.version):
        newest[one.tenant, one.sku] = one
    if not newest:
        return
    rows = [
        (one.tenant, one.sku, one.name, one.translations.fr, one.translations.en, one.version)
        for one in newest.values()
    ]
    await sql.execute(
        "INSERT INTO product_name AS p (tenant, sku, name, name_fr, name_en, version)"
        f" SELECT * FROM {unnested('text text text text text bigint')}"
        " ON CONFLICT (tenant, sku) DO UPDATE SET name = excluded.name,"
        " name_fr = excluded.name_fr, name_en = excluded.name_en, version = excluded.version"
        " WHERE excluded.version > p.version",
        *packed(rows),
    )


async def names_of(products: Collection[Product], sql: Sql) -> Mapping[Product, Text]:
    """Return the names of those that are known, with one query for all.

    Where the catalog says nothing in a language, the one name stands.
    """
    if not products:
        return {}
    rows = await sql.fetch(
        "SELECT tenant, sku, name, name_fr, name_en FROM product_name"
        f" JOIN {unnested('text text')} AS n (tenant, sku) USING (tenant, sku)",
        *packed(sorted(products)),
    )
    return {
        (row["tenant"], row["sku"]): Text(
            row["name_fr"] or row["name"], row["name_en"] or row["name"]
        )
        for row in rows
    }
