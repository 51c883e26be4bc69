"""Stored names of the events of returns."""

from services.kernel.adapters.event_codec import EventCodec
from services.returns.domain.return_case import (
    CaseInspected,
    CaseOpened,
    CaseWithdrawn,
    RefundValidated,
)
from services.returns.domain.returnable_events import (
    Captured,
    GroupDelivered,
    Refunded,
    UnitsClaimed,
    UnitsReleased,
)

CODEC = EventCodec(
    {
        "returnable.group_delivered.v1": GroupDelivered,
        "returnable.captured.v1": Captured,
        "returnable.units_claimed.v1": UnitsClaimed,
        "returnable.refunded.v1": Refunded,
        "returnable.units_released.v1": UnitsReleased,
        "returncase.opened.v1": CaseOpened,
        "returncase.inspected.v1": CaseInspected,
        "returncase.refund_validated.v1": RefundValidated,
        "returncase.withdrawn.v1": CaseWithdrawn,
    }
)
