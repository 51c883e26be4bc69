"""Who has a task: one picker at a time, until he gives it back or it is given to another."""

from collections.abc import Sequence

from services.kernel.domain.errors import Rejected
from services.picking.domain.pick_task_commands import ClaimTask, ReassignTask, Refusal, UnclaimTask
from services.picking.domain.pick_task_events import Event, TaskClaimed, TaskUnclaimed
from services.picking.domain.pick_task_state import Phase, PickTask


def claim(command: ClaimTask, task: PickTask) -> Sequence[Event]:
    if task.phase is Phase.OPEN:
        return [TaskClaimed(task.order_id, task.site_id, command.picker_id, command.claim_id)]
    # The claim's own repeat may arrive when the work is long done.
    if task.picker_id == command.picker_id and (
        task.phase is Phase.CLAIMED or task.claim_id == command.claim_id
    ):
        return []
    raise Rejected(
        Refusal.STEP_CONFLICT,
        "another picker has the task; take the next one, or have it reassigned"
        if task.phase is Phase.CLAIMED
        else "the task is completed or cancelled; take the next one",
    )


def unclaim(command: UnclaimTask, task: PickTask) -> Sequence[Event]:
    if task.phase is Phase.OPEN:
        return []
    require_held_by(command.picker_id, task)
    return [TaskUnclaimed(command.picker_id)]


def reassign(command: ReassignTask, task: PickTask) -> Sequence[Event]:
    if task.phase is Phase.CLAIMED and task.picker_id == command.to_picker_id:
        return []
    require_held_by(command.from_picker_id, task)
    return [TaskClaimed(task.order_id, task.site_id, command.to_picker_id, command.claim_id)]


def require_held_by(picker_id: str, task: PickTask) -> None:
    if task.phase is not Phase.CLAIMED:
        raise Rejected(
            Refusal.STEP_CONFLICT,
            "the task is completed, nothing of it can be picked or missing any more; "
            "take the next one, and book what is damaged as a movement of the stock"
            if task.phase is Phase.COMPLETED
            else "nobody is picking the task now; claim it while it is open",
        )
    if task.picker_id != picker_id:
        raise Rejected(Refusal.STEP_CONFLICT, "another picker has the task; have it reassigned")
