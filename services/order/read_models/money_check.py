"""Whether the money adds up: what was captured and given back, order by order.

Answers    ``oms verify``: I5
Fed by     nothing of its own; reads ``order_summary``
"""

from services.kernel.application.work import Sql

_MOST_SHOWN = 20


async def money_violations(sql: Sql) -> list[str]:
    """Return one sentence per order that captured more than was agreed or gave back too much."""
    rows = await sql.fetch(
        "SELECT tenant, order_id, status, total_minor, captured_minor, refunded_minor"
        " FROM order_summary WHERE captured_minor > total_minor OR refunded_minor > captured_minor"
        " OR captured_minor < 0 OR refunded_minor < 0"
        " OR (status IN ('refused', 'placed') AND captured_minor <> 0)"
        " ORDER BY tenant, order_id LIMIT $1",
        _MOST_SHOWN,
    )
    return [
        f"{row[0]} order {row[1]} ({row[2]}): agreed {row[3]}, captured {row[4]}, refunded {row[5]}"
        for row in rows
    ]
