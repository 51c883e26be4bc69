"""Stored names of sourcing's events."""

from services.kernel.adapters.event_codec import EventCodec
from services.sourcing.domain.decision_events import (
    DecisionClosed,
    DecisionRequested,
    PlanDecided,
    PlanDeclined,
    PlanFollowed,
    PlanRejected,
    PlanSuperseded,
)

CODEC = EventCodec(
    {
        "decision.requested.v1": DecisionRequested,
        "decision.decided.v1": PlanDecided,
        "decision.rejected.v1": PlanRejected,
        "decision.superseded.v1": PlanSuperseded,
        "decision.closed.v1": DecisionClosed,
        "decision.followed.v1": PlanFollowed,
        "decision.declined.v1": PlanDeclined,
    }
)
