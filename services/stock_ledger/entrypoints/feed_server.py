"""StockFeedService over gRPC: rows in, what became of them out. No rule lives here."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, override

from oms.stock_ledger.v1 import stock_feed_service_pb2 as wire
from oms.stock_ledger.v1 import stock_feed_service_pb2_grpc as rpc

from services.kernel.application.clock import Clock
from services.kernel.application.runner import Reader, Runner
from services.kernel.application.work import Work
from services.kernel.domain.errors import Invalid
from services.kernel.domain.ids import identifier
from services.kernel.entrypoints.calls import caller, cause
from services.stock_ledger.application.asked import post_reservations
from services.stock_ledger.application.feeds import Posted, post
from services.stock_ledger.application.handlers import Reservations
from services.stock_ledger.entrypoints import translation as to
from services.stock_ledger.entrypoints.feed_rows import Rows
from services.stock_ledger.entrypoints.quarantining import (
    MOST_LINE,
    expect_lines,
    in_parts,
    reported,
    short,
    shown,
)
from services.stock_ledger.read_models import discrepancies, quarantine
from services.stock_ledger.read_models.quarantine import QuarantinedRow

MOST_ROWS = 5_000
_MOST_SOURCE = 200
_KINDS = frozenset(
    {
        *("receipt", "shrinkage", "till_sale", "online", "reservation", "return", "transport"),
        *("image", "count", "in_transit"),
    }
)

SCOPES = {
    f"/oms.stock_ledger.v1.StockFeedService/{method}": scope
    for scope, methods in {
        "stock:write": (
            *("PostReceipts", "PostShrinkage", "PostTillSales", "PostOnlineMovements"),
            *("PostReservations", "PostReturns", "PostTransport", "ReportUnreadableRows"),
        ),
        "stock:read": ("ListQuarantinedRows", "ListDiscrepancies"),
    }.items()
    for method in methods
}

type Read[Row] = Callable[[int, Any], Row]
type PostAll[Row] = Callable[[Work, Sequence[Row]], Awaitable[Posted]]


@dataclass(frozen=True, slots=True)
class _Refused:
    row: int
    reason: str
    detail: str
    remedy: str


class StockFeedGrpc(rpc.StockFeedServiceServicer):
    def __init__(
        self, runner: Runner, reader: Reader, clock: Clock, promises: Reservations
    ) -> None:
        self._runner = runner
        self._reader = reader
        self._clock = clock
        self._promises = promises

    @override
    async def PostReceipts(
        self, request: wire.PostReceiptsRequest, context: Any
    ) -> wire.PostReceiptsResponse:
        outcome = await self._post("receipt", request, lambda rows: rows.receipt)
        return wire.PostReceiptsResponse(outcome=outcome)

    @override
    async def PostShrinkage(
        self, request: wire.PostShrinkageRequest, context: Any
    ) -> wire.PostShrinkageResponse:
        outcome = await self._post("shrinkage", request, lambda rows: rows.shrinkage)
        return wire.PostShrinkageResponse(outcome=outcome)

    @override
    async def PostTillSales(
        self, request: wire.PostTillSalesRequest, context: Any
    ) -> wire.PostTillSalesResponse:
        outcome = await self._post("till_sale", request, lambda rows: rows.till_sale)
        return wire.PostTillSalesResponse(outcome=outcome)

    @override
    async def PostOnlineMovements(
        self, request: wire.PostOnlineMovementsRequest, context: Any
    ) -> wire.PostOnlineMovementsResponse:
        outcome = await self._post("online", request, lambda rows: rows.online)
        return wire.PostOnlineMovementsResponse(outcome=outcome)

    @override
    async def PostReturns(
        self, request: wire.PostReturnsRequest, context: Any
    ) -> wire.PostReturnsResponse:
        outcome = await self._post("return", request, lambda rows: rows.returned)
        return wire.PostReturnsResponse(outcome=outcome)

    @override
    async def PostTransport(
        self, request: wire.PostTransportRequest, context: Any
    ) -> wire.PostTransportResponse:
        outcome = await self._post("transport", request, lambda rows: rows.transport)
        return wire.PostTransportResponse(outcome=outcome)

    @override
    async def PostReservations(
        self, request: wire.PostReservationsRequest, context: Any
    ) -> wire.PostReservationsResponse:
        outcome = await self._run(
            "reservation",
            request,
            Rows(self._clock.now()).asked,
            lambda work, rows: post_reservations(work, rows, self._promises),
        )
        return wire.PostReservationsResponse(outcome=outcome)

    async def _post(
        self, kind: str, request: Any, read: Callable[[Rows], Read[Any]]
    ) -> wire.FeedOutcome:
        return await self._run(
            kind,
            request,
            read(Rows(self._clock.now())),
            post,
        )

    async def _run[Row](
        self, kind: str, request: Any, read: Read[Row], post_all: PostAll[Row]
    ) -> wire.FeedOutcome:
        """Post what can be understood; keep and answer the others with what is wrong."""
        to.count(len(request.rows), MOST_ROWS, "rows")
        if request.lines:
            to.count(len(request.lines), len(request.rows), "lines", len(request.rows))
            expect_lines(request.lines)
        source = _source(request.source or request.request_id)
        why = cause(request.request_id)
        unreadable: list[_Refused] = []
        rows: list[Row] = []
        for n, row in enumerate(request.rows):
            try:
                rows.append(read(n, row))
            except Invalid as wrong:
                unreadable.append(_invalid(n, wrong))
        now = self._clock.now()

        async def use_case(work: Work) -> tuple[Posted, list[_Refused]]:
            posted = await post_all(work, rows) if rows else Posted()
            refused = [*unreadable, *(_refused(*each) for each in posted.refused)]
            if refused:
                kept = [_quarantined(source, kind, request, each, now) for each in refused]
                kept = in_parts(kept, "" if request.lines else request.request_id)
                await quarantine.keep(work.sql, work.cause.tenant, kept)
            return posted, refused

        posted, refused = await self._runner.execute(why, use_case)
        return wire.FeedOutcome(
            recorded=posted.recorded,
            duplicates=posted.duplicates,
            problems=[
                wire.FeedProblem(
                    row=each.row,
                    line=_line(request, each.row),
                    reason=each.reason,
                    detail=each.detail,
                    remedy=each.remedy,
                )
                for each in sorted(refused, key=lambda each: each.row)
            ],
        )

    @override
    async def ReportUnreadableRows(
        self, request: wire.ReportUnreadableRowsRequest, context: Any
    ) -> wire.ReportUnreadableRowsResponse:
        to.count(len(request.rows), MOST_ROWS, "rows")
        if request.kind not in _KINDS:
            raise Invalid(("kind", f"must be one of {', '.join(sorted(_KINDS))}"))
        expect_lines([row.line for row in request.rows])
        source, now = _source(request.source), self._clock.now()
        rows = reported(request, source, now)

        async def use_case(work: Work) -> None:
            await quarantine.keep(work.sql, work.cause.tenant, rows)

        await self._runner.execute(cause(request.request_id), use_case)
        return wire.ReportUnreadableRowsResponse(kept=len(rows))

    @override
    async def ListQuarantinedRows(
        self, request: wire.ListQuarantinedRowsRequest, context: Any
    ) -> wire.ListQuarantinedRowsResponse:
        size = to.page_size(request.page_size)
        source, line, kind, part = to.page_start(request.page_token, 4)
        if line and not (line.isdigit() and int(line) <= MOST_LINE):
            raise Invalid(("page_token", "must be the next_page_token of the page before"))
        rows = await quarantine.page(
            *(self._reader.sql, caller().tenant, _source(request.source) if request.source else ""),
            *((source, int(line or -1), kind, part), size + 1),
        )
        last = rows[size - 1] if len(rows) > size else None
        return wire.ListQuarantinedRowsResponse(
            rows=[shown(row) for row in rows[:size]],
            next_page_token=to.page_token(last.source, str(last.line), last.kind, last.part)
            if last
            else "",
        )

    @override
    async def ListDiscrepancies(
        self, request: wire.ListDiscrepanciesRequest, context: Any
    ) -> wire.ListDiscrepanciesResponse:
        size = to.page_size(request.page_size)
        [after] = to.page_start(request.page_token)
        site_id = identifier(request.site_id, "site_id")
        rows = await discrepancies.to_count(
            self._reader.sql, caller().tenant, site_id, after, size + 1
        )
        return wire.ListDiscrepanciesResponse(
            discrepancies=[
                wire.Discrepancy(
                    site_id=row.site_id,
                    sku=row.sku,
                    missing=row.missing,
                    cause=row.cause,
                    opened_at=to.timestamp(row.opened_at),
                    closed_at=to.timestamp(row.closed_at),
                )
                for row in rows[:size]
            ],
            next_page_token=to.page_token(rows[size - 1].sku) if len(rows) > size else "",
        )


def _source(text: str) -> str:
    """Return what rows come from: an id, so that it may stand in a page token."""
    if len(text) > _MOST_SOURCE:
        raise Invalid(("source", f"must have at most {_MOST_SOURCE} characters"))
    return identifier(text, "source")


def _line(request: Any, row: int) -> int:
    return int(request.lines[row]) if request.lines else row


def _invalid(row: int, wrong: Invalid) -> _Refused:
    fields = ", ".join(field for field, _ in wrong.violations)
    return _Refused(row, "INVALID_ARGUMENT", short(str(wrong)), f"mend {fields} and send it again")


def _refused(row: int, reason: str, detail: str) -> _Refused:
    what, _, remedy = detail.rpartition("; ")
    return _Refused(row, reason, what or detail, remedy)


def _quarantined(
    source: str, kind: str, request: Any, refused: _Refused, now: datetime
) -> QuarantinedRow:
    row = request.rows[refused.row]
    return QuarantinedRow(
        source=source,
        line=_line(request, refused.row),
        kind=kind,
        site_id=short(row.site_id),
        sku=short(row.sku),
        source_id=short(getattr(row, "source_id", "") or getattr(row, "reservation_id", "")),
        quantity=row.quantity,
        reason=refused.reason,
        detail=refused.detail,
        remedy=refused.remedy,
        recorded_at=now,
    )
