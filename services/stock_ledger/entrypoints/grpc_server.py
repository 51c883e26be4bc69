"""StockLedgerService over gRPC: translate in, hand over, translate out. No rule lives here."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import Any, cast, override

from oms.stock_ledger.v1 import stock_ledger_service_pb2 as wire
from oms.stock_ledger.v1 import stock_ledger_service_pb2_grpc as rpc

from services.kernel.application.clock import Clock
from services.kernel.application.runner import Reader, Runner
from services.kernel.application.work import Work
from services.kernel.domain.errors import Invalid, NotFound
from services.kernel.domain.ids import identifier
from services.kernel.domain.messages import stream_id
from services.kernel.entrypoints.calls import Encoded, caller, cause
from services.stock_ledger.application.endangered import watch
from services.stock_ledger.application.handlers import Reservations, Terms
from services.stock_ledger.application.images import Images
from services.stock_ledger.application.moving import move_to
from services.stock_ledger.application.recording import Outcome, record
from services.stock_ledger.domain.entry import EntryPosted
from services.stock_ledger.domain.stock_item import site_and_sku, stock_key
from services.stock_ledger.entrypoints import past_answers
from services.stock_ledger.entrypoints import translation as to
from services.stock_ledger.entrypoints.feed_rows import also, is_timeless
from services.stock_ledger.read_models import (
    availability,
    entries,
    past,
    past_reservations,
    reservations,
)
from services.stock_ledger.read_models.known_levels import KnownLevels
from services.stock_ledger.read_models.reservations import ReservedLine

MOST_ROWS = 1_000
MOST_LINES = 500
MOST_SITES = 1_000
MOST_COVERAGE = 50_000
MOST_HOLD_SECONDS = 86_400

SCOPES = {
    f"/oms.stock_ledger.v1.StockLedgerService/{method}": scope
    for scope, methods in {
        "stock:write": (
            *("ReceiveStock", "AdjustStock", "RecordTillSales", "PostImages"),
            *("Reserve", "ConfirmReservation", "ExtendReservation", "ReleaseReservation"),
            "MoveReservation",
        ),
        "stock:read": (
            *("GetReservation", "ListOpenReservations", "GetAvailability", "GetSkuAvailability"),
            *("AskAvailability", "GetBasketAvailability", "ListSiteStock", "ListEntries"),
            *("ExplainStock", "CompareStock"),
        ),
    }.items()
    for method in methods
}


type Post[Command] = Callable[
    [
        Work,
        Sequence[tuple[str, Command]],
        AbstractSet[int],
        Mapping[int, Sequence[datetime]],
    ],
    Awaitable[list[Outcome]],
]


class StockLedgerGrpc(rpc.StockLedgerServiceServicer):
    def __init__(
        self,
        runner: Runner,
        reader: Reader,
        clock: Clock,
        promises: Reservations,
        levels: KnownLevels[bytes] | None = None,
    ) -> None:
        self._runner = runner
        self._reader = reader
        self._clock = clock
        self._promises = promises
        self._images = Images(past.balances)
        if levels is None:  # nobody tells it of commits: it remembers nothing
            levels = KnownLevels(lambda: reader.sql, to.level_in_answer, time.monotonic)
        self._levels = levels

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

    @override
    async def GetAvailability(
        self, request: wire.GetAvailabilityRequest, context: Any
    ) -> wire.GetAvailabilityResponse:
        tenant = caller().tenant
        to.count(len(request.pairs), MOST_ROWS, "pairs")
        pairs = past_answers.pairs_of(request.pairs)
        if past_answers.is_past(request):
            rows = [availability.Level(*pair) for pair in pairs]
            rows = await past_answers.then(self._reader.sql, tenant, request, rows)
            return wire.GetAvailabilityResponse(levels=[to.level(row) for row in rows])
        if request.min_version > 0 and len(pairs) == 1:
            [(site_id, sku)] = pairs
            await self._reader.at_least(
                stream_id(tenant, "stock", stock_key(site_id, sku)), request.min_version
            )
            row = await availability.of_pair(self._reader.sql, tenant, site_id, sku)
            return wire.GetAvailabilityResponse(levels=[to.level(row)])
        levels = await self._levels.of_pairs(tenant, pairs)
        return cast("wire.GetAvailabilityResponse", _joined(levels))

    @override
    async def AskAvailability(
        self, request_iterator: AsyncIterator[wire.AskAvailabilityRequest], context: Any
    ) -> AsyncIterator[wire.AskAvailabilityResponse]:
        async for asked in request_iterator:
            try:
                answer = await self.GetAvailability(asked.question, context)
            except Invalid as wrong:
                yield wire.AskAvailabilityResponse(reason="INVALID_ARGUMENT", detail=str(wrong))
            else:
                # Both answers have their levels in the same field.
                yield cast("wire.AskAvailabilityResponse", _encoded(answer))

    @override
    async def GetSkuAvailability(
        self, request: wire.GetSkuAvailabilityRequest, context: Any
    ) -> wire.GetSkuAvailabilityResponse:
        tenant = caller().tenant
        sku = identifier(request.sku, "sku")
        sites = _sites(request.site_ids)
        if sites:
            pairs = [(site_id, sku) for site_id in sites]
            if past_answers.is_past(request):
                rows = [availability.Level(*pair) for pair in pairs]
                rows = await past_answers.then(self._reader.sql, tenant, request, rows)
                return wire.GetSkuAvailabilityResponse(levels=[to.level(row) for row in rows])
            levels = await self._levels.of_pairs(tenant, pairs)
            return cast("wire.GetSkuAvailabilityResponse", _joined(levels))
        size = to.page_size(request.page_size, to.MOST_PAGE)
        [after] = to.page_start(request.page_token)
        rows = await availability.of_sku(self._reader.sql, tenant, sku, after, size + 1)
        page = await past_answers.then(self._reader.sql, tenant, request, rows[:size])
        return wire.GetSkuAvailabilityResponse(
            levels=[to.level(row) for row in page],
            next_page_token=to.page_token(rows[size - 1].site_id) if len(rows) > size else "",
        )

    @override
    async def GetBasketAvailability(
        self, request: wire.GetBasketAvailabilityRequest, context: Any
    ) -> wire.GetBasketAvailabilityResponse:
        to.count(len(request.lines), MOST_LINES, "lines")
        basket = to.basket(request.lines)
        sites = _sites(request.site_ids)
        if len(basket) * len(sites) > MOST_COVERAGE:
            raise Invalid(("site_ids", f"lines times sites must be at most {MOST_COVERAGE}"))
        sql, tenant = self._reader.sql, caller().tenant
        if past_answers.is_past(request):
            rows = await past_answers.coverage(sql, tenant, request, basket, sites)
        else:
            rows = await availability.coverage(sql, tenant, basket, sites)
        return wire.GetBasketAvailabilityResponse(sites=[to.coverage(row) for row in rows])

    @override
    async def ListSiteStock(
        self, request: wire.ListSiteStockRequest, context: Any
    ) -> wire.ListSiteStockResponse:
        size = to.page_size(request.page_size)
        [after] = to.page_start(request.page_token)
        site_id = identifier(request.site_id, "site_id")
        rows = await availability.of_site(
            self._reader.sql, caller().tenant, site_id, after, size + 1
        )
        page = await past_answers.then(self._reader.sql, caller().tenant, request, rows[:size])
        return wire.ListSiteStockResponse(
            levels=[to.level(row) for row in page],
            next_page_token=to.page_token(rows[size - 1].sku) if len(rows) > size else "",
        )

    @override
    async def ListEntries(
        self, request: wire.ListEntriesRequest, context: Any
    ) -> wire.ListEntriesResponse:
        if as_of := past_answers.moment(request, "as_of"):
            return await past_answers.entries_until(
                self._reader.sql, caller().tenant, request, as_of
            )
        size = to.page_size(request.page_size)
        rows = await entries.page(
            self._reader.sql,
            caller().tenant,
            identifier(request.site_id, "site_id"),
            identifier(request.sku, "sku"),
            past_answers.entry_token(request.page_token) or past_answers.NEWEST,
            size + 1,
            past_answers.moment(request, "known_at"),
        )
        return wire.ListEntriesResponse(
            entries=[to.entry(row) for row in rows[:size]],
            next_page_token=to.page_token(str(rows[size - 1].version)) if len(rows) > size else "",
        )

    @override
    async def ExplainStock(
        self, request: wire.ExplainStockRequest, context: Any
    ) -> wire.ExplainStockResponse:
        return await past_answers.explain(self._reader.sql, caller().tenant, request)

    @override
    async def CompareStock(
        self, request: wire.CompareStockRequest, context: Any
    ) -> wire.CompareStockResponse:
        return await past_answers.compare(self._reader.sql, caller().tenant, request)


def _encoded(answer: wire.GetAvailabilityResponse | Encoded) -> Encoded:
    return answer if isinstance(answer, Encoded) else Encoded(answer.SerializeToString())


def _joined(levels: Iterable[bytes]) -> Encoded:
    """Return the answer made of these levels: messages laid end to end are one message."""
    return Encoded(b"".join(levels))


type _Row = wire.MovementRow | wire.AdjustmentRow | wire.ImageRow


def _told(row: _Row) -> wire.MovementRow | wire.ImageRow:
    return row.movement if isinstance(row, wire.AdjustmentRow) else row


def _place(row: _Row) -> str:
    told = _told(row)
    return stock_key(identifier(told.site_id, "site_id"), identifier(told.sku, "sku"))


def _sites(asked: Sequence[str]) -> list[str]:
    to.count(len(asked), MOST_SITES, "site_ids", least=0)
    return [identifier(site_id, f"site_ids[{n}]") for n, site_id in enumerate(asked)]


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
