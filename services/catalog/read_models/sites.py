"""Sites as they are now, and the nearest ones that hand over.

Answers    CatalogService.GetSite, ListSites, FindPickupPoints
Fed by     this service's own events, in the order of its log
Staleness  milliseconds
"""

import json
from collections.abc import Sequence
from math import asin, cos, radians, sin, sqrt
from typing import Any

import msgspec

from services.catalog.domain.site import Site, SiteUpserted
from services.catalog.domain.values import Position
from services.kernel.application.work import Sql
from services.kernel.domain.messages import Recorded
from services.kernel.read_models.read_model import ReadModel

_EARTH_RADIUS_M = 6_371_009
_SHORTEST_PREFIX = 2

_decode = msgspec.json.Decoder(Site).decode
_encode = msgspec.json.Encoder().encode


async def project(batch: Sequence[Recorded[Any]], sql: Sql) -> None:
    """Bring the table up to date; safe to repeat, the version guards it."""
    newest: dict[tuple[str, str], tuple[int, Site]] = {}
    for recorded in batch:
        if isinstance(recorded.event, SiteUpserted):
            newest[recorded.tenant, recorded.key] = recorded.version, recorded.event.site
    if not newest:
        return
    await sql.execute(
        "INSERT INTO site AS s (tenant, site_id, type, postcode, latitude_e6, longitude_e6,"
        " is_active, content, version)"
        " SELECT tenant, site_id, type, postcode, latitude_e6, longitude_e6, is_active,"
        " content::jsonb, version FROM unnest($1::text[], $2::text[], $3::text[], $4::text[],"
        " $5::integer[], $6::integer[], $7::boolean[], $8::text[], $9::bigint[])"
        " AS r (tenant, site_id, type, postcode, latitude_e6, longitude_e6, is_active, content,"
        " version)"
        " ON CONFLICT (tenant, site_id) DO UPDATE SET type = excluded.type,"
        " postcode = excluded.postcode, latitude_e6 = excluded.latitude_e6,"
        " longitude_e6 = excluded.longitude_e6, is_active = excluded.is_active,"
        " content = excluded.content, version = excluded.version"
        " WHERE excluded.version > s.version",
        [tenant for tenant, _ in newest],
        [site_id for _, site_id in newest],
        [site.type.value for _, site in newest.values()],
        [site.postcode for _, site in newest.values()],
        [site.position.latitude_e6 for _, site in newest.values()],
        [site.position.longitude_e6 for _, site in newest.values()],
        [site.is_active for _, site in newest.values()],
        [_encode(site).decode() for _, site in newest.values()],
        [version for version, _ in newest.values()],
    )


SITES = ReadModel("sites", ("site",), project)


async def get(sql: Sql, *, tenant: str, site_id: str) -> tuple[Site, int] | None:
    row = await sql.fetchrow(
        "SELECT content, version FROM site WHERE tenant = $1 AND site_id = $2", tenant, site_id
    )
    return None if row is None else (_decode(row[0]), row[1])


async def page(sql: Sql, *, tenant: str, after: str, limit: int, site_type: str) -> list[Site]:
    """Return up to ``limit`` sites with an id above ``after``; no type means every type."""
    rows = await sql.fetch(
        "SELECT content FROM site WHERE tenant = $1 AND site_id > $2 AND ($3 = '' OR type = $3)"
        " ORDER BY site_id LIMIT $4",
        *(tenant, after, site_type, limit),
    )
    return [_decode(row[0]) for row in rows]


async def position_of(
    sql: Sql, *, tenant: str, postcode: str, country: str = ""
) -> Position | None:
    """Return the middle of the sites whose postcode begins like ``postcode`` the longest.

    Of those that are in the country, or do not say in which; no country means any.
    """
    for length in range(len(postcode), _SHORTEST_PREFIX - 1, -1):
        row = await sql.fetchrow(
            "SELECT avg(latitude_e6)::integer, avg(longitude_e6)::integer FROM site"
            " WHERE tenant = $1 AND starts_with(postcode, $2)"
            " AND ($3 = '' OR coalesce(content->>'country', '') IN ('', $3))",
            *(tenant, postcode[:length], country),
        )
        if row[0] is not None:
            return Position(row[0], row[1])
    return None


async def nearest(
    sql: Sql, *, tenant: str, near: Position, mode_id: str, limit: int
) -> list[tuple[Site, int]]:
    """Return active sites that hand over (in that mode), with metres from ``near``."""
    wanted: dict[str, object] = {"can_hand_over": True}
    if mode_id:
        wanted["mode_id"] = mode_id
    rows = await sql.fetch(
        # On the scale of a shopping trip the earth is flat, meridians converging with latitude.
        "SELECT content FROM site WHERE tenant = $1 AND is_active"
        " AND content->'capabilities' @> $4::jsonb"
        " ORDER BY power((latitude_e6 - $2::integer)::float8, 2)"
        " + power(least(abs(longitude_e6::float8 - $3::integer),"
        " 360e6 - abs(longitude_e6::float8 - $3::integer)) * cos(radians($2::integer / 1e6)), 2),"
        " site_id LIMIT $5",
        *(tenant, near.latitude_e6, near.longitude_e6, json.dumps([wanted]), limit),
    )
    sites: list[Site] = [_decode(row[0]) for row in rows]
    return [(site, distance_m(near, site.position)) for site in sites]


def distance_m(a: Position, b: Position) -> int:
    """Return metres along the great circle (haversine)."""
    lat_a, lat_b = radians(a.latitude_e6 / 1e6), radians(b.latitude_e6 / 1e6)
    d_lon = radians((b.longitude_e6 - a.longitude_e6) / 1e6)
    h = sin((lat_b - lat_a) / 2) ** 2 + cos(lat_a) * cos(lat_b) * sin(d_lon / 2) ** 2
    return round(2 * _EARTH_RADIUS_M * asin(min(1.0, sqrt(h))))
