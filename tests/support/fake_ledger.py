"""The stock ledger's end of an import, in memory: it counts each row once by its source id."""

from collections.abc import Callable
from typing import Any

from oms.stock_ledger.v1 import promise_service_pb2 as promises
from oms.stock_ledger.v1 import stock_feed_service_pb2 as wire
from oms.stock_ledger.v1 import stock_ledger_service_pb2 as ledger


class Cut(Exception):
    """The import is stopped here."""


class FakeLedger:
    """A channel to nobody.

    Attributes:
        rows: What was recorded, by site, product and source id.
        calls: Name and request of every call that was answered.
        cut_after: After so many calls every further one fails; nothing: never.
        refused_skus: Products of which every row is refused.
    """

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, str], Any] = {}
        self.calls: list[tuple[str, Any]] = []
        self.cut_after: int | None = None
        self.refused_skus: frozenset[str] = frozenset()
        self.unreadable: dict[int, Any] = {}

    def balance(self, site_id: str, sku: str) -> int:
        return sum(
            row.quantity
            for (site, product, _), row in self.rows.items()
            if (site, product) == (site_id, sku)
        )

    def unary_stream(self, path: str, **_: Any) -> None:
        """No import watches anything."""

    def stream_stream(self, path: str, **_: Any) -> None:
        """No import asks question after question."""

    def unary_unary(self, path: str, **_: Any) -> Callable[..., Any]:
        name = path.rpartition("/")[2]

        async def call(request: Any, **_: Any) -> Any:
            if self.cut_after is not None and len(self.calls) >= self.cut_after:
                raise Cut
            self.calls.append((name, request))
            if name == "ReportUnreadableRows":
                self.unreadable |= {row.line: row for row in request.rows}
                return wire.ReportUnreadableRowsResponse(kept=len(request.rows))
            if name == "PutInbound":
                changed = sum(self._is_new(row) for row in request.rows)
                return promises.PutInboundResponse(changed=changed)
            if name == "PostImages":
                return ledger.PostImagesResponse(
                    results=[self._seen(n, row) for n, row in enumerate(request.rows)]
                )
            return wire.PostReceiptsResponse(outcome=self._outcome(request))

        return call

    def _seen(self, n: int, row: Any) -> ledger.RowResult:
        if row.sku in self.refused_skus:
            refused = ledger.ROW_STATUS_REFUSED
            return ledger.RowResult(row=n, status=refused, reason="IDEMPOTENCY_MISMATCH")
        is_new = self._is_new(row)
        status = ledger.ROW_STATUS_RECORDED if is_new else ledger.ROW_STATUS_DUPLICATE
        return ledger.RowResult(row=n, status=status)

    def _outcome(self, request: Any) -> wire.FeedOutcome:
        outcome = wire.FeedOutcome()
        for n, row in enumerate(request.rows):
            if row.sku in self.refused_skus:
                outcome.problems.add(
                    row=n, line=request.lines[n], reason="OUT_OF_STOCK", detail="0 free", remedy="-"
                )
            elif self._is_new(row):
                outcome.recorded += 1
            else:
                outcome.duplicates += 1
        return outcome

    def _is_new(self, row: Any) -> bool:
        source_id = row.source_id if hasattr(row, "source_id") else row.reservation_id
        place = (row.site_id, row.sku, source_id)
        is_new = place not in self.rows
        self.rows.setdefault(place, row)
        return is_new
