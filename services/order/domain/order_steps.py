"""How a group walks the frozen steps of its mode: it enters one, leaves it, and comes to its end.

The order comes to its end with the last of its groups.
"""

from collections.abc import Sequence

from services.order.domain.order_events import (
    Event,
    GroupCompleted,
    OrderCompleted,
    StepCompleted,
    StepStarted,
)
from services.order.domain.order_state import GroupProgress, Order, Status


def open_group(order: Order, group_id: str) -> GroupProgress | None:
    """Return a group that facts may still move: facts about any other come too late."""
    group = order.groups.get(group_id) if order.status is Status.ACCEPTED else None
    return None if group is None or group.is_done else group


def leave(order: Order, group: GroupProgress, place: int) -> Sequence[Event]:
    """Complete the step at ``place`` and enter the next."""
    completed = StepCompleted(order.customer_id, group.group.group_id, group.steps[place])
    return [completed, *start(order, group, place + 1)]


def start(order: Order, group: GroupProgress, place: int) -> Sequence[Event]:
    """Enter the step at ``place``; a group with no step or no unit left is completed instead."""
    if place == len(group.steps) or not group.group.lines:
        return [group_completed(order, group)]
    return [StepStarted(order.customer_id, group.group, group.steps[place])]


def group_completed(order: Order, group: GroupProgress) -> GroupCompleted:
    return GroupCompleted(
        order.customer_id,
        group.group.group_id,
        group.group.handover_site_id,
        order.currency,
        group.delivered,
    )


def completing(order: Order, events: list[Event]) -> Sequence[Event]:
    """Add the end of the order when these events end its last group."""
    done = {event.group_id for event in events if isinstance(event, GroupCompleted)}
    if done and all(
        progress.is_done or group_id in done for group_id, progress in order.groups.items()
    ):
        events.append(OrderCompleted())
    return events
