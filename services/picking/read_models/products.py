"""What picking knows of products.

Answers    the product fields of PickingService.GetTask, and whose weight varies
Fed by     the catalog's feed, guarded by the version of the product's stream
Staleness  that of the feed
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from services.kernel.application.work import Sql


@dataclass(frozen=True, slots=True)
class ProductRow:
    """A product as the catalog last described it; enums by their number in the contract."""

    tenant: str
    sku: str
    name: str
    name_fr: str
    name_en: str
    category_path: tuple[str, ...]
    temperature: int
    unit: int
    barcode: str
    is_weight_variable: bool
    version: int


async def remember(products: Sequence[ProductRow], sql: Sql) -> None:
    """Write products; an older version than the one known changes nothing."""
    newest: dict[tuple[str, str], ProductRow] = {}
    for product in products:
        known = newest.get((product.tenant, product.sku))
        if known is None or product.version > known.version:
            newest[product.tenant, product.sku] = product
    rows = list(newest.values())
    if not rows:
        return
    await sql.execute(
        "INSERT INTO product AS p (tenant, sku, name, name_fr, name_en, category_path,"
        " temperature, unit, barcode, is_weight_variable, version)"
        # An array of arrays cannot be unnested by one level, so paths travel as JSON.
        " SELECT tenant, sku, name, name_fr, name_en,"
        " ARRAY(SELECT jsonb_array_elements_text(path::jsonb)), temperature, unit, barcode,"
        " is_weight_variable, version"
        " FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],"
        " $7::smallint[], $8::smallint[], $9::text[], $10::boolean[], $11::bigint[])"
        " AS r (tenant, sku, name, name_fr, name_en, path, temperature, unit, barcode,"
        " is_weight_variable, version)"
        " ON CONFLICT (tenant, sku) DO UPDATE SET name = excluded.name,"
        " name_fr = excluded.name_fr, name_en = excluded.name_en,"
        " category_path = excluded.category_path, temperature = excluded.temperature,"
        " unit = excluded.unit, barcode = excluded.barcode,"
        " is_weight_variable = excluded.is_weight_variable, version = excluded.version"
        " WHERE excluded.version > p.version",
        [p.tenant for p in rows],
        [p.sku for p in rows],
        [p.name for p in rows],
        [p.name_fr for p in rows],
        [p.name_en for p in rows],
        [json.dumps(p.category_path) for p in rows],
        [p.temperature for p in rows],
        [p.unit for p in rows],
        [p.barcode for p in rows],
        [p.is_weight_variable for p in rows],
        [p.version for p in rows],
    )


async def weight_variable(sql: Sql, *, tenant: str, skus: list[str]) -> frozenset[str]:
    """Return those of ``skus`` whose picked weight may differ from the ordered one."""
    rows = await sql.fetch(
        "SELECT sku FROM product WHERE tenant = $1 AND sku = ANY($2) AND is_weight_variable",
        tenant,
        skus,
    )
    return frozenset(row[0] for row in rows)
