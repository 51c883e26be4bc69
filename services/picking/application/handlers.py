"""What pickers ask for, one unit of work each."""

from dataclasses import dataclass
from zlib import crc32

from services.kernel.application.runner import Runner
from services.kernel.application.work import Versioned, Work
from services.kernel.domain.errors import NotFound
from services.kernel.domain.messages import Cause
from services.picking.application.ports import TasksToClaim, WeightVariableSkus
from services.picking.domain.pick_task import PICK_TASK
from services.picking.domain.pick_task_commands import ClaimTask, Command, Pick, RecordLines, Short
from services.picking.domain.pick_task_state import Phase, PickTask

CANDIDATES = 64
"""Open tasks that one ClaimNext looks at."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """The task that a picker took."""

    task_id: str
    version: int


@dataclass(frozen=True, slots=True)
class PickingHandlers:
    """The use cases of picking.

    Attributes:
        runner: Runs each of them.
        tasks_to_claim: Finds open tasks.
        weight_variable_skus: Knows the products whose weight varies.
        tolerance_percent: How far what is picked of those may differ from what was ordered, in
            percent of it.
    """

    runner: Runner
    tasks_to_claim: TasksToClaim
    weight_variable_skus: WeightVariableSkus
    tolerance_percent: int

    async def change(self, cause: Cause, task_id: str, command: Command) -> Versioned[PickTask]:
        """Carry out a command on a task that exists; return the task after it."""

        async def use_case(work: Work) -> Versioned[PickTask]:
            return await _change(work, task_id, command)

        return await self.runner.execute(cause, use_case)

    async def record(
        self, cause: Cause, task_id: str, picker_id: str, actions: tuple[Pick | Short, ...]
    ) -> Versioned[PickTask]:
        """Record picks and shortages, looking up what may weigh otherwise than it was ordered."""

        async def use_case(work: Work) -> Versioned[PickTask]:
            task = (await work.state(PICK_TASK, task_id)).state
            skus = _unevenly_picked_skus(task, actions)
            tolerance: dict[str, int] = {}
            if skus:  # only then is a look at the products needed
                variable = await self.weight_variable_skus(
                    work.sql, tenant=work.cause.tenant, skus=sorted(skus)
                )
                tolerance = {
                    line_id: self.tolerance_percent
                    for line_id, line in task.lines.items()
                    if line.sku in variable
                }
            return await _change(work, task_id, RecordLines(picker_id, actions, tolerance))

        return await self.runner.execute(cause, use_case)

    async def claim_next(self, cause: Cause, site_id: str, picker_id: str) -> Claimed | None:
        """Take the oldest open task of the site; ``None`` when there is none.

        Two pickers who ask at once get two tasks: the loser of a race runs again and finds the
        task taken. Each lost race widens the choice, so that many who ask at once spread out
        instead of racing for every task in turn.
        """
        tries = 0

        async def use_case(work: Work) -> Claimed | None:
            nonlocal tries
            tries += 1
            task_ids = await self.tasks_to_claim(
                work.sql,
                tenant=work.cause.tenant,
                site_id=site_id,
                claim_id=cause.command_id,
                limit=CANDIDATES,
            )
            await work.load(PICK_TASK, task_ids)
            open_task_ids: list[str] = []
            for task_id in task_ids:
                task = await work.state(PICK_TASK, task_id)
                if task.state.claim_id == cause.command_id:
                    return Claimed(task_id, task.version)
                if task.state.phase is Phase.OPEN:
                    open_task_ids.append(task_id)
            if not open_task_ids:
                return None
            width = min(4 ** (tries - 1), len(open_task_ids))
            chosen = open_task_ids[crc32(picker_id.encode()) % width]
            claimed = await _change(work, chosen, ClaimTask(picker_id, cause.command_id))
            return Claimed(chosen, claimed.version)

        return await self.runner.execute(cause, use_case)


async def _change(work: Work, task_id: str, command: Command) -> Versioned[PickTask]:
    before = await work.state(PICK_TASK, task_id)
    if before.state.phase is Phase.UNKNOWN:
        raise NotFound("pick task", task_id)
    await work.handle(PICK_TASK, task_id, command)
    return await work.state(PICK_TASK, task_id)


def _unevenly_picked_skus(task: PickTask, actions: tuple[Pick | Short, ...]) -> set[str]:
    """Return the products of which not exactly what was ordered will be picked.

    What is said to be missing does not count here: of goods that weigh less than was ordered, a
    terminal may call the difference missing.
    """
    taken: dict[str, int] = {}
    for action in actions:
        picked = action.quantity if isinstance(action, Pick) else 0
        taken[action.line_id] = taken.get(action.line_id, 0) + picked
    return {
        line.sku
        for line_id, quantity in taken.items()
        if (line := task.lines.get(line_id)) is not None
        and (
            line.is_enough if not quantity else line.picked + line.short + quantity != line.ordered
        )
    }
