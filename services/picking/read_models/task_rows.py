"""The rows of the task queue: as a batch of events changes them, and as they are stored."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from services.kernel.application.columns import packed, unnested
from services.kernel.application.work import Sql

_TASK = "text text text text text text text integer integer timestamptz bigint timestamptz bigint"


@dataclass(slots=True)
class LineRow:
    """A line's row while a batch is applied to it."""

    tenant: str
    task_id: str
    line_id: str
    sku: str
    ordered_quantity: int
    picked_quantity: int = 0
    short_quantity: int = 0
    put_back_quantity: int = 0
    short_reason: str = ""
    version: int = 0
    is_enough: bool = False

    @property
    def is_accounted(self) -> bool:
        found = self.picked_quantity + self.short_quantity
        return self.is_enough or found >= self.ordered_quantity


@dataclass(slots=True)
class TaskRow:
    """A task's row while a batch is applied to it."""

    tenant: str
    task_id: str
    order_id: str
    site_id: str
    status: str
    picker_id: str
    claim_id: str
    line_count: int
    accounted_line_count: int
    released_at: datetime
    released_position: int
    promised_at: datetime | None
    version: int
    lines: dict[str, LineRow] = field(default_factory=dict[str, LineRow])


async def rows_of(keys: set[tuple[str, str]], sql: Sql) -> dict[tuple[str, str], TaskRow]:
    tenants, task_ids = [tenant for tenant, _ in keys], [task_id for _, task_id in keys]
    tasks = {
        (row[0], row[1]): TaskRow(*row)
        for row in await sql.fetch(
            "SELECT t.tenant, t.task_id, t.order_id, t.site_id, t.status, t.picker_id, t.claim_id,"
            " t.line_count, t.accounted_line_count, t.released_at, t.released_position,"
            " t.promised_at, t.version"
            " FROM task_queue t JOIN unnest($1::text[], $2::text[]) AS k (tenant, task_id)"
            " ON t.tenant = k.tenant AND t.task_id = k.task_id",
            tenants,
            task_ids,
        )
    }
    if not tasks:
        return tasks
    for row in await sql.fetch(
        "SELECT l.tenant, l.task_id, l.line_id, l.sku, l.ordered_quantity, l.picked_quantity,"
        " l.short_quantity, l.put_back_quantity, l.short_reason, l.version, l.is_enough"
        " FROM pick_list l JOIN unnest($1::text[], $2::text[]) AS k (tenant, task_id)"
        " ON l.tenant = k.tenant AND l.task_id = k.task_id",
        [tenant for tenant, _ in tasks],
        [task_id for _, task_id in tasks],
    ):
        line = LineRow(*row)
        tasks[line.tenant, line.task_id].lines[line.line_id] = line
    return tasks


async def write(tasks: Sequence[TaskRow], lines: Sequence[LineRow], sql: Sql) -> None:
    """Store rows, unless newer ones are there."""
    if tasks:
        await _write_tasks(tasks, sql)
    if lines:
        await _write_lines(lines, sql)


async def _write_tasks(tasks: Sequence[TaskRow], sql: Sql) -> None:
    await sql.execute(
        "INSERT INTO task_queue AS t (tenant, task_id, order_id, site_id, status, picker_id,"
        " claim_id, line_count, accounted_line_count, released_at, released_position,"
        " promised_at, version)"
        f" SELECT * FROM {unnested(_TASK)}"
        " ON CONFLICT (tenant, task_id) DO UPDATE SET status = excluded.status,"
        " picker_id = excluded.picker_id, claim_id = excluded.claim_id,"
        " accounted_line_count = excluded.accounted_line_count, version = excluded.version"
        " WHERE excluded.version > t.version",
        *packed(
            [
                (
                    t.tenant,
                    t.task_id,
                    t.order_id,
                    t.site_id,
                    t.status,
                    t.picker_id,
                    t.claim_id,
                    t.line_count,
                    t.accounted_line_count,
                    t.released_at,
                    t.released_position,
                    t.promised_at,
                    t.version,
                )
                for t in tasks
            ]
        ),
    )


async def _write_lines(lines: Sequence[LineRow], sql: Sql) -> None:
    await sql.execute(
        "INSERT INTO pick_list AS l (tenant, task_id, line_id, sku, ordered_quantity,"
        " picked_quantity, short_quantity, put_back_quantity, short_reason, version, is_enough)"
        " SELECT * FROM "
        f"{unnested('text text text text bigint bigint bigint bigint text bigint boolean')}"
        " ON CONFLICT (tenant, task_id, line_id) DO UPDATE SET"
        " picked_quantity = excluded.picked_quantity,"
        " short_quantity = excluded.short_quantity,"
        " put_back_quantity = excluded.put_back_quantity,"
        " short_reason = excluded.short_reason, version = excluded.version,"
        " is_enough = excluded.is_enough"
        " WHERE excluded.version > l.version",
        *packed(
            [
                (
                    line.tenant,
                    line.task_id,
                    line.line_id,
                    line.sku,
                    line.ordered_quantity,
                    line.picked_quantity,
                    line.short_quantity,
                    line.put_back_quantity,
                    line.short_reason,
                    line.version,
                    line.is_enough,
                )
                for line in lines
            ]
        ),
    )
