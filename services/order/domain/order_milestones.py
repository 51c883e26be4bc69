"""A fact about a group: which step it ends, and what else follows from it.

What was picked settles the quantities, what was handed over is charged.
"""

from collections.abc import Sequence

from services.order.domain.mode import Milestone, step_completed_by
from services.order.domain.order_commands import ReachMilestone
from services.order.domain.order_events import Event, StepCompleted
from services.order.domain.order_payment import capture
from services.order.domain.order_shortages import lighter_of, missing_of, with_over
from services.order.domain.order_state import GroupProgress, Order, evolve
from services.order.domain.order_steps import completing, leave, start


def reach(command: ReachMilestone, order: Order, group: GroupProgress) -> Sequence[Event]:
    place = step_completed_by(group.steps, group.place, command.milestone)
    if place is None:
        return []
    events: list[Event] = []
    match command.milestone:
        case Milestone.PICKED:
            events += lighter_of(group, command.lines)
            for event in events:
                order = evolve(order, event)
            missing = missing_of(order.groups[command.group_id], command.lines)
            for event in missing:
                order = evolve(order, event)
            events += missing
            weighed = with_over(order.groups[command.group_id], command.lines)
            events += leave(order, weighed, place)
        case Milestone.HANDED_OVER | Milestone.HANDED_TO_CARRIER if not group.is_captured:
            captured = capture(order, group, command.lines)
            completed = StepCompleted(order.customer_id, command.group_id, group.steps[place])
            events += [completed, captured] if captured else [completed]
            for event in events:
                order = evolve(order, event)
            events += start(order, order.groups[command.group_id], place + 1)
        case _:
            events += leave(order, group, place)
    return completing(order, events)
