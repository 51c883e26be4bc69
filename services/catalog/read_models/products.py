"""Products as they are now.

Answers    CatalogService.GetProduct, ListProducts
Fed by     this service's own events, in the order of its log
Staleness  milliseconds
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import msgspec

from services.catalog.domain.product import Product, ProductUpserted
from services.kernel.application.work import Sql
from services.kernel.domain.messages import Recorded
from services.kernel.read_models.read_model import ReadModel

_LEVEL_END = "\x1f"
_SPACE = re.compile(r"\s")

_decode = msgspec.json.Decoder(Product).decode
_encode = msgspec.json.Encoder().encode


async def project(batch: Sequence[Recorded[Any]], sql: Sql) -> None:
    """Bring the table up to date; safe to repeat, the version guards it."""
    newest: dict[tuple[str, str], tuple[int, Product]] = {}
    for recorded in batch:
        if isinstance(recorded.event, ProductUpserted):
            newest[recorded.tenant, recorded.key] = recorded.version, recorded.event.product
    if not newest:
        return
    await sql.execute(
        "INSERT INTO product AS p (tenant, sku, category, search, content, version)"
        " SELECT tenant, sku, category, search, content::jsonb, version"
        " FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[])"
        " AS r (tenant, sku, category, search, content, version)"
        " ON CONFLICT (tenant, sku) DO UPDATE SET category = excluded.category,"
        " search = excluded.search, content = excluded.content, version = excluded.version"
        " WHERE excluded.version > p.version",
        [tenant for tenant, _ in newest],
        [sku for _, sku in newest],
        [_levels(product.category_path) for _, product in newest.values()],
        [_searched(product) for _, product in newest.values()],
        [_encode(product).decode() for _, product in newest.values()],
        [version for version, _ in newest.values()],
    )


PRODUCTS = ReadModel("products", ("product",), project)


async def get(sql: Sql, *, tenant: str, sku: str) -> tuple[Product, int] | None:
    row = await sql.fetchrow(
        "SELECT content, version FROM product WHERE tenant = $1 AND sku = $2", tenant, sku
    )
    return None if row is None else (_decode(row[0]), row[1])


async def page(
    sql: Sql,
    *,
    tenant: str,
    after: str,
    limit: int,
    category_prefix: Sequence[str],
    text: str,
    skus: Sequence[str],
) -> list[Product]:
    """Return up to ``limit`` products with a sku above ``after``; of ``skus`` only, if any."""
    rows = await sql.fetch(
        "SELECT content FROM product WHERE tenant = $1 AND sku > $2"
        " AND starts_with(category, $3) AND strpos(search, $4) > 0"
        " AND (cardinality($5::text[]) = 0 OR sku = ANY($5)) ORDER BY sku LIMIT $6",
        *(tenant, after, _levels(category_prefix), folded(text), list(skus), limit),
    )
    return [_decode(row[0]) for row in rows]


def _searched(product: Product) -> str:
    """Return all that a search may find the product by."""
    names = {product.name, product.localized_name.fr, product.localized_name.en} - {""}
    return folded(" ".join((*sorted(names), product.sku, product.barcode)))


def folded(text: str) -> str:
    """Return ``text`` without case and accents, for comparison."""
    parts = unicodedata.normalize("NFKD", text.replace("œ", "oe").replace("Œ", "oe").casefold())
    return "".join(c for c in parts if not unicodedata.combining(c))


def _levels(path: Sequence[str]) -> str:
    """Return the levels in one text, every kind of space as the common one."""
    return "".join(_SPACE.sub(" ", level) + _LEVEL_END for level in path)
