"""The groups of an order come from a plan: when it is accepted, and when its stock lay elsewhere.

A plan must bring exactly the units that were ordered, in the modes that were chosen. Groups that
nobody has picked yet can be replaced; what is picked stays, for it is there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from services.kernel.domain.errors import Rejected
from services.order.domain.mode import Milestone, step_completed_by
from services.order.domain.order_commands import AcceptOrder, Refusal, ReplaceGroups
from services.order.domain.order_events import (
    Event,
    Group,
    GroupsKept,
    GroupsReplaced,
    OrderAccepted,
)
from services.order.domain.order_state import GroupProgress, Order, Status, evolve
from services.order.domain.order_steps import completing, leave, open_group, start


def accept(command: AcceptOrder, order: Order) -> Sequence[Event]:
    planned: dict[str, int] = {}
    for group in command.groups:
        for line in group.lines:
            planned[line.line_id] = planned.get(line.line_id, 0) + line.quantity
    if planned != {line_id: line.quantity for line_id, line in order.lines.items()}:
        raise Rejected(
            Refusal.PLAN_MISMATCH, "the groups of the plan are not exactly the lines of the order"
        )
    modes = {(mode.mode_id, mode.version) for mode in order.modes}
    if any((group.mode_id, group.mode_version) not in modes for group in command.groups):
        raise Rejected(
            Refusal.PLAN_MISMATCH, "the plan names a mode version that the order did not choose"
        )
    accepted = OrderAccepted(command.groups, command.reservation_id, command.plan_revision)
    order = evolve(order, accepted)
    events: list[Event] = [accepted]
    for group in command.groups:
        progress = order.groups[group.group_id]
        # Acceptance is itself a fact: a step that waits for the reservation is over as it begins,
        # so its start is not told.
        confirmed = step_completed_by(progress.steps, 0, Milestone.RESERVED)
        if confirmed is None:
            events += start(order, progress, 0)
        else:
            events += leave(order, progress, confirmed)
    return completing(order, events)


def replace_groups(command: ReplaceGroups, order: Order) -> Sequence[Event]:
    """Replace groups that nobody has picked yet; keep them all otherwise, and say so.

    What is picked stays, for it is there. A cancelled order gives everything back anyway.
    """
    if command.plan_revision <= order.plan_revision or order.status in (
        *(Status.NEW, Status.PLACED, Status.REFUSED, Status.CANCELLED),
    ):
        return []
    replaced_group_ids = command.replaced_group_ids or tuple(order.groups)
    known = [open_group(order, group_id) for group_id in replaced_group_ids]
    replaced = [group for group in known if group is not None]
    is_replaceable = len(replaced) == len(known) and all(map(_awaits_pick, replaced))
    if not is_replaceable or _units(group.group for group in replaced) != _units(command.groups):
        return [_kept(command, order)]
    events: list[Event] = [
        GroupsReplaced(replaced_group_ids, command.groups, command.plan_revision)
    ]
    order = evolve(order, events[0])
    for group in command.groups:
        progress = order.groups[group.group_id]
        # That it is confirmed was told for the groups before.
        confirmed = step_completed_by(progress.steps, 0, Milestone.RESERVED)
        events += start(order, progress, 0 if confirmed is None else confirmed + 1)
    return events


def _awaits_pick(group: GroupProgress) -> bool:
    return step_completed_by(group.steps, group.place, Milestone.PICKED) is not None


def _kept(command: ReplaceGroups, order: Order) -> GroupsKept:
    """Say what stays, so that nobody takes from it what goes: they may share site and product."""
    groups = order.groups
    return GroupsKept(
        command.groups,
        command.plan_revision,
        tuple([replace(one.group, lines=one.planned) for one in groups.values()]),
        tuple([key for key, one in groups.items() if one.is_done or not _awaits_pick(one)]),
    )


def _units(groups: Iterable[Group]) -> Mapping[tuple[str, str, int], int]:
    """Return base units by line and mode."""
    units: dict[tuple[str, str, int], int] = {}
    for group in groups:
        for line in group.lines:
            key = (line.line_id, group.mode_id, group.mode_version)
            units[key] = units.get(key, 0) + line.quantity
    return units
