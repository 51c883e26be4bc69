"""The tasks of a site and their pick lists: one row per task, one per line.

Answers    PickingService.ListTasks, GetTask and, as a first guess, ClaimNext
Fed by     this service's own events, in the order of its log
Staleness  milliseconds; GetTask can wait for the version that a command returned
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from services.kernel.application.work import Sql
from services.kernel.domain.messages import Recorded
from services.kernel.read_models.read_model import ReadModel
from services.picking.domain.pick_task_events import (
    Event,
    LinePicked,
    LinePutBack,
    LineShorted,
    PickCompleted,
    TaskCancelled,
    TaskClaimed,
    TaskReleased,
    TaskUnclaimed,
)
from services.picking.read_models.task_rows import LineRow, TaskRow, rows_of, write

OPEN, CLAIMED, COMPLETED = "open", "claimed", "completed"
PUTTING_BACK, CANCELLED = "putting_back", "cancelled"
STATUSES = (OPEN, CLAIMED, COMPLETED, PUTTING_BACK, CANCELLED)


@dataclass(frozen=True, slots=True)
class QueuedTask:
    """A task as the queue shows it."""

    task_id: str
    order_id: str
    site_id: str
    status: str
    picker_id: str
    line_count: int
    accounted_line_count: int
    released_at: datetime
    released_position: int
    promised_at: datetime | None
    version: int


@dataclass(frozen=True, slots=True)
class ListedLine:
    """A line as the pick list shows it; product fields are empty while the catalog is silent."""

    line_id: str
    sku: str
    product_name: str
    name_fr: str
    name_en: str
    category_path: tuple[str, ...]
    temperature: int
    unit: int
    barcode: str
    is_weight_variable: bool
    ordered_quantity: int
    picked_quantity: int
    short_quantity: int
    put_back_quantity: int
    short_reason: str


async def project(batch: Sequence[Recorded[Event]], sql: Sql) -> None:
    """Bring both tables up to date with a batch; a repeat changes nothing, versions guard it."""
    tasks = await rows_of({(recorded.tenant, recorded.key) for recorded in batch}, sql)
    dirty_tasks: dict[tuple[str, str], TaskRow] = {}
    dirty_lines: dict[tuple[str, str, str], LineRow] = {}
    for recorded in batch:
        key = recorded.tenant, recorded.key
        row = tasks.get(key)
        if row is None and isinstance(recorded.event, TaskReleased):
            row = tasks[key] = _released(recorded, recorded.event)
            dirty_lines |= {(*key, line_id): line for line_id, line in row.lines.items()}
        elif row is None or recorded.version <= row.version:
            continue
        else:
            for line in _apply(recorded.event, row):
                line.version = recorded.version
                dirty_lines[*key, line.line_id] = line
            row.version = recorded.version
        dirty_tasks[key] = row
    await write(list(dirty_tasks.values()), list(dirty_lines.values()), sql)


def _released(recorded: Recorded[Event], event: TaskReleased) -> TaskRow:
    lines = {
        line.line_id: LineRow(
            recorded.tenant,
            recorded.key,
            line.line_id,
            line.sku,
            line.quantity,
            version=recorded.version,
        )
        for line in event.lines
    }
    return TaskRow(
        tenant=recorded.tenant,
        task_id=recorded.key,
        order_id=event.order_id,
        site_id=event.site_id,
        status=OPEN,
        picker_id="",
        claim_id="",
        line_count=len(lines),
        accounted_line_count=0,
        released_at=recorded.recorded_at,
        released_position=recorded.position,
        promised_at=event.promised_at,
        version=recorded.version,
        lines=lines,
    )


def _apply(event: Event, row: TaskRow) -> Sequence[LineRow]:  # noqa: PLR0911 - one per event
    """Change ``row``; return the lines that changed with it."""
    match event:
        case TaskReleased():
            return ()  # the row is there already
        case TaskClaimed(_, _, picker_id, claim_id):
            row.status, row.picker_id, row.claim_id = CLAIMED, picker_id, claim_id
            return ()
        case TaskUnclaimed():
            row.status, row.picker_id, row.claim_id = OPEN, "", ""
            return ()
        case LinePicked(_, _, _, _, line_id, _, quantity, is_enough):
            line = row.lines[line_id]
            was_accounted = line.is_accounted
            line.picked_quantity += quantity
            line.is_enough = line.is_enough or is_enough
            row.accounted_line_count += line.is_accounted and not was_accounted
            return (line,)
        case LineShorted(_, _, _, _, line_id, _, quantity, reason):
            line = row.lines[line_id]
            was_accounted = line.is_accounted
            line.short_quantity += quantity
            line.short_reason = reason.value
            row.accounted_line_count += line.is_accounted and not was_accounted
            return (line,)
        case PickCompleted():
            row.status = COMPLETED
            return ()
        case TaskCancelled():
            row.status = _status_of_cancelled(row)
            return ()
        case LinePutBack(_, _, _, _, line_id, _, quantity):
            line = row.lines[line_id]
            line.put_back_quantity += quantity
            row.status = _status_of_cancelled(row)
            return (line,)
        case _:
            assert_never(event)


def _status_of_cancelled(row: TaskRow) -> str:
    out = any(line.picked_quantity > line.put_back_quantity for line in row.lines.values())
    return PUTTING_BACK if out else CANCELLED


TASK_QUEUE = ReadModel("task_queue", ("task_queue", "pick_list"), project)

_SUMMARY = (
    "SELECT task_id, order_id, site_id, status, picker_id, line_count, accounted_line_count,"
    " released_at, released_position, promised_at, version FROM task_queue"
)


async def of_site(
    sql: Sql, *, tenant: str, site_id: str, status: str, after_position: int, limit: int
) -> list[QueuedTask]:
    """Return tasks of a site, oldest first, those after ``after_position``; '' is any status."""
    rows = await sql.fetch(
        f"{_SUMMARY} WHERE tenant = $1 AND site_id = $2 AND released_position > $3"
        f"{' AND status = $5' if status else ''} ORDER BY released_position LIMIT $4",
        *(tenant, site_id, after_position, limit),
        *((status,) if status else ()),
    )
    return [QueuedTask(*row) for row in rows]


async def of_id(
    sql: Sql, *, tenant: str, task_id: str
) -> tuple[QueuedTask, list[ListedLine]] | None:
    """Return a task and its pick list in walking order; ``None`` when there is no such task.

    Ambient before chilled before frozen, so that cold goods are out of the cold as short as
    possible; a product whose temperature is not known yet goes first, with the ambient ones.
    """
    row = await sql.fetchrow(f"{_SUMMARY} WHERE tenant = $1 AND task_id = $2", tenant, task_id)
    if row is None:
        return None
    lines = await sql.fetch(
        "SELECT l.line_id, l.sku, coalesce(p.name, l.sku), coalesce(p.name_fr, ''),"
        " coalesce(p.name_en, ''), coalesce(p.category_path, '{}'),"
        " coalesce(p.temperature, 0), coalesce(p.unit, 0), coalesce(p.barcode, ''),"
        " coalesce(p.is_weight_variable, false), l.ordered_quantity, l.picked_quantity,"
        " l.short_quantity, l.put_back_quantity, l.short_reason"
        " FROM pick_list l LEFT JOIN product p ON p.tenant = l.tenant AND p.sku = l.sku"
        " WHERE l.tenant = $1 AND l.task_id = $2"
        " ORDER BY coalesce(p.temperature, 0), p.category_path, l.sku, l.line_id",
        tenant,
        task_id,
    )
    return QueuedTask(*row), [
        ListedLine(line[0], line[1], line[2], line[3], line[4], tuple(line[5]), *line[6:])
        for line in lines
    ]


async def to_claim(sql: Sql, *, tenant: str, site_id: str, claim_id: str, limit: int) -> list[str]:
    """Return the task that this claim took before, if any, then open ones, oldest first."""
    rows = await sql.fetch(
        "SELECT task_id FROM ("
        " (SELECT task_id, 0 AS place, 0 AS released_position FROM task_queue"
        "   WHERE tenant = $1 AND claim_id = $3 AND claim_id <> '' LIMIT 1)"
        " UNION ALL"
        " (SELECT task_id, 1, released_position FROM task_queue"
        "   WHERE tenant = $1 AND site_id = $2 AND status = 'open'"
        "   ORDER BY released_position LIMIT $4)"
        ") AS candidate ORDER BY place, released_position",
        tenant,
        site_id,
        claim_id,
        limit,
    )
    return [row[0] for row in rows]
