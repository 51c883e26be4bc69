"""Which sites there are.

Answers    whether goods may come back to a place; a site that takes no new orders still may
Fed by     the catalog's feed
Staleness  that of the feed
"""

from collections.abc import Collection

from services.kernel.application.columns import packed, unnested
from services.kernel.application.work import Sql


async def remember(sites: Collection[tuple[str, str]], sql: Sql) -> None:
    """Write pairs of tenant and site; once known, a site stays so."""
    if sites:
        await sql.execute(
            f"INSERT INTO known_site (tenant, site_id) SELECT * FROM {unnested('text text')}"
            " ON CONFLICT DO NOTHING",
            *packed(sorted(sites)),
        )


async def is_known(sql: Sql, tenant: str, site_id: str) -> bool:
    """Tell whether the catalog has told of the site."""
    found = await sql.fetchval(
        "SELECT 1 FROM known_site WHERE tenant = $1 AND site_id = $2", tenant, site_id
    )
    return found is not None
