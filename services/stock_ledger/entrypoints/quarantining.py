"""Rows in quarantine: how their lines are numbered, and how they are shown."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from oms.stock_ledger.v1 import stock_feed_service_pb2 as wire

from services.kernel.domain.errors import Invalid
from services.stock_ledger.entrypoints import translation as to
from services.stock_ledger.read_models.quarantine import QuarantinedRow

MOST_LINE = 10**12
_MOST_TEXT = 500
_REASON = re.compile(r"[A-Z][A-Z_]{0,63}")
_UNREADABLE = "UNREADABLE"


def expect_lines(lines: Iterable[int]) -> None:
    """Refuse a number that no file has a line of: a page of quarantine begins at one."""
    if not all(0 <= line <= MOST_LINE for line in lines):
        raise Invalid(("lines", f"must be 0 to {MOST_LINE}"))


def in_parts(rows: Sequence[QuarantinedRow], call_id: str = "") -> list[QuarantinedRow]:
    """Tell rows of one line apart, the same way when the same call comes again.

    Args:
        rows: Of one call, in its order.
        call_id: Of a call that numbers no lines: another one's rows are other rows.
    """
    if call_id:
        return [replace(row, part=call_id) for row in rows]
    counted = Counter[int]()
    parts = []
    for row in rows:
        counted[row.line] += 1
        parts.append(replace(row, part=str(counted[row.line])))
    return parts


def reported(
    request: wire.ReportUnreadableRowsRequest, source: str, now: datetime
) -> list[QuarantinedRow]:
    """Return what a caller could not read, or was refused, as it is kept."""
    is_numbered = any(row.line for row in request.rows)
    rows = []
    for n, row in enumerate(request.rows):
        reason = row.reason or _UNREADABLE
        if not _REASON.fullmatch(reason):
            raise Invalid((f"rows[{n}].reason", "must be at most 64 capitals and underscores"))
        rows.append(
            QuarantinedRow(
                source=source,
                line=row.line if is_numbered else n,
                kind=request.kind,
                site_id=short(row.site_id),
                sku=short(row.sku),
                source_id=short(row.source_id),
                quantity=row.quantity,
                reason=reason,
                detail=short(row.detail),
                remedy=short(row.remedy),
                recorded_at=now,
            )
        )
    return in_parts(rows, "" if is_numbered else request.request_id)


def short(text: str) -> str:
    return "".join(each for each in text[:_MOST_TEXT] if each.isprintable())


def shown(row: QuarantinedRow) -> wire.QuarantinedRow:
    return wire.QuarantinedRow(
        source=row.source,
        line=row.line,
        kind=row.kind,
        site_id=row.site_id,
        sku=row.sku,
        source_id=row.source_id,
        quantity=row.quantity,
        reason=row.reason,
        detail=row.detail,
        remedy=row.remedy,
        recorded_at=to.timestamp(row.recorded_at),
    )
