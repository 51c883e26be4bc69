"""What pickers did with the lines of a task: picked, missed, put back.

An action has an id and counts once, however often it is told; with other content it is refused.
The action that accounts for the last line completes the task. What a picked line weighs less or
more than was ordered is in ``pick_task_weight``.
"""

from collections.abc import Mapping, Sequence
from typing import assert_never

from services.kernel.domain.errors import NotFound, Rejected
from services.picking.domain.pick_task_claim import require_held_by
from services.picking.domain.pick_task_commands import Pick, PutBack, RecordLines, Refusal, Short
from services.picking.domain.pick_task_events import (
    CompletedLine,
    Event,
    LinePicked,
    LinePutBack,
    LineShorted,
    PickCompleted,
)
from services.picking.domain.pick_task_state import Action, LineProgress, Phase, PickTask
from services.picking.domain.pick_task_weight import is_light_enough, is_lightness, refuse_over_pick


def record(command: RecordLines, task: PickTask) -> Sequence[Event]:
    lines, actions = dict(task.lines), dict(task.actions)
    open_line_count = task.open_line_count
    events: list[Event] = []
    event: Event
    for action in command.actions:
        # A terminal may repeat what it did long after: the action is looked up before the phase.
        content = _content(action)
        if _is_known_action(action.action_id, content, actions):
            continue
        line = _line(action.line_id, lines)
        tolerance_percent = command.tolerance_percent.get(action.line_id, 0)
        if _is_own(command.picker_id, task) and is_lightness(action, line, tolerance_percent):
            continue
        require_held_by(command.picker_id, task)
        match action:
            case Pick():
                event, after = _picked(action, line, tolerance_percent, command.picker_id, task)
            case Short():
                event, after = _shorted(action, line, command.picker_id, task)
            case _:
                assert_never(action)
        events.append(event)
        lines[action.line_id], actions[action.action_id] = after, content
        open_line_count -= after.is_accounted and not line.is_accounted
    if events and open_line_count == 0:
        events.append(PickCompleted(task.order_id, task.site_id, _completed_lines(lines)))
    return events


def _picked(
    pick: Pick, line: LineProgress, tolerance_percent: int, picker_id: str, task: PickTask
) -> tuple[LinePicked, LineProgress]:
    refuse_over_pick(pick, line, tolerance_percent)
    is_enough = is_light_enough(line.with_picked(pick.quantity), tolerance_percent)
    picked = LinePicked(
        *(task.order_id, task.site_id, picker_id, pick.action_id, pick.line_id, line.sku),
        *(pick.quantity, is_enough),
    )
    return picked, line.with_picked(pick.quantity, is_enough=is_enough)


def _shorted(
    short: Short, line: LineProgress, picker_id: str, task: PickTask
) -> tuple[LineShorted, LineProgress]:
    _refuse_over_short(short, line)
    shorted = LineShorted(
        *(task.order_id, task.site_id, picker_id, short.action_id, short.line_id, line.sku),
        *(short.quantity, short.reason),
    )
    return shorted, line.with_short(short.quantity, short.reason)


def put_back(command: PutBack, task: PickTask) -> Sequence[Event]:
    content = ("put_back", command.line_id, command.quantity, "")
    if _is_known_action(command.action_id, content, task.actions):
        return []
    if task.phase is not Phase.CANCELLED:
        raise Rejected(
            Refusal.STEP_CONFLICT, "only what was picked for a cancelled task goes back this way"
        )
    line = _line(command.line_id, task.lines)
    if command.quantity > line.picked - line.put_back:
        raise Rejected(
            Refusal.OVER_PICK,
            f"line {command.line_id}: {command.quantity} put back where only "
            f"{line.picked - line.put_back} are out; send the lower quantity",
        )
    return [
        LinePutBack(
            task.order_id,
            task.site_id,
            command.picker_id,
            command.action_id,
            command.line_id,
            line.sku,
            command.quantity,
        )
    ]


def _refuse_over_short(short: Short, line: LineProgress) -> None:
    if short.quantity > line.open:
        raise Rejected(
            Refusal.OVER_PICK,
            f"line {short.line_id}: {short.quantity} missing where only {line.open} are open; "
            "send the lower quantity",
        )


def _is_own(picker_id: str, task: PickTask) -> bool:
    """Return whether the picker has the task, or completed it."""
    return task.picker_id == picker_id and task.phase in {Phase.CLAIMED, Phase.COMPLETED}


def _is_known_action(action_id: str, content: Action, actions: Mapping[str, Action]) -> bool:
    recorded = actions.get(action_id)
    if recorded is not None and recorded != content:
        raise Rejected(
            Refusal.ACTION_REUSED,
            f"action {action_id} was recorded with other content; give each action its own id",
        )
    return recorded is not None


def _content(action: Pick | Short) -> Action:
    match action:
        case Pick(_, line_id, quantity):
            return ("pick", line_id, quantity, "")
        case Short(_, line_id, quantity, reason):
            return ("short", line_id, quantity, reason.value)
        case _:
            assert_never(action)


def _line(line_id: str, lines: Mapping[str, LineProgress]) -> LineProgress:
    try:
        return lines[line_id]
    except KeyError:
        raise NotFound("line of the task", line_id) from None


def _completed_lines(lines: Mapping[str, LineProgress]) -> tuple[CompletedLine, ...]:
    return tuple(
        CompletedLine(line_id, line.sku, line.ordered, line.picked, line.reason, line.open)
        for line_id, line in lines.items()
    )
