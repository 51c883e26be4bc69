"""Which reservations there are or ever were, from the log itself.

Answers    whether an id that somebody reserves under is new
Reads      the log: one look into its index per id
Staleness  none
"""

from collections.abc import Sequence

from services.kernel.application.columns import pack
from services.kernel.application.work import Sql
from services.kernel.domain.messages import key_of, stream_id


async def begun(sql: Sql, tenant: str, ids: Sequence[str]) -> frozenset[str]:
    """Return those of the ids, at least one, whose stream has begun."""
    rows = await sql.fetch(
        "SELECT originator_id FROM events WHERE originator_id = ANY(unpacked($1))"
        " AND originator_version = 1",
        pack([stream_id(tenant, "reservation", reservation_id) for reservation_id in ids]),
    )
    return frozenset([key_of(row[0]) for row in rows])
