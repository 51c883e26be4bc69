"""Rows to calls: one batch of every kind as the request that carries it, and its answer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b
from typing import Any

from oms.stock_ledger.v1 import promise_service_pb2 as promises
from oms.stock_ledger.v1 import stock_feed_service_pb2 as wire
from oms.stock_ledger.v1 import stock_ledger_service_pb2 as ledger
from oms.stock_ledger.v1.promise_service_pb2_grpc import PromiseServiceStub
from oms.stock_ledger.v1.stock_feed_service_pb2_grpc import StockFeedServiceStub
from oms.stock_ledger.v1.stock_ledger_service_pb2_grpc import StockLedgerServiceStub

from services.stock_ledger.entrypoints.feed_files.columns import Kind, Row

_MICROSECONDS = 1_000_000
_ROW_BYTES, _TIME_BYTES = 60, 16


@dataclass(frozen=True, slots=True)
class Basis:
    """What an image or a count says of all its rows.

    Attributes:
        is_available: It counts what may be sold, not everything in the house.
        is_picked_included: Units in totes are in the numbers.
        at: Of when it is, for rows that do not say.
    """

    is_available: bool = False
    is_picked_included: bool = True
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    line: int
    reason: str
    detail: str
    remedy: str
    row: Row | None = None  # what could be read of it


@dataclass(frozen=True, slots=True)
class Answer:
    recorded: int
    duplicates: int
    problems: tuple[Problem, ...]


_FEEDS: dict[str, tuple[str, Any, Any, tuple[str, ...]]] = {
    "receipt": (
        *("PostReceipts", wire.PostReceiptsRequest, ledger.MovementRow),
        ("despatch_id",),
    ),
    "till_sale": ("PostTillSales", wire.PostTillSalesRequest, ledger.MovementRow, ()),
    "shrinkage": (
        *("PostShrinkage", wire.PostShrinkageRequest, wire.ShrinkageRow),
        ("reason", "bucket"),
    ),
    "online": (
        *("PostOnlineMovements", wire.PostOnlineMovementsRequest, wire.OnlineRow),
        ("step", "reservation_id"),
    ),
    "return": ("PostReturns", wire.PostReturnsRequest, wire.ReturnRow, ("disposition",)),
    "transport": (
        *("PostTransport", wire.PostTransportRequest, wire.TransportRow),
        ("stage", "reservation_id", "to_site_id", "due_at", "despatch_id"),
    ),
}


class Calls:
    """Sends rows of one kind.

    Args:
        channel: To the stock ledger.
        kind: Of feed.
        source: What the rows come from; they are in quarantine under it.
        basis: For images and counts.
    """

    def __init__(self, channel: Any, kind: Kind, source: str, basis: Basis) -> None:
        self._feeds = StockFeedServiceStub(channel)
        self._ledger = StockLedgerServiceStub(channel)
        self._promises = PromiseServiceStub(channel)
        self._kind = kind.name
        self._source = source
        self._basis = basis

    @property
    def most_rows(self) -> int:
        return {"image": 1_000, "count": 1_000, "in_transit": 500}.get(self._kind, 5_000)

    async def send(self, rows: Sequence[Row], request_id: str, **how: Any) -> Answer:
        """Make one call; ``how`` is gRPC's metadata and timeout."""
        if self._kind in ("image", "count"):
            return await self._send_image(rows, request_id, how)
        if self._kind == "in_transit":
            return await self._expect(rows, request_id, how)
        if self._kind == "reservation":
            made = [_reservation(row) for row in rows]
            request: Any = wire.PostReservationsRequest(rows=made)
            call = self._feeds.PostReservations
        else:
            method, request_type, row_type, extras = _FEEDS[self._kind]
            request = request_type(rows=[_movement(row_type, extras, row) for row in rows])
            call = getattr(self._feeds, method)
        request.request_id, request.source = request_id, self._source
        request.lines.extend([row.line for row in rows])
        outcome = (await call(request, **how)).outcome
        return Answer(
            outcome.recorded,
            outcome.duplicates,
            tuple(
                Problem(each.line, each.reason, each.detail, each.remedy)
                for each in outcome.problems
            ),
        )

    async def report(self, problems: Sequence[Problem], request_id: str, **how: Any) -> None:
        """Put rows that could not be read, or not be sent, into quarantine."""
        await self._feeds.ReportUnreadableRows(
            wire.ReportUnreadableRowsRequest(
                request_id=request_id,
                source=self._source,
                kind=self._kind,
                rows=[_unreadable(each) for each in problems],
            ),
            **how,
        )

    async def _expect(self, rows: Sequence[Row], request_id: str, how: dict[str, Any]) -> Answer:
        request = promises.PutInboundRequest(request_id=request_id)
        for row in rows:
            made = request.rows.add(
                site_id=row.site_id,
                sku=row.sku,
                quantity=row.quantity,
                source_id=row.source_id,
                despatch_id=row.extras[1],
            )
            _put_time(made.due_at, row.extras[0])
        changed = (await self._promises.PutInbound(request, **how)).changed
        return Answer(changed, len(rows) - changed, ())

    async def _send_image(
        self, rows: Sequence[Row], request_id: str, how: dict[str, Any]
    ) -> Answer:
        is_image = self._kind == "image"
        request = ledger.PostImagesRequest(
            request_id=request_id,
            kind=ledger.IMAGE_KIND_IMAGE if is_image else ledger.IMAGE_KIND_STOCKTAKE,
            basis=ledger.IMAGE_BASIS_AVAILABLE
            if self._basis.is_available
            else ledger.IMAGE_BASIS_PHYSICAL,
            is_picked_included=self._basis.is_picked_included,
            rows=[_movement(ledger.ImageRow, (), row) for row in rows],
        )
        if self._basis.at is not None:
            request.occurred_at.FromDatetime(self._basis.at)
        results = (await self._ledger.PostImages(request, **how)).results
        problems = [
            Problem(
                *(rows[each.row].line, each.reason, each.detail),
                *("mend the row and send it again", rows[each.row]),
            )
            for each in results
            if each.status == ledger.ROW_STATUS_REFUSED
        ]
        if problems:
            await self.report(problems, f"{request_id}-q", **how)
        duplicates = sum(each.status == ledger.ROW_STATUS_DUPLICATE for each in results)
        return Answer(len(rows) - duplicates - len(problems), duplicates, tuple(problems))


