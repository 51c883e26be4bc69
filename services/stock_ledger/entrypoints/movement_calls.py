"""The calls of StockLedgerService that record movements: row by row, each with its own outcome."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any, override

from oms.stock_ledger.v1 import stock_ledger_service_pb2 as wire
from oms.stock_ledger.v1 import stock_ledger_service_pb2_grpc as rpc

from services.kernel.application.clock import Clock
from services.kernel.application.runner import Runner
from services.kernel.application.work import Work
from services.kernel.domain.errors import Invalid
from services.kernel.domain.ids import identifier
from services.kernel.entrypoints.calls import cause
from services.stock_ledger.application.endangered import watch
from services.stock_ledger.application.images import Images
from services.stock_ledger.application.recording import Outcome, record
from services.stock_ledger.domain.entry import EntryPosted
from services.stock_ledger.domain.stock_item import site_and_sku, stock_key
from services.stock_ledger.entrypoints import translation as to
from services.stock_ledger.entrypoints.feed_rows import also, is_timeless
from services.stock_ledger.read_models import past

MOST_ROWS = 1_000

type Post[Command] = Callable[
    [
        Work,
        Sequence[tuple[str, Command]],
        AbstractSet[int],
        Mapping[int, Sequence[datetime]],
    ],
    Awaitable[list[Outcome]],
]


class MovementCalls(rpc.StockLedgerServiceServicer):
    def __init__(self, runner: Runner, clock: Clock) -> None:
        self._runner = runner
        self._clock = clock
        self._images = Images(past.balances)

    @override
    async def ReceiveStock(
        self, request: wire.ReceiveStockRequest, context: Any
    ) -> wire.ReceiveStockResponse:
        return wire.ReceiveStockResponse(
            results=await self._record(request.request_id, request.rows, to.received, record)
        )

    @override
    async def AdjustStock(
        self, request: wire.AdjustStockRequest, context: Any
    ) -> wire.AdjustStockResponse:
        return wire.AdjustStockResponse(
            results=await self._record(request.request_id, request.rows, to.adjusted, record)
        )

    @override
    async def RecordTillSales(
        self, request: wire.RecordTillSalesRequest, context: Any
    ) -> wire.RecordTillSalesResponse:
        return wire.RecordTillSalesResponse(
            results=await self._record(request.request_id, request.rows, to.sold, record)
        )

    @override
    async def PostImages(
        self, request: wire.PostImagesRequest, context: Any
    ) -> wire.PostImagesResponse:
        command = to.seen(request, self._clock.now())
        return wire.PostImagesResponse(
            results=await self._record(
                request.request_id, request.rows, command, self._images.post_images
            )
        )

    async def _record[Command](
        self,
        request_id: str,
        rows: Sequence[Any],
        command: Callable[[Any, datetime], Command],
        post: Post[Command],
    ) -> list[wire.RowResult]:
        """Record the rows that can be understood; answer the others with what is wrong."""
        to.count(len(rows), MOST_ROWS, "rows")
        why = cause(request_id)
        now = self._clock.now()
        results: dict[int, wire.RowResult] = {}
        movements: list[tuple[int, str, Command]] = []
        told_as: dict[int, Sequence[datetime]] = {}
        for n, row in enumerate(rows):
            try:
                others = also(_told(row))
                movements.append((n, _place(row), command(row, now)))
                if others:
                    told_as[len(movements) - 1] = others
            except Invalid as problem:
                results[n] = wire.RowResult(
                    row=n,
                    status=wire.ROW_STATUS_REFUSED,
                    reason="INVALID_ARGUMENT",
                    detail=str(problem),
                )
        if movements:
            of_rows = enumerate(_told(rows[n]) for n, _, _ in movements)
            timeless = {place for place, row in of_rows if is_timeless(row)}

            async def use_case(work: Work) -> list[Outcome]:
                told = [(key, movement) for _, key, movement in movements]
                outcomes = await post(work, told, timeless, told_as)
                posted: dict[str, list[EntryPosted]] = {}
                for (_, key, _), outcome in zip(movements, outcomes, strict=True):
                    posted.setdefault(key, []).extend(outcome.entries)
                await watch(work, posted)
                return outcomes

            outcomes = await self._runner.execute(why, use_case)
            for (n, key, _), outcome in zip(movements, outcomes, strict=True):
                results[n] = _row_result(n, key, outcome)
        return [results[n] for n in range(len(rows))]


type _Row = wire.MovementRow | wire.AdjustmentRow | wire.ImageRow


def _told(row: _Row) -> wire.MovementRow | wire.ImageRow:
    return row.movement if isinstance(row, wire.AdjustmentRow) else row


def _place(row: _Row) -> str:
    told = _told(row)
    return stock_key(identifier(told.site_id, "site_id"), identifier(told.sku, "sku"))


def _row_result(n: int, key: str, outcome: Outcome) -> wire.RowResult:
    if outcome.refusal is not None or outcome.item is None:
        refusal = outcome.refusal
        return wire.RowResult(
            row=n,
            status=wire.ROW_STATUS_REFUSED,
            reason=refusal.reason.value if refusal else "",
            detail=refusal.detail if refusal else "",
        )
    site_id, sku = site_and_sku(key)
    after = outcome.item.state.buckets
    return wire.RowResult(
        row=n,
        status=wire.ROW_STATUS_RECORDED if outcome.is_recorded else wire.ROW_STATUS_DUPLICATE,
        level=wire.StockLevel(
            site_id=site_id,
            sku=sku,
            free=after.free,
            held=after.held,
            allocated=after.allocated,
            picked=after.picked,
            on_hand=after.on_hand,
            version=outcome.item.version,
        ),
    )
