"""Extended sites and sales zones as they are now.

Answers    CatalogService.GetExtendedSite, ListExtendedSites, ListSalesZones
Fed by     this service's own events, in the order of its log
Staleness  milliseconds
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from services.catalog.domain.extended_site import ExtendedSite, ExtendedSiteUpserted
from services.catalog.domain.sales_zone import SalesZone, SalesZoneUpserted
from services.kernel.application.work import Sql
from services.kernel.domain.messages import Recorded
from services.kernel.read_models.read_model import ReadModel

type _Newest = dict[tuple[str, str], tuple[int, str]]

_decode_extended_site = msgspec.json.Decoder(ExtendedSite).decode
_decode_sales_zone = msgspec.json.Decoder(SalesZone).decode
_encode = msgspec.json.Encoder().encode


async def project(batch: Sequence[Recorded[Any]], sql: Sql) -> None:
    """Bring both tables up to date; safe to repeat, the version guards them."""
    extended_sites: _Newest = {}
    sales_zones: _Newest = {}
    for recorded in batch:
        at = recorded.tenant, recorded.key
        match recorded.event:
            case ExtendedSiteUpserted(extended_site):
                extended_sites[at] = recorded.version, _encode(extended_site).decode()
            case SalesZoneUpserted(sales_zone):
                sales_zones[at] = recorded.version, _encode(sales_zone).decode()
            case _:
                pass  # another read model's
    await _write("extended_site", extended_sites, sql)
    await _write("sales_zone", sales_zones, sql)


async def _write(table: str, newest: Mapping[tuple[str, str], tuple[int, str]], sql: Sql) -> None:
    if not newest:
        return
    await sql.execute(
        f"INSERT INTO {table} AS t (tenant, {table}_id, content, version)"
        " SELECT tenant, id, content::jsonb, version"
        " FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])"
        " AS r (tenant, id, content, version)"
        f" ON CONFLICT (tenant, {table}_id) DO UPDATE SET content = excluded.content,"
        " version = excluded.version WHERE excluded.version > t.version",
        [tenant for tenant, _ in newest],
        [key for _, key in newest],
        [content for _, content in newest.values()],
        [version for version, _ in newest.values()],
    )


CIRCLES = ReadModel("circles", ("extended_site", "sales_zone"), project)


async def get_extended_site(
    sql: Sql, *, tenant: str, extended_site_id: str
) -> tuple[ExtendedSite, int] | None:
    row = await sql.fetchrow(
        "SELECT content, version FROM extended_site WHERE tenant = $1 AND extended_site_id = $2",
        *(tenant, extended_site_id),
    )
    return None if row is None else (_decode_extended_site(row[0]), row[1])


async def extended_sites(sql: Sql, *, tenant: str, after: str, limit: int) -> list[ExtendedSite]:
    rows = await sql.fetch(
        "SELECT content FROM extended_site WHERE tenant = $1 AND extended_site_id > $2"
        " ORDER BY extended_site_id LIMIT $3",
        *(tenant, after, limit),
    )
    return [_decode_extended_site(row[0]) for row in rows]


async def sales_zones(sql: Sql, *, tenant: str, after: str, limit: int) -> list[SalesZone]:
    rows = await sql.fetch(
        "SELECT content FROM sales_zone WHERE tenant = $1 AND sales_zone_id > $2"
        " ORDER BY sales_zone_id LIMIT $3",
        *(tenant, after, limit),
    )
    return [_decode_sales_zone(row[0]) for row in rows]
