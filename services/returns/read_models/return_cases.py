"""One row per return case, as a site or the customer service lists them.

Answers    ReturnsService.GetReturn, ReturnsService.ListReturns
Fed by     this service's own events
Staleness  seconds; a caller that just wrote passes ``min_version`` and waits
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never

from services.kernel.application.work import Sql
from services.kernel.domain.messages import Recorded, category_of
from services.kernel.read_models.read_model import ReadModel
from services.returns.domain import return_case
from services.returns.domain.return_case import (
    RETURN_CASE,
    CaseInspected,
    CaseOpened,
    CaseWithdrawn,
    RefundValidated,
    Status,
)

_COLUMNS = (
    "return_id, order_id, site_id, status, currency, lines, preview_minor, refunded_minor,"
    " clerk_id, reason, opened_at, version"
)


@dataclass(frozen=True, slots=True)
class ShownLine:
    """``disposition`` is empty until the inspection."""

    line_id: str
    sku: str
    quantity: int
    disposition: str


@dataclass(frozen=True, slots=True)
class ShownCase:
    return_id: str
    order_id: str
    site_id: str
    status: Status
    currency: str
    lines: tuple[ShownLine, ...]
    preview_minor: int
    refunded_minor: int | None
    clerk_id: str
    reason: str
    opened_at: datetime
    version: int


async def project(batch: Sequence[Recorded[Any]], sql: Sql) -> None:
    """Bring the table up to date; cases are few, so each event is a statement."""
    for recorded in batch:
        if category_of(recorded.stream) == RETURN_CASE.category:
            await _project_one(recorded, sql)


async def _project_one(recorded: Recorded[return_case.Event], sql: Sql) -> None:
    event, key = recorded.event, (recorded.tenant, recorded.key, recorded.version)
    match event:
        case CaseOpened():
            await sql.execute(
                "INSERT INTO return_case (tenant, return_id, version, order_id, site_id, status,"
                " currency, lines, preview_minor, opened_at)"
                " VALUES ($1, $2, $3, $4, $5, 'opened', $6, $7::jsonb, $8, $9)"
                " ON CONFLICT (tenant, return_id) DO NOTHING",
                *key,
                event.order_id,
                event.site_id,
                event.currency,
                _json([(line.line_id, line.sku, line.quantity, "") for line in event.lines]),
                sum(line.refund_minor for line in event.lines),
                recorded.recorded_at,
            )
        case CaseInspected():
            await sql.execute(
                "UPDATE return_case SET status = 'inspected', lines = $4::jsonb, version = $3"
                " WHERE tenant = $1 AND return_id = $2 AND version < $3",
                *key,
                _json(
                    [
                        (line.line_id, line.sku, line.quantity, line.disposition.value)
                        for line in event.lines
                    ]
                ),
            )
        case RefundValidated():
            await sql.execute(
                "UPDATE return_case SET status = 'refunded', refunded_minor = $4, clerk_id = $5,"
                " reason = $6, version = $3"
                " WHERE tenant = $1 AND return_id = $2 AND version < $3",
                *key,
                event.amount_minor,
                event.clerk_id,
                event.reason.replace("\0", ""),  # refused by now; no table can hold one
            )
        case CaseWithdrawn():
            await sql.execute(
                "UPDATE return_case SET status = 'withdrawn', reason = $4, version = $3"
                " WHERE tenant = $1 AND return_id = $2 AND version < $3",
                *key,
                event.reason,
            )
        case _:
            assert_never(event)


async def by_id(tenant: str, return_id: str, sql: Sql) -> ShownCase | None:
    """Return one case, or nothing."""
    row = await sql.fetchrow(
        f"SELECT {_COLUMNS} FROM return_case WHERE tenant = $1 AND return_id = $2",
        tenant,
        return_id,
    )
    return None if row is None else _shown(row)


async def page(
    sql: Sql,
    tenant: str,
    *,
    order_id: str,
    site_id: str,
    before: tuple[datetime, str] | None,
    limit: int,
) -> list[ShownCase]:
    """Return up to ``limit`` cases, newest first, older than ``before`` (opened_at, return_id)."""
    conditions: list[str] = ["tenant = $1"]
    args: list[Any] = [tenant, limit]
    for column, value in (("order_id", order_id), ("site_id", site_id)):
        if value:
            args.append(value)
            conditions.append(f"{column} = ${len(args)}")
    if before is not None:
        args += before
        conditions.append(f"(opened_at, return_id) < (${len(args) - 1}, ${len(args)})")
    rows = await sql.fetch(
        f"SELECT {_COLUMNS} FROM return_case WHERE {' AND '.join(conditions)}"
        " ORDER BY opened_at DESC, return_id DESC LIMIT $2",
        *args,
    )
    return [_shown(row) for row in rows]


def _json(lines: Sequence[tuple[str, str, int, str]]) -> str:
    return json.dumps(lines, separators=(",", ":"))


def _shown(row: Mapping[str, Any]) -> ShownCase:
    fields = dict(row)
    fields["status"] = Status(fields["status"])
    fields["lines"] = tuple(ShownLine(*line) for line in json.loads(fields["lines"]))
    return ShownCase(**fields)


RETURN_CASES = ReadModel("return_cases", ("return_case",), project)
