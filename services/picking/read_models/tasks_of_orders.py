"""Which tasks belong to an order: a cancellation names the order only.

Answers    what a heard cancellation concerns
Fed by     the order's feed, in the unit of work that releases the tasks
Staleness  none
"""

from collections.abc import Sequence

from services.kernel.application.columns import packed, unnested
from services.kernel.application.work import Sql


async def remember(tasks: Sequence[tuple[str, str, str]], sql: Sql) -> None:
    """Write (tenant, order, task); what is known already stays."""
    if tasks:
        await sql.execute(
            "INSERT INTO task_of_order (tenant, order_id, task_id)"
            f" SELECT * FROM {unnested('text text text')} ON CONFLICT DO NOTHING",
            *packed(tasks),
        )


async def of_order(sql: Sql, *, tenant: str, order_id: str) -> list[str]:
    """Return the tasks of an order, in the order of their ids."""
    rows = await sql.fetch(
        "SELECT task_id FROM task_of_order WHERE tenant = $1 AND order_id = $2 ORDER BY task_id",
        tenant,
        order_id,
    )
    return [row[0] for row in rows]
