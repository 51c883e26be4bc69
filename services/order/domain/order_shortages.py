"""What a group really has of its lines: less than ordered, or lighter, or heavier.

Units that are missing are told as they are found, or at the latest when the group is picked. Goods
that weigh less are all there and no shortage; goods that weigh more leave the house uncharged.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from services.order.domain.order_commands import NoteShort, ReachedLine
from services.order.domain.order_events import Event, LineShorted, LineWeighed
from services.order.domain.order_state import GroupProgress, Order, evolve
from services.order.domain.order_steps import completing, group_completed


def note_short(command: NoteShort, order: Order, group: GroupProgress) -> Sequence[Event]:
    if command.heard_version <= group.heard_version:
        return []
    current = _quantity(group, command.line_id)
    if current == 0 or group.is_captured:
        return []
    left = max(0, current - command.missing)
    shorted = _shorted(group, command.line_id, left, command.reason, command.heard_version)
    order = evolve(order, shorted)
    group = order.groups[command.group_id]
    # Nobody prepares or hands over an empty group.
    events: list[Event] = [shorted]
    if not group.group.lines:
        events.append(group_completed(order, group))
    return completing(order, events)


def missing_of(group: GroupProgress, picked: Iterable[ReachedLine]) -> list[Event]:
    """What the site says it has not picked and no earlier message told."""
    return [
        _shorted(group, line.line_id, line.quantity, line.reason, group.heard_version)
        for line in picked
        if line.quantity < _quantity(group, line.line_id)
    ]


def lighter_of(group: GroupProgress, picked: Iterable[ReachedLine]) -> list[Event]:
    """What weighs less than was ordered: paid for as it weighs, and no shortage."""
    weighed: list[Event] = []
    for line in picked:
        current = _quantity(group, line.line_id)
        lighter = min(line.lighter, current - line.quantity)
        if lighter > 0:
            weighed.append(
                LineWeighed(
                    group.group.group_id,
                    line.line_id,
                    next(one.sku for one in group.group.lines if one.line_id == line.line_id),
                    group.ordered[line.line_id],
                    current - lighter,
                    lighter,
                )
            )
    return weighed


def with_over(group: GroupProgress, picked: Iterable[ReachedLine]) -> GroupProgress:
    """Note what weighs more than was ordered: all that is in the tote leaves the house."""
    units = {line.line_id: line.quantity for line in picked}
    lines = tuple(
        replace(line, over=max(0, units.get(line.line_id, 0) - line.quantity))
        for line in group.group.lines
    )
    return replace(group, group=replace(group.group, lines=lines))


def _shorted(
    group: GroupProgress, line_id: str, left: int, reason: str, heard_version: int
) -> LineShorted:
    sku = next(line.sku for line in group.group.lines if line.line_id == line_id)
    return LineShorted(
        group.group.group_id, line_id, sku, group.ordered[line_id], left, reason, heard_version
    )


def _quantity(group: GroupProgress, line_id: str) -> int:
    return next((line.quantity for line in group.group.lines if line.line_id == line_id), 0)
