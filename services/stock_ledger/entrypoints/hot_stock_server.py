"""HotStockService over gRPC: the reservations of many buyers in, what became of each out."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, cast, override

from oms.stock_ledger.v1 import hot_stock_service_pb2 as wire
from oms.stock_ledger.v1 import hot_stock_service_pb2_grpc as rpc
from oms.stock_ledger.v1.stock_ledger_events_pb2 import StockLine

from services.kernel.domain.errors import Invalid
from services.kernel.domain.ids import identifier
from services.kernel.entrypoints.calls import Encoded, cause
from services.stock_ledger.application.batch_reservations import Answer, Needs, Wanted
from services.stock_ledger.application.hot_writer import HotWriter
from services.stock_ledger.domain.reservation_events import Line
from services.stock_ledger.domain.reservation_lines import summed
from services.stock_ledger.domain.stock_item import stock_key
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
        read = _Reading(self._hold_for).wanted
        wanted: list[Wanted] = []
        invalid: dict[int, str] = {}
        for n, one in enumerate(asked):
            try:
                wanted.append(read(one))
            except Invalid as wrong:
                invalid[n] = str(wrong)
        answers = await self._writer.reserve(why, wanted) if wanted else []
        return cast("wire.ReserveBatchResponse", _encoded(answers, invalid))


class _Reading:
    """Reads one request; what many of its buyers have in common is read once."""

    def __init__(self, hold_for: timedelta) -> None:
        self._hold_for = {0: hold_for}
        self._alike: dict[tuple[str, str, int], tuple[tuple[Line, ...], Needs]] = {}

    def wanted(self, one: wire.BatchReservation) -> Wanted:
        reservation_id = identifier(one.reservation_id, "reservation_id")
        asked = one.lines
        if len(asked) == 1:
            line = asked[0]
            place = (line.site_id, line.sku, line.quantity)
            known = self._alike.get(place)
            if known is None:
                known = self._alike[place] = _lines(asked)
            lines, needs = known
        else:
            lines, needs = _lines(asked)
        seconds = one.hold_seconds
        hold_for = self._hold_for.get(seconds)
        if hold_for is None:
            if not 0 <= seconds <= MOST_HOLD_SECONDS:
                raise Invalid(("hold_seconds", f"must be 0 to {MOST_HOLD_SECONDS}"))
            hold_for = self._hold_for[seconds] = timedelta(seconds=seconds)
        holder_id = identifier(one.holder_id, "holder_id") if one.holder_id else ""
        return Wanted(reservation_id, lines, needs, hold_for, holder_id)


def _lines(asked: Sequence[StockLine]) -> tuple[tuple[Line, ...], Needs]:
    to.count(len(asked), MOST_LINES_EACH, "lines")
    lines = summed(to.lines(asked))
    return lines, tuple([(stock_key(line.site_id, line.sku), line.quantity) for line in lines])


def _encoded(answers: Sequence[Answer], invalid: Mapping[int, str]) -> Encoded:
    """Return the response as its bytes, in the order of the request.

    Buyers who hear the same share one encoded result, and results laid end to end are a response:
    that is how protobuf joins them.
    """
    told: dict[int, bytes] = {}
    parts: list[bytes] = []
    for answer in answers:
        part = told.get(id(answer))
        if part is None:
            part = told[id(answer)] = _alone(_result(answer))
        parts.append(part)
    for n, detail in invalid.items():
        wrong = wire.BatchResult(
            outcome=wire.BATCH_OUTCOME_INVALID, reason="INVALID_ARGUMENT", detail=detail
        )
        parts.insert(n, _alone(wrong))
    return Encoded(b"".join(parts))


def _alone(result: wire.BatchResult) -> bytes:
    return wire.ReserveBatchResponse(results=[result]).SerializeToString()


def _result(answer: Answer) -> wire.BatchResult:
    if answer.expires_at is None:
        return wire.BatchResult(
            outcome=wire.BATCH_OUTCOME_REFUSED,
            reason=answer.reason,
            detail=answer.detail,
            shortages=to.stock_lines(answer.shortages),
        )
    return wire.BatchResult(
        outcome=wire.BATCH_OUTCOME_HELD, expires_at=to.timestamp(answer.expires_at)
    )
