"""Requests to commands, rows to answers; every field is checked on its way in."""

import base64
import binascii
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp
from oms.common.v1.common_pb2 import SkuQuantity
from oms.stock_ledger.v1 import stock_ledger_events_pb2 as feed
from oms.stock_ledger.v1 import stock_ledger_service_pb2 as wire

from services.kernel.domain.errors import Invalid
from services.kernel.domain.ids import identifier
from services.stock_ledger.domain.counted import CLOCK_SKEW
from services.stock_ledger.domain.image import Basis, Seen
from services.stock_ledger.domain.reservation_events import Line
from services.stock_ledger.domain.reservation_state import Reservation, Status
from services.stock_ledger.domain.stock_commands import (
    Adjust,
    AdjustmentReason,
    Observe,
    Receive,
    SellAtTill,
)
from services.stock_ledger.read_models.availability import Coverage, Level
from services.stock_ledger.read_models.entries import EntryRow
from services.stock_ledger.read_models.reservations import ReservationRow, ReservedLine

MOST_QUANTITY = 1_000_000_000
MOST_PAGE = 200
DEFAULT_PAGE = 50
_MOST_SOURCE_ID = 128

_REASONS = {
    wire.ADJUSTMENT_REASON_BREAKAGE: AdjustmentReason.BREAKAGE,
    wire.ADJUSTMENT_REASON_EXPIRY: AdjustmentReason.EXPIRY,
    wire.ADJUSTMENT_REASON_THEFT: AdjustmentReason.THEFT,
    wire.ADJUSTMENT_REASON_UNKNOWN_LOSS: AdjustmentReason.UNKNOWN_LOSS,
    wire.ADJUSTMENT_REASON_COUNT: AdjustmentReason.COUNT,
    wire.ADJUSTMENT_REASON_QUARANTINE: AdjustmentReason.QUARANTINE,
}
_SEEN = {wire.IMAGE_KIND_IMAGE: Seen.IMAGE, wire.IMAGE_KIND_STOCKTAKE: Seen.STOCKTAKE}
_BASES = {
    wire.IMAGE_BASIS_PHYSICAL: Basis.PHYSICAL,
    wire.IMAGE_BASIS_AVAILABLE: Basis.AVAILABLE,
}
_STATUSES = {
    Status.HELD: wire.RESERVATION_STATUS_HELD,
    Status.REFUSED: wire.RESERVATION_STATUS_REFUSED,
    Status.CONFIRMED: wire.RESERVATION_STATUS_CONFIRMED,
    Status.RELEASED: wire.RESERVATION_STATUS_RELEASED,
    Status.EXPIRED: wire.RESERVATION_STATUS_EXPIRED,
    Status.CLOSED: wire.RESERVATION_STATUS_CLOSED,
}


def count(length: int, most: int, field: str, least: int = 1) -> None:
    """Check the length of a repeated field."""
    if not least <= length <= most:
        raise Invalid((field, f"must have {least} to {most} elements"))


def quantity(value: int, field: str) -> int:
    """Return a positive quantity in base units."""
    if not 1 <= value <= MOST_QUANTITY:
        raise Invalid((field, f"must be 1 to {MOST_QUANTITY}"))
    return value


def received(row: wire.MovementRow, now: datetime) -> Receive:
    return Receive(quantity(row.quantity, "quantity"), _source_id(row), _occurred_at(row, now))


def sold(row: wire.MovementRow, now: datetime) -> SellAtTill:
    return SellAtTill(_signed(row.quantity), _source_id(row), _occurred_at(row, now))


def adjusted(row: wire.AdjustmentRow, now: datetime) -> Adjust:
    reason = _REASONS.get(row.reason)
    if reason is None:
        raise Invalid(("reason", "must be one of the adjustment reasons"))
    movement = row.movement
    return Adjust(
        reason, _signed(movement.quantity), _source_id(movement), _occurred_at(movement, now)
    )


def seen(
    image: wire.PostImagesRequest, now: datetime
) -> Callable[[wire.ImageRow, datetime], Observe]:
    """Return how a row of an image becomes a command; what all rows share is checked here."""
    by, basis = _SEEN.get(image.kind), _BASES.get(image.basis)
    if by is None:
        raise Invalid(("kind", "must be image or stocktake"))
    if basis is None:
        raise Invalid(("basis", "must be physical or available"))
    at = _occurred_at(image, now) if image.HasField("occurred_at") else None

    def observe(row: wire.ImageRow, now: datetime) -> Observe:
        if not 0 <= row.quantity <= MOST_QUANTITY:
            raise Invalid(("quantity", f"must be 0 to {MOST_QUANTITY}"))
        if at is None and not row.HasField("occurred_at"):
            raise Invalid(("occurred_at", "must say when it was seen, here or for the whole image"))
        own = _occurred_at(row, now) if row.HasField("occurred_at") else at
        return Observe(
            *(by, basis, image.is_picked_included, row.quantity, _source_id(row), own or now)
        )

    return observe


def _signed(value: int) -> int:
    if not 1 <= abs(value) <= MOST_QUANTITY:
        raise Invalid(("quantity", f"must be 1 to {MOST_QUANTITY}, or the same below zero"))
    return value


