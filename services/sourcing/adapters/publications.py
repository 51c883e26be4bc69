"""Which of sourcing's events the others hear, and in which words."""

from typing import assert_never

from oms.common.v1.common_pb2 import GroupLine, Money
from oms.order.v1.order_events_pb2 import Alternative, Group
from oms.sourcing.v1.sourcing_events_pb2 import PlanDecided, PlanRejected, SourcingEvent

from services.kernel.domain.messages import Recorded
from services.sourcing.domain import decision_events
from services.sourcing.domain.wishes import PlannedGroup


def publish(recorded: Recorded[decision_events.Event]) -> SourcingEvent | None:
    """Return the public event, or None for what stays private."""
    event = recorded.event
    match event:
        case decision_events.PlanDecided():
            return SourcingEvent(
                plan_decided=PlanDecided(
                    order_id=event.order_id,
                    revision=event.revision,
                    groups=map(_group, event.groups),
                    cost=Money(amount_minor=event.cost.total_minor, currency=event.currency),
                    policy_version=event.receipt.policy_version,
                    decision_id=event.decision_id,
                    replaces=map(_group, event.replaces),
                )
            )
        case decision_events.PlanRejected():
            return SourcingEvent(
                plan_rejected=PlanRejected(
                    order_id=event.order_id,
                    revision=event.revision,
                    reason=event.reason.value,
                    alternatives=(
                        Alternative(site_id=a.site_id, sku=a.sku, available=a.available)
                        for a in event.alternatives
                    ),
                    decision_id=event.decision_id,
                    stays=map(_group, event.replaces),
                )
            )
        case (
            decision_events.DecisionRequested()
            | decision_events.PlanSuperseded()
            | decision_events.DecisionClosed()
            | decision_events.PlanFollowed()
            | decision_events.PlanDeclined()
        ):
            return None
        case _:
            assert_never(event)


def _group(group: PlannedGroup) -> Group:
    message = Group(
        group_id=group.group_id,
        mode_id=group.mode_id,
        mode_version=group.mode_version,
        source_site_id=group.source_site_id,
        handover_site_id=group.handover_site_id,
        lines=(
            GroupLine(line_id=line.line_id, sku=line.sku, quantity=line.quantity)
            for line in group.lines
        ),
    )
    message.promised_at.FromDatetime(group.promised_at)
    return message
