"""The calls of StockLedgerService about reservations: made, kept, moved, given back, looked at."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, override

from oms.stock_ledger.v1 import stock_ledger_service_pb2 as wire
from oms.stock_ledger.v1 import stock_ledger_service_pb2_grpc as rpc

from services.kernel.application.runner import Reader, Runner
from services.kernel.domain.errors import Invalid, NotFound
from services.kernel.domain.ids import identifier
from services.kernel.domain.messages import stream_id
from services.kernel.entrypoints.calls import caller, cause
from services.stock_ledger.application.handlers import Reservations, Terms
from services.stock_ledger.application.moving import move_to
from services.stock_ledger.entrypoints import past_answers
from services.stock_ledger.entrypoints import translation as to
from services.stock_ledger.read_models import past_reservations, reservations
from services.stock_ledger.read_models.reservations import ReservedLine

MOST_LINES = 500
MOST_HOLD_SECONDS = 86_400


class ReservationCalls(rpc.StockLedgerServiceServicer):
    def __init__(self, runner: Runner, reader: Reader, promises: Reservations) -> None:
        self._runner = runner
        self._reader = reader
        self._promises = promises

    @override
    async def Reserve(self, request: wire.ReserveRequest, context: Any) -> wire.ReserveResponse:
        reservation_id = identifier(request.reservation_id, "reservation_id")
        to.count(len(request.lines), MOST_LINES, "lines")
        lines = to.lines(request.lines)
        if not 0 <= request.hold_seconds <= MOST_HOLD_SECONDS:
            raise Invalid(("hold_seconds", f"must be 0 to {MOST_HOLD_SECONDS}"))
        hold_for = timedelta(seconds=request.hold_seconds) if request.hold_seconds else None
        terms = Terms(
            request.takes_what_there_is,
            identifier(request.holder_id, "holder_id") if request.holder_id else "",
        )
        held = await self._runner.execute(
            cause(request.request_id),
            lambda work: self._promises.reserve(work, reservation_id, lines, hold_for, terms),
        )
        return wire.ReserveResponse(
            reservation_id=reservation_id,
            expires_at=to.timestamp(held.state.expires_at),
            version=held.version,
            lines=to.held_lines(held.state),
        )

    @override
    async def ConfirmReservation(
        self, request: wire.ConfirmReservationRequest, context: Any
    ) -> wire.ConfirmReservationResponse:
        reservation_id = identifier(request.reservation_id, "reservation_id")
        version = await self._runner.execute(
            cause(request.request_id),
            lambda work: self._promises.confirm(work, reservation_id, refuse=True),
        )
        return wire.ConfirmReservationResponse(version=version)

    @override
    async def ExtendReservation(
        self, request: wire.ExtendReservationRequest, context: Any
    ) -> wire.ExtendReservationResponse:
        reservation_id = identifier(request.reservation_id, "reservation_id")
        if not 0 <= request.hold_seconds <= MOST_HOLD_SECONDS:
            raise Invalid(("hold_seconds", f"must be 0 to {MOST_HOLD_SECONDS}"))
        hold_for = timedelta(seconds=request.hold_seconds) if request.hold_seconds else None
        held = await self._runner.execute(
            cause(request.request_id),
            lambda work: self._promises.extend(work, reservation_id, hold_for),
        )
        return wire.ExtendReservationResponse(
            expires_at=to.timestamp(held.state.expires_at), version=held.version
        )

    @override
    async def MoveReservation(
        self, request: wire.MoveReservationRequest, context: Any
    ) -> wire.MoveReservationResponse:
        reservation_id = identifier(request.reservation_id, "reservation_id")
        from_site_id = identifier(request.from_site_id, "from_site_id")
        to_site_id = identifier(request.to_site_id, "to_site_id")
        if from_site_id == to_site_id:
            raise Invalid(("to_site_id", "must be another site"))
        to.count(len(request.lines), MOST_LINES, "lines", least=0)
        wanted = to.basket(request.lines)
        moved, came = await self._runner.execute(
            cause(request.request_id),
            lambda work: move_to(
                work,
                reservation_id,
                (from_site_id, to_site_id),
                wanted,
                self._promises.alternatives,
            ),
        )
        return wire.MoveReservationResponse(version=moved.version, moved=to.stock_lines(came))

    @override
    async def ReleaseReservation(
        self, request: wire.ReleaseReservationRequest, context: Any
    ) -> wire.ReleaseReservationResponse:
        reservation_id = identifier(request.reservation_id, "reservation_id")
        version, released = await self._runner.execute(
            cause(request.request_id), lambda work: self._promises.release(work, reservation_id)
        )
        return wire.ReleaseReservationResponse(version=version, released=to.stock_lines(released))

    @override
    async def GetReservation(
        self, request: wire.GetReservationRequest, context: Any
    ) -> wire.GetReservationResponse:
        tenant = caller().tenant
        reservation_id = identifier(request.reservation_id, "reservation_id")
        if request.min_version > 0:
            await self._reader.at_least(
                stream_id(tenant, "reservation", reservation_id), request.min_version
            )
        if past_answers.is_past(request):
            row = await past_reservations.one(
                *(self._reader.sql, tenant, reservation_id),
                *(past_answers.moment(request, "as_of"), past_answers.moment(request, "known_at")),
            )
        else:
            row = await reservations.one(self._reader.sql, tenant, reservation_id)
        if row is None:
            raise NotFound("reservation", reservation_id)
        return wire.GetReservationResponse(reservation=to.reservation(row))

    @override
    async def ListOpenReservations(
        self, request: wire.ListOpenReservationsRequest, context: Any
    ) -> wire.ListOpenReservationsResponse:
        size = to.page_size(request.page_size)
        after = to.page_start(request.page_token, 2)
        site_id = identifier(request.site_id, "site_id")
        sku = identifier(request.sku, "sku") if request.sku else ""
        sql, tenant = self._reader.sql, caller().tenant
        rows: Sequence[ReservedLine]
        if past_answers.is_past(request):
            if not sku:
                raise Invalid(("sku", "must be given with as_of or known_at"))
            rows = await past_reservations.open_at(
                *(sql, tenant, (site_id, sku), after[1], size + 1),
                *(past_answers.moment(request, "as_of"), past_answers.moment(request, "known_at")),
            )
        else:
            rows = await reservations.open_at(
                *(sql, tenant, site_id, sku, (after[0], after[1]), size + 1)
            )
        page = rows[:size]
        return wire.ListOpenReservationsResponse(
            lines=[to.reserved_line(row) for row in page],
            next_page_token=to.page_token(page[-1].sku, page[-1].reservation_id)
            if len(rows) > size
            else "",
        )
