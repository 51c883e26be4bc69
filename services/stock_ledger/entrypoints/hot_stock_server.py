"""HotStockService over gRPC: the reservations of many buyers in, what became of each out."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, override

from google.protobuf.timestamp_pb2 import Timestamp
from oms.stock_ledger.v1 import hot_stock_service_pb2 as wire
from oms.stock_ledger.v1 import hot_stock_service_pb2_grpc as rpc

from services.kernel.domain.errors import Invalid
from services.kernel.domain.ids import identifier
from services.kernel.entrypoints.calls import cause
from services.stock_ledger.application.handlers import summed
from services.stock_ledger.application.hot_writer import HotWriter
from services.stock_ledger.application.many_holds import Answer, Wanted
from services.stock_ledger.entrypoints import translation as to

MOST_RESERVATIONS = 1_000
MOST_LINES = 5_000
MOST_LINES_EACH = 50
MOST_HOLD_SECONDS = 86_400

SCOPES = {"/oms.stock_ledger.v1.HotStockService/ReserveBatch": "stock:write"}


class HotStockGrpc(rpc.HotStockServiceServicer):
    def __init__(self, writer: HotWriter, hold_for: timedelta) -> None:
        self._writer = writer
        self._hold_for = hold_for

    @override
    async def ReserveBatch(
        self, request: wire.ReserveBatchRequest, context: Any
    ) -> wire.ReserveBatchResponse:
        why = cause(request.request_id)
        asked = request.reservations
        to.count(len(asked), MOST_RESERVATIONS, "reservations")
        if sum([len(one.lines) for one in asked]) > MOST_LINES:
            raise Invalid(("reservations", f"must have at most {MOST_LINES} lines together"))
        results: list[wire.BatchResult | None] = []
        wanted: list[Wanted] = []
        for one in asked:
            try:
                wanted.append(self._wanted(one))
                results.append(None)
            except Invalid as wrong:
                results.append(
                    wire.BatchResult(
                        outcome=wire.BATCH_OUTCOME_INVALID,
                        reason="INVALID_ARGUMENT",
                        detail=str(wrong),
                    )
                )
        answers = iter(_results(await self._writer.reserve(why, wanted)) if wanted else ())
        return wire.ReserveBatchResponse(
            results=[next(answers) if one is None else one for one in results]
        )

    def _wanted(self, one: wire.BatchReservation) -> Wanted:
        reservation_id = identifier(one.reservation_id, "reservation_id")
        to.count(len(one.lines), MOST_LINES_EACH, "lines")
        lines = summed(to.lines(one.lines))
        seconds = one.hold_seconds
        if not 0 <= seconds <= MOST_HOLD_SECONDS:
            raise Invalid(("hold_seconds", f"must be 0 to {MOST_HOLD_SECONDS}"))
        hold_for = timedelta(seconds=seconds) if seconds else self._hold_for
        return Wanted(reservation_id, lines, hold_for)


def _results(answers: Sequence[Answer]) -> list[wire.BatchResult]:
    stamps: dict[datetime, Timestamp] = {}
    results = []
    for answer in answers:
        at = answer.expires_at
        if at is None:
            results.append(
                wire.BatchResult(
                    outcome=wire.BATCH_OUTCOME_REFUSED,
                    reason=answer.reason,
                    detail=answer.detail,
                    shortages=to.stock_lines(answer.shortages),
                )
            )
            continue
        stamp = stamps.get(at)
        if stamp is None:
            stamp = stamps[at] = Timestamp()
            stamp.FromDatetime(at)
        results.append(wire.BatchResult(outcome=wire.BATCH_OUTCOME_HELD, expires_at=stamp))
    return results
