"""StockLedgerService over gRPC: translate in, hand over, translate out. No rule lives here.

Questions about stock; what changes it is in ``movement_calls`` and ``reservation_calls``.
"""

import time
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, cast, override

from oms.stock_ledger.v1 import stock_ledger_service_pb2 as wire

from services.kernel.application.clock import Clock
from services.kernel.application.runner import Reader, Runner
from services.kernel.domain.errors import Invalid
from services.kernel.domain.ids import identifier
from services.kernel.domain.messages import stream_id
from services.kernel.entrypoints.calls import Encoded, caller
from services.stock_ledger.application.handlers import Reservations
from services.stock_ledger.domain.stock_item import stock_key
from services.stock_ledger.entrypoints import past_answers
from services.stock_ledger.entrypoints import translation as to
from services.stock_ledger.entrypoints.movement_calls import MOST_ROWS, MovementCalls
from services.stock_ledger.entrypoints.reservation_calls import MOST_LINES, ReservationCalls
from services.stock_ledger.read_models import availability, entries
from services.stock_ledger.read_models.known_levels import KnownLevels

MOST_SITES = 1_000
MOST_COVERAGE = 50_000

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


class StockLedgerGrpc(MovementCalls, ReservationCalls):
    def __init__(
        self,
        runner: Runner,
        reader: Reader,
        clock: Clock,
        promises: Reservations,
        levels: KnownLevels[bytes] | None = None,
    ) -> None:
        MovementCalls.__init__(self, runner, clock)
        ReservationCalls.__init__(self, runner, reader, promises)
        if levels is None:  # nobody tells it of commits: it remembers nothing
            levels = KnownLevels(lambda: reader.sql, to.level_in_answer, time.monotonic)
        self._levels = levels

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


def _sites(asked: Sequence[str]) -> list[str]:
    to.count(len(asked), MOST_SITES, "site_ids", least=0)
    return [identifier(site_id, f"site_ids[{n}]") for n, site_id in enumerate(asked)]
