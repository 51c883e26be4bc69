"""What the world learns of the ledger: every balance, and the life of every reservation."""

from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp
from oms.stock_ledger.v1 import stock_ledger_events_pb2 as feed

from services.kernel.domain.messages import Recorded
from services.stock_ledger.domain.calls import CallNoted
from services.stock_ledger.domain.discrepancy import DiscrepancyClosed, DiscrepancyOpened
from services.stock_ledger.domain.entry import EntryPosted
from services.stock_ledger.domain.expiry import ExpiryNoted
from services.stock_ledger.domain.holder import HoldCounted, HoldUncounted
from services.stock_ledger.domain.inbound import InboundArrived, InboundExpected
from services.stock_ledger.domain.reservation_events import Event as ReservationEvent
from services.stock_ledger.domain.reservation_events import (
    Line,
    PlanDeclined,
    ReservationClosed,
    ReservationConfirmed,
    ReservationEndangered,
    ReservationExpired,
    ReservationExtended,
    ReservationHeld,
    ReservationMoved,
    ReservationMoveRefused,
    ReservationRefused,
    ReservationReleased,
    ReservationRestored,
)
from services.stock_ledger.domain.stock_item import site_and_sku
from services.stock_ledger.domain.stock_rule import RuleSet, RuleWithdrawn

type Event = (
    EntryPosted
    | DiscrepancyOpened
    | DiscrepancyClosed
    | ExpiryNoted
    | InboundExpected
    | InboundArrived
    | RuleSet
    | CallNoted
    | RuleWithdrawn
    | HoldCounted
    | HoldUncounted
    | ReservationEvent
)


def publish(recorded: Recorded[Event]) -> feed.StockLedgerEvent | None:
    """Return the public event, or nothing when it stays private."""
    event = recorded.event
    match event:
        case EntryPosted():
            return feed.StockLedgerEvent(stock_changed=_stock_changed(recorded, event))
        case DiscrepancyOpened() | DiscrepancyClosed():
            return _discrepancy(recorded, event)
        case ReservationClosed() | ReservationExtended() | ReservationRestored():
            return None
        case ExpiryNoted() | HoldCounted() | HoldUncounted():
            return None
        case InboundExpected() | InboundArrived() | RuleSet() | RuleWithdrawn() | CallNoted():
            return None
        case _:
            return _of_reservation(recorded.key, event)


def _stock_changed(recorded: Recorded[Event], entry: EntryPosted) -> feed.StockChanged:
    site_id, sku = site_and_sku(recorded.key)
    after = entry.after
    return feed.StockChanged(
        site_id=site_id,
        sku=sku,
        version=recorded.version,
        free=after.free,
        held=after.held,
        allocated=after.allocated,
        picked=after.picked,
        on_hand=after.on_hand,
        cause=entry.cause,
    )


def _discrepancy(
    recorded: Recorded[Event], event: DiscrepancyOpened | DiscrepancyClosed
) -> feed.StockLedgerEvent:
    site_id, sku = site_and_sku(recorded.key)
    match event:
        case DiscrepancyOpened():
            return feed.StockLedgerEvent(
                discrepancy_opened=feed.DiscrepancyOpened(
                    site_id=site_id,
                    sku=sku,
                    missing=event.missing,
                    cause=event.cause,
                )
            )
        case DiscrepancyClosed():
            return feed.StockLedgerEvent(
                discrepancy_closed=feed.DiscrepancyClosed(
                    site_id=site_id, sku=sku, cause=event.cause
                )
            )


def _of_reservation(  # noqa: PLR0911 - one per event
    reservation_id: str,
    event: ReservationHeld
    | ReservationRefused
    | PlanDeclined
    | ReservationConfirmed
    | ReservationReleased
    | ReservationExpired
    | ReservationEndangered
    | ReservationMoved
    | ReservationMoveRefused,
) -> feed.StockLedgerEvent:
    match event:
        case ReservationHeld():
            expires_at = Timestamp()
            expires_at.FromDatetime(event.expires_at)
            return feed.StockLedgerEvent(
                reservation_held=feed.ReservationHeld(
                    reservation_id=reservation_id,
                    order_id=event.order_id,
                    plan_revision=event.plan_revision,
                    lines=_lines(event.lines),
                    expires_at=expires_at,
                    lacking=_lines(event.lacking),
                )
            )
        case ReservationRefused():
            return feed.StockLedgerEvent(
                reservation_refused=feed.ReservationRefused(
                    reservation_id=reservation_id,
                    order_id=event.order_id,
                    plan_revision=event.plan_revision,
                    shortages=_lines(event.shortages),
                )
            )
        case PlanDeclined():
            return feed.StockLedgerEvent(
                reservation_refused=feed.ReservationRefused(
                    reservation_id=reservation_id,
                    order_id=event.order_id,
                    plan_revision=event.plan_revision,
                    reason=event.reason,
                )
            )
        case ReservationConfirmed():
            return feed.StockLedgerEvent(
                reservation_confirmed=feed.ReservationConfirmed(
                    reservation_id=reservation_id, order_id=event.order_id
                )
            )
        case ReservationReleased():
            return feed.StockLedgerEvent(
                reservation_released=feed.ReservationReleased(
                    reservation_id=reservation_id,
                    order_id=event.order_id,
                    lines=_lines(event.lines),
                )
            )
        case ReservationExpired():
            return feed.StockLedgerEvent(
                reservation_expired=feed.ReservationExpired(
                    reservation_id=reservation_id,
                    order_id=event.order_id,
                    plan_revision=event.plan_revision,
                )
            )
        case ReservationMoved():
            return feed.StockLedgerEvent(
                reservation_moved=feed.ReservationMoved(
                    reservation_id=reservation_id,
                    order_id=event.order_id,
                    plan_revision=event.plan_revision,
                    left=_lines(event.left),
                    came=_lines(event.came),
                )
            )
        case ReservationMoveRefused():
            return feed.StockLedgerEvent(
                reservation_move_refused=feed.ReservationMoveRefused(
                    reservation_id=reservation_id,
                    order_id=event.order_id,
                    plan_revision=event.plan_revision,
                    shortages=_lines(event.shortages),
                )
            )
        case ReservationEndangered():
            return feed.StockLedgerEvent(
                reservation_endangered=feed.ReservationEndangered(
                    reservation_id=reservation_id,
                    order_id=event.order_id,
                    plan_revision=event.plan_revision,
                    lines=_lines(event.lines),
                )
            )


def _lines(lines: Sequence[Line]) -> list[feed.StockLine]:
    return [
        feed.StockLine(site_id=line.site_id, sku=line.sku, quantity=line.quantity) for line in lines
    ]