def _source_id(row: wire.MovementRow | wire.ImageRow) -> str:
    if not (1 <= len(row.source_id) <= _MOST_SOURCE_ID and row.source_id.isprintable()):
        raise Invalid(("source_id", f"must be 1 to {_MOST_SOURCE_ID} printable characters"))
    return row.source_id


def _occurred_at(
    row: wire.MovementRow | wire.ImageRow | wire.PostImagesRequest, now: datetime
) -> datetime:
    if not row.HasField("occurred_at"):
        return now
    try:
        at = row.occurred_at.ToDatetime(now.tzinfo)
    except (ValueError, OverflowError):
        raise Invalid(("occurred_at", "must be a time of the years 1 to 9999")) from None
    if at > now + CLOCK_SKEW:
        raise Invalid(("occurred_at", "must not lie in the future"))
    return at


def lines(asked: Sequence[feed.StockLine]) -> list[Line]:
    return [
        Line(
            identifier(line.site_id, f"lines[{n}].site_id"),
            identifier(line.sku, f"lines[{n}].sku"),
            quantity(line.quantity, f"lines[{n}].quantity"),
        )
        for n, line in enumerate(asked)
    ]


def basket(asked: Sequence[SkuQuantity]) -> dict[str, int]:
    """Return base units by product; lines of the same product are summed."""
    wanted: dict[str, int] = {}
    for n, line in enumerate(asked):
        sku = identifier(line.sku, f"lines[{n}].sku")
        units = quantity(line.quantity, f"lines[{n}].quantity")
        wanted[sku] = wanted.get(sku, 0) + units
    return wanted


def held_lines(held: Reservation) -> list[wire.HeldLine]:
    """Return what became of each line that was asked for, as it was held."""
    lacking = {(line.site_id, line.sku): line.quantity for line in held.lacking}
    return [
        wire.HeldLine(
            site_id=line.site_id,
            sku=line.sku,
            wanted=line.quantity,
            held=line.quantity - lacking.get((line.site_id, line.sku), 0),
            lacking=lacking.get((line.site_id, line.sku), 0),
        )
        for line in held.asked
    ]


def page_size(value: int, default: int = DEFAULT_PAGE) -> int:
    if not 0 <= value <= MOST_PAGE:
        raise Invalid(("page_size", f"must be 0 to {MOST_PAGE}"))
    return value or default


def page_token(*places: str) -> str:
    """Return where a page ended, opaque to the caller; ids hold no bar."""
    return base64.urlsafe_b64encode("|".join(places).encode()).decode()


def page_start(token: str, parts: int = 1) -> list[str]:
    """Return where the page before ended; empty texts for the first page."""
    if not token:
        return [""] * parts
    try:
        places = base64.urlsafe_b64decode(token.encode()).decode().split("|")
        if len(places) != parts:
            raise ValueError(f"{len(places)} places instead of {parts}")
        return [identifier(place, "page_token") for place in places]
    except (binascii.Error, ValueError):
        raise Invalid(("page_token", "must be the next_page_token of the page before")) from None


def timestamp(at: datetime | None) -> Timestamp | None:
    if at is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp


def level(row: Level) -> wire.StockLevel:
    return wire.StockLevel(
        site_id=row.site_id,
        sku=row.sku,
        free=row.free,
        held=row.held,
        allocated=row.allocated,
        picked=row.picked,
        on_hand=row.on_hand,
        version=row.version,
        updated_at=timestamp(row.updated_at),
    )


def level_in_answer(row: Level) -> bytes:
    """Return the level as it lies in an answer that lists levels in field 1."""
    return wire.GetAvailabilityResponse(levels=[level(row)]).SerializeToString()


def coverage(row: Coverage) -> wire.SiteCoverage:
    answer = wire.SiteCoverage(
        site_id=row.site_id, is_complete=not row.missing, covered_skus=row.covered_skus
    )
    for sku, missing in row.missing.items():
        answer.missing.add(sku=sku, quantity=missing)
    return answer


def entry(row: EntryRow) -> wire.Entry:
    return wire.Entry(
        version=row.version,
        cause=row.cause,
        postings=[
            wire.Posting(account=account, quantity=moved)
            for account, moved in zip(row.accounts, row.quantities, strict=True)
        ],
        source_id=row.source_id,
        reservation_id=row.reservation_id,
        occurred_at=timestamp(row.occurred_at),
        recorded_at=timestamp(row.recorded_at),
        free_after=row.free_after,
        on_hand_after=row.on_hand_after,
    )


def stock_lines(rows: Iterable[Line]) -> list[feed.StockLine]:
    return [feed.StockLine(site_id=row.site_id, sku=row.sku, quantity=row.quantity) for row in rows]


def reserved_line(row: ReservedLine) -> wire.ReservationLine:
    return wire.ReservationLine(
        reservation_id=row.reservation_id,
        site_id=row.site_id,
        sku=row.sku,
        held=row.held,
        allocated=row.allocated,
        picked=row.picked,
        transit=row.transit,
    )


def reservation(row: ReservationRow) -> wire.Reservation:
    return wire.Reservation(
        reservation_id=row.reservation_id,
        order_id=row.order_id,
        status=_STATUSES[Status(row.status)],
        plan_revision=row.plan_revision,
        expires_at=timestamp(row.expires_at),
        lines=[reserved_line(line) for line in row.lines],
        version=row.version,
        lacking=stock_lines(row.lacking),
        holder_id=row.holder_id,
    )