def _movement(row_type: Any, extras: Sequence[str], row: Row) -> Any:
    made = row_type(
        site_id=row.site_id, sku=row.sku, quantity=row.quantity, source_id=row.source_id
    )
    if row.at_us is not None:
        _put_time(made.occurred_at, row.at_us)
    if row.is_day_only:
        made.is_day_only = True
    for at_us in row.also_us:
        _put_time(made.also_at.add(), at_us)
    for name, value in zip(extras, row.extras, strict=True):
        if name != "due_at":
            setattr(made, name, value)
        elif value is not None:
            _put_time(made.due_at, value)
    return made


def _unreadable(problem: Problem) -> wire.UnreadableRow:
    told = wire.UnreadableRow(
        line=problem.line, detail=problem.detail, remedy=problem.remedy, reason=problem.reason
    )
    if (row := problem.row) is not None:
        told.site_id, told.sku, told.source_id = row.site_id, row.sku, row.source_id
        told.quantity = row.quantity
    return told


def _put_time(stamp: Any, at_us: int) -> None:
    stamp.seconds, microseconds = divmod(at_us, _MICROSECONDS)
    stamp.nanos = microseconds * 1_000


def _reservation(row: Row) -> wire.ReservationRow:
    reservation_id, action, hold_seconds = row.extras
    return wire.ReservationRow(
        site_id=row.site_id,
        sku=row.sku,
        quantity=row.quantity,
        reservation_id=reservation_id,
        action=action,
        hold_seconds=hold_seconds,
    )


def length_of(row: Row) -> int:
    """Return about how many bytes a row takes of a call."""
    names = len(row.site_id) + len(row.sku) + len(row.source_id)
    return names + _ROW_BYTES + _TIME_BYTES * len(row.also_us)


def with_source_ids(kind: Kind, rows: Sequence[Row]) -> list[Row]:
    """Give rows of one stock item that have no id one that follows from what they say.

    The same row twice in a file is two movements, so the second is told from the first by its
    number. The same file again comes to the same ids.
    """
    seen: dict[tuple[Any, ...], int] = {}
    named = []
    for row in rows:
        if row.source_id or kind.name == "reservation":
            named.append(row)
            continue
        extras = row.extras
        if kind.late and not any(extras[-kind.late :]):
            extras = extras[: -kind.late]
        content = (row.site_id, row.sku, row.quantity, row.at_us, extras)
        number = seen[content] = seen.get(content, 0) + 1
        text = "|".join(map(str, (kind.name, *content, number)))
        made = blake2b(text.encode(), digest_size=12).hexdigest()
        named.append(replace(row, source_id=made))
    return named
