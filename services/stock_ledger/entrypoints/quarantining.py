"""Rows in quarantine: how their lines are numbered, and how they are shown."""

from collections.abc import Iterable

from oms.stock_ledger.v1 import stock_feed_service_pb2 as wire

from services.kernel.domain.errors import Invalid
from services.stock_ledger.entrypoints import translation as to
from services.stock_ledger.read_models.quarantine import QuarantinedRow

MOST_LINE = 10**12


def expect_lines(lines: Iterable[int]) -> None:
    """Refuse a number that no file has a line of: a page of quarantine begins at one."""
    if not all(0 <= line <= MOST_LINE for line in lines):
        raise Invalid(("lines", f"must be 0 to {MOST_LINE}"))


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
