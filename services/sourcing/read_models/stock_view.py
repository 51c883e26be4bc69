"""Stock and products as planning reads them.

Answers    what is free where, and what products weigh
Fed by     the stock ledger's feed and the catalog's, in the consumer's transaction
Staleness  the lag of those feeds; the ledger refuses what is no longer so
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from services.kernel.application.columns import packed, unnested
from services.kernel.application.work import Sql
from services.sourcing.domain.wishes import Product


@dataclass(frozen=True, slots=True)
class StockRow:
    """The free units of a product at a site, and where in the ledger's log that stands."""

    tenant: str
    sku: str
    site_id: str
    free: int
    version: int
    position: int


@dataclass(frozen=True, slots=True)
class Shelves:
    """Products by sku; free units, and the log positions that said so, by sku and site."""

    products: dict[str, Product] = field(default_factory=dict[str, Product])
    stock: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    positions: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])


async def keep_stock(rows: Iterable[StockRow], sql: Sql) -> None:
    """Write what the ledger said; of one product at one site the latest version stays."""
    latest: dict[tuple[str, str, str], StockRow] = {}
    for row in rows:
        key = row.tenant, row.sku, row.site_id
        if key not in latest or latest[key].version < row.version:
            latest[key] = row
    if not latest:
        return
    kept = [latest[key] for key in sorted(latest)]
    await sql.execute(
        "INSERT INTO stock_view AS t (tenant, sku, site_id, free, version, position)"
        f" SELECT * FROM {unnested('text text text bigint bigint bigint')}"
        " ON CONFLICT (tenant, sku, site_id) DO UPDATE SET free = excluded.free,"
        " version = excluded.version, position = excluded.position"
        " WHERE excluded.version > t.version",
        *packed(
            [
                (row.tenant, row.sku, row.site_id, row.free, row.version, row.position)
                for row in kept
            ]
        ),
    )


async def keep_products(rows: Iterable[tuple[str, Product, int]], sql: Sql) -> None:
    """Write products (tenant, product, version); the latest version stays."""
    latest: dict[tuple[str, str], tuple[str, Product, int]] = {}
    for row in rows:
        key = row[0], row[1].sku
        if key not in latest or latest[key][2] < row[2]:
            latest[key] = row
    if not latest:
        return
    kept = [latest[key] for key in sorted(latest)]
    await sql.execute(
        "INSERT INTO product_view AS t (tenant, sku, weight_g, temperature, version)"
        f" SELECT * FROM {unnested('text text int text bigint')}"
        " ON CONFLICT (tenant, sku) DO UPDATE SET weight_g = excluded.weight_g,"
        " temperature = excluded.temperature, version = excluded.version"
        " WHERE excluded.version > t.version",
        *packed(
            [
                (tenant, product.sku, product.weight_g, product.temperature, version)
                for tenant, product, version in kept
            ]
        ),
    )


async def shelves(tenant: str, skus: Iterable[str], sql: Sql) -> Shelves:
    """Return what is known of these products, everywhere; one query."""
    found = Shelves()
    for row in await sql.fetch(
        "SELECT w.sku, p.weight_g, p.temperature, s.sites, s.free, s.positions"
        " FROM unnest($2::text[]) AS w (sku)"
        " LEFT JOIN product_view p ON p.tenant = $1 AND p.sku = w.sku"
        " LEFT JOIN LATERAL (SELECT array_agg(v.site_id) AS sites, array_agg(v.free) AS free,"
        " array_agg(v.position) AS positions FROM stock_view v"
        " WHERE v.tenant = $1 AND v.sku = w.sku) s ON true",
        tenant,
        sorted(set(skus)),
    ):
        sku, weight_g, temperature, sites, free, positions = row
        if weight_g is not None:
            found.products[sku] = Product(sku, weight_g, temperature)
        if sites is not None:
            found.stock[sku] = dict(zip(sites, free, strict=True))
            found.positions[sku] = dict(zip(sites, positions, strict=True))
    return found
