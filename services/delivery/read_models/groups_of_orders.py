"""Which handovers and shipments belong to an order: a cancellation names the order only.

Answers    what a heard cancellation concerns
Fed by     order's feed, in the unit of work that expects the groups
Staleness  none
"""

from collections.abc import Sequence

from services.kernel.application.columns import packed, unnested
from services.kernel.application.work import Sql


async def remember(groups: Sequence[tuple[str, str, str, str]], sql: Sql) -> None:
    """Write (tenant, order, group, kind); what is known already stays."""
    if groups:
        await sql.execute(
            "INSERT INTO group_of_order (tenant, order_id, group_id, kind)"
            f" SELECT * FROM {unnested('text text text text')}"
            " ON CONFLICT DO NOTHING",
            *packed(groups),
        )


async def of_order(sql: Sql, *, tenant: str, order_id: str) -> list[tuple[str, str]]:
    """Return (group, kind) of an order, in a fixed order."""
    rows = await sql.fetch(
        "SELECT group_id, kind FROM group_of_order WHERE tenant = $1 AND order_id = $2"
        " ORDER BY group_id, kind",
        *(tenant, order_id),
    )
    return [(row[0], row[1]) for row in rows]
