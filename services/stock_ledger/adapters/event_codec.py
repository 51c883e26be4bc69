"""Stored names of the stock ledger's events. A name, once written, is for ever."""

from services.kernel.adapters.event_codec import EventCodec
from services.stock_ledger.domain.calls import CallNoted
from services.stock_ledger.domain.discrepancy import DiscrepancyClosed, DiscrepancyOpened
from services.stock_ledger.domain.entry import EntryPosted
from services.stock_ledger.domain.expiry import ExpiryNoted
from services.stock_ledger.domain.holder import HoldCounted, HoldUncounted
from services.stock_ledger.domain.inbound import InboundArrived, InboundExpected
from services.stock_ledger.domain.reservation_events import (
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
from services.stock_ledger.domain.stock_rule import RuleSet, RuleWithdrawn
from services.stock_ledger.domain.stock_state import StockItem


def event_codec() -> EventCodec:
    """Return the codec of the service's event log."""
    return EventCodec(
        {
            "stock.entry_posted.v1": EntryPosted,
            "discrepancy.opened.v1": DiscrepancyOpened,
            "discrepancy.closed.v1": DiscrepancyClosed,
            "expiry.noted.v1": ExpiryNoted,
            "inbound.expected.v1": InboundExpected,
            "inbound.arrived.v1": InboundArrived,
            "call.noted.v1": CallNoted,
            "rule.set.v1": RuleSet,
            "rule.withdrawn.v1": RuleWithdrawn,
            "reservation.held.v1": ReservationHeld,
            "reservation.refused.v1": ReservationRefused,
            "reservation.plan_declined.v1": PlanDeclined,
            "reservation.confirmed.v1": ReservationConfirmed,
            "reservation.released.v1": ReservationReleased,
            "reservation.expired.v1": ReservationExpired,
            "reservation.endangered.v1": ReservationEndangered,
            "reservation.extended.v1": ReservationExtended,
            "reservation.moved.v1": ReservationMoved,
            "reservation.move_refused.v1": ReservationMoveRefused,
            "reservation.restored.v1": ReservationRestored,
            "holder.counted.v1": HoldCounted,
            "holder.uncounted.v1": HoldUncounted,
            "reservation.closed.v1": ReservationClosed,
        },
        states={"stock": ("stock.v4", StockItem)},
    )
