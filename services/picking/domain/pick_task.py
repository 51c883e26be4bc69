"""Gathering one group at its site: who has the task, what was picked, what was missing.

Stream  ``picktask-{group_id}``
Rule    no action counts twice; more than ordered only within the tolerance of a product whose
        weight varies, and within it less is enough; the event that accounts for the last line
        completes the task.

Beside it, each a module: ``pick_task_events`` (what happened), ``pick_task_commands`` (what may be
asked, and refusals), ``pick_task_state`` (where it stands), and the rules by family:
``pick_task_claim``, ``pick_task_actions``, ``pick_task_weight``.
"""

from collections.abc import Sequence
from typing import assert_never

from services.kernel.domain.decider import Decider, Kind
from services.picking.domain.pick_task_actions import put_back, record
from services.picking.domain.pick_task_claim import claim, reassign, unclaim
from services.picking.domain.pick_task_commands import (
    CancelTask,
    ClaimTask,
    Command,
    PutBack,
    ReassignTask,
    RecordLines,
    ReleaseTask,
    UnclaimTask,
)
from services.picking.domain.pick_task_events import (
    Event,
    PickCompleted,
    TaskCancelled,
    TaskReleased,
)
from services.picking.domain.pick_task_state import Phase, PickTask, evolve


def decide(command: Command, task: PickTask) -> Sequence[Event]:  # noqa: PLR0911 - one per command
    match command:
        case ReleaseTask():
            return _release(command, task)
        case ClaimTask():
            return claim(command, task)
        case UnclaimTask():
            return unclaim(command, task)
        case ReassignTask():
            return reassign(command, task)
        case RecordLines():
            return record(command, task)
        case CancelTask():
            # After completion the completion stands, and the picked units still have to go back.
            is_over = task.phase in {Phase.UNKNOWN, Phase.CANCELLED}
            return [] if is_over else [TaskCancelled(task.order_id, task.site_id)]
        case PutBack():
            return put_back(command, task)
        case _:
            assert_never(command)


def _release(command: ReleaseTask, task: PickTask) -> Sequence[Event]:
    if task.phase is not Phase.UNKNOWN:
        return []
    released = TaskReleased(command.order_id, command.site_id, command.lines, command.promised_at)
    if command.lines:
        return [released]
    return [released, PickCompleted(command.order_id, command.site_id, ())]


PICK_TASK_DECIDER: Decider[Command, PickTask, Event] = Decider(PickTask(), decide, evolve)
PICK_TASK: Kind[Command, PickTask, Event] = Kind("picktask", PICK_TASK_DECIDER)
