"""Gathering one group at its site: who has the task, what was picked, what was missing.

Stream  ``picktask-{group_id}``
Rule    no action counts twice; more than ordered only within the tolerance of a product whose
        weight varies, and within it less is enough; the event that accounts for the last line
        completes the task.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum, StrEnum, auto
from typing import assert_never

from services.kernel.domain.decider import Decider, Kind
from services.kernel.domain.errors import NotFound, Rejected


class ShortReason(StrEnum):
    NOT_FOUND = "not_found"
    DAMAGED = "damaged"


# Events. Fields are storage format: add, never rename. Names are in adapters/event_codec.py.


@dataclass(frozen=True, slots=True)
class TaskLine:
    line_id: str
    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class TaskReleased:
    order_id: str
    site_id: str
    lines: tuple[TaskLine, ...]
    promised_at: datetime | None


@dataclass(frozen=True, slots=True)
class TaskClaimed:
    """Also written when a task goes from one picker straight to another."""

    order_id: str
    site_id: str
    picker_id: str
    claim_id: str


@dataclass(frozen=True, slots=True)
class TaskUnclaimed:
    picker_id: str


@dataclass(frozen=True, slots=True)
class LinePicked:
    """``is_enough``: the line is lighter than ordered, within its tolerance, and done with it."""

    order_id: str
    site_id: str
    picker_id: str
    action_id: str
    line_id: str
    sku: str
    quantity: int
    is_enough: bool = False


@dataclass(frozen=True, slots=True)
class LineShorted:
    order_id: str
    site_id: str
    picker_id: str
    action_id: str
    line_id: str
    sku: str
    quantity: int
    reason: ShortReason


@dataclass(frozen=True, slots=True)
class CompletedLine:
    """``lighter`` base units are neither picked nor missing: the goods weigh less than ordered."""

    line_id: str
    sku: str
    ordered_quantity: int
    picked_quantity: int
    reason: ShortReason | None
    lighter: int = 0


@dataclass(frozen=True, slots=True)
class PickCompleted:
    order_id: str
    site_id: str
    lines: tuple[CompletedLine, ...]


@dataclass(frozen=True, slots=True)
class TaskCancelled:
    order_id: str
    site_id: str


@dataclass(frozen=True, slots=True)
class LinePutBack:
    order_id: str
    site_id: str
    picker_id: str
    action_id: str
    line_id: str
    sku: str
    quantity: int


type Event = (
    TaskReleased
    | TaskClaimed
    | TaskUnclaimed
    | LinePicked
    | LineShorted
    | PickCompleted
    | TaskCancelled
    | LinePutBack
)


# Commands.


@dataclass(frozen=True, slots=True)
class ReleaseTask:
    order_id: str
    site_id: str
    lines: tuple[TaskLine, ...]
    promised_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ClaimTask:
    picker_id: str
    claim_id: str


@dataclass(frozen=True, slots=True)
class UnclaimTask:
    picker_id: str


@dataclass(frozen=True, slots=True)
class ReassignTask:
    from_picker_id: str
    to_picker_id: str
    claim_id: str


@dataclass(frozen=True, slots=True)
class Pick:
    """What a picker did; the same ``action_id`` never counts twice."""

    action_id: str
    line_id: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Short:
    """What a picker missed; the same ``action_id`` never counts twice."""

    action_id: str
    line_id: str
    quantity: int
    reason: ShortReason


@dataclass(frozen=True, slots=True)
class RecordLines:
    """Picks and shortages, in the order in which they happened: all are recorded, or none.

    Attributes:
        picker_id: Who acted.
        actions: What he did.
        tolerance_percent: How far what is picked of a line may differ from what was ordered, by
            line; a line that is not named must be picked exactly.
    """

    picker_id: str
    actions: tuple[Pick | Short, ...]
    tolerance_percent: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class CancelTask:
    """The order is cancelled."""


@dataclass(frozen=True, slots=True)
class PutBack:
    picker_id: str
    action_id: str
    line_id: str
    quantity: int


type Command = (
    ReleaseTask | ClaimTask | UnclaimTask | ReassignTask | RecordLines | CancelTask | PutBack
)


class Refusal(StrEnum):
    STEP_CONFLICT = "STEP_CONFLICT"
    OVER_PICK = "OVER_PICK"
    ACTION_REUSED = "IDEMPOTENCY_MISMATCH"


# State: only what the rules need.


class Phase(Enum):
    UNKNOWN = auto()
    OPEN = auto()
    CLAIMED = auto()
    COMPLETED = auto()
    CANCELLED = auto()


@dataclass(frozen=True, slots=True)
class LineProgress:
    sku: str
    ordered: int
    picked: int = 0
    short: int = 0
    put_back: int = 0
    reason: ShortReason | None = None
    is_enough: bool = False

    @property
    def is_accounted(self) -> bool:
        return self.is_enough or self.picked + self.short >= self.ordered

    @property
    def open(self) -> int:
        """Base units that are neither picked nor short."""
        return max(self.ordered - self.picked - self.short, 0)

    # Written out, because dataclasses.replace is slow and every pick passes here.

    def with_picked(self, quantity: int, *, is_enough: bool = False) -> "LineProgress":
        return LineProgress(
            *(self.sku, self.ordered, self.picked + quantity, self.short, self.put_back),
            *(self.reason, is_enough or self.is_enough),
        )

    def with_short(self, quantity: int, reason: ShortReason) -> "LineProgress":
        return LineProgress(
            *(self.sku, self.ordered, self.picked, self.short + quantity, self.put_back),
            *(reason, self.is_enough),
        )

    def with_put_back(self, quantity: int) -> "LineProgress":
        return LineProgress(
            *(self.sku, self.ordered, self.picked, self.short, self.put_back + quantity),
            *(self.reason, self.is_enough),
        )


type Action = tuple[str, str, int, str]
"""What an action id stands for: verb, line, quantity, reason."""


@dataclass(frozen=True, slots=True)
class PickTask:
    phase: Phase = Phase.UNKNOWN
    order_id: str = ""
    site_id: str = ""
    picker_id: str = ""
    claim_id: str = ""
    lines: Mapping[str, LineProgress] = field(default_factory=dict[str, LineProgress])
    open_line_count: int = 0
    actions: Mapping[str, Action] = field(default_factory=dict[str, Action])

    @property
    def has_units_to_put_back(self) -> bool:
        return self.phase is Phase.CANCELLED and any(
            line.picked > line.put_back for line in self.lines.values()
        )


def decide(command: Command, task: PickTask) -> Sequence[Event]:  # noqa: PLR0911 - one per command
    match command:
        case ReleaseTask():
            return _release(command, task)
        case ClaimTask():
            return _claim(command, task)
        case UnclaimTask():
            return _unclaim(command, task)
        case ReassignTask():
            return _reassign(command, task)
        case RecordLines():
            return _record(command, task)
        case CancelTask():
            # After completion the completion stands, and the picked units still have to go back.
            is_over = task.phase in {Phase.UNKNOWN, Phase.CANCELLED}
            return [] if is_over else [TaskCancelled(task.order_id, task.site_id)]
        case PutBack():
            return _put_back(command, task)
        case _:
            assert_never(command)


def _release(command: ReleaseTask, task: PickTask) -> Sequence[Event]:
    if task.phase is not Phase.UNKNOWN:
        return []
    released = TaskReleased(command.order_id, command.site_id, command.lines, command.promised_at)
    if command.lines:
        return [released]
    return [released, PickCompleted(command.order_id, command.site_id, ())]


def _claim(command: ClaimTask, task: PickTask) -> Sequence[Event]:
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


def _unclaim(command: UnclaimTask, task: PickTask) -> Sequence[Event]:
    if task.phase is Phase.OPEN:
        return []
    _require_held_by(command.picker_id, task)
    return [TaskUnclaimed(command.picker_id)]


def _reassign(command: ReassignTask, task: PickTask) -> Sequence[Event]:
    if task.phase is Phase.CLAIMED and task.picker_id == command.to_picker_id:
        return []
    _require_held_by(command.from_picker_id, task)
    return [TaskClaimed(task.order_id, task.site_id, command.to_picker_id, command.claim_id)]


def _require_held_by(picker_id: str, task: PickTask) -> None:
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


def _record(command: RecordLines, task: PickTask) -> Sequence[Event]:
    lines, actions = dict(task.lines), dict(task.actions)
    open_line_count = task.open_line_count
    events: list[Event] = []
    for action in command.actions:
        # A terminal may repeat what it did long after: the action is looked up before the phase.
        content = _content(action)
        if _is_known_action(action.action_id, content, actions):
            continue
        line = _line(action.line_id, lines)
        tolerance_percent = command.tolerance_percent.get(action.line_id, 0)
        if _is_own(command.picker_id, task) and _is_lightness(action, line, tolerance_percent):
            continue
        _require_held_by(command.picker_id, task)
        match action:
            case Pick(_, line_id, quantity):
                _refuse_over_pick(action, line, tolerance_percent)
                is_enough = _is_enough(line.with_picked(quantity), tolerance_percent)
                after = line.with_picked(quantity, is_enough=is_enough)
                events.append(
                    LinePicked(
                        task.order_id,
                        task.site_id,
                        command.picker_id,
                        action.action_id,
                        line_id,
                        line.sku,
                        quantity,
                        is_enough,
                    )
                )
            case Short(_, line_id, quantity, reason):
                _refuse_over_short(action, line)
                after = line.with_short(quantity, reason)
                events.append(
                    LineShorted(
                        task.order_id,
                        task.site_id,
                        command.picker_id,
                        action.action_id,
                        line_id,
                        line.sku,
                        quantity,
                        reason,
                    )
                )
            case _:
                assert_never(action)
        lines[line_id], actions[action.action_id] = after, content
        open_line_count -= after.is_accounted and not line.is_accounted
    if events and open_line_count == 0:
        events.append(PickCompleted(task.order_id, task.site_id, _completed_lines(lines)))
    return events


def _is_enough(line: LineProgress, tolerance_percent: int) -> bool:
    """Return whether what is open of a line is a difference of weight, and not a shortage.

    The line takes more for as long as the task is open: the next piece may be in the hand already.
    """
    return 0 < line.open <= _tolerated(line, tolerance_percent)


def _is_lightness(action: Pick | Short, line: LineProgress, tolerance_percent: int) -> bool:
    """Return whether a terminal calls missing what the goods only weigh less than was ordered.

    It does not know that the line is done, and must be told neither that it is wrong nor, when it
    says so again after another piece, that it is too late: what is open then is not asked.
    """
    return (
        isinstance(action, Short)
        and action.reason is ShortReason.NOT_FOUND
        and line.is_enough
        and action.quantity <= _tolerated(line, tolerance_percent)
    )


def _is_own(picker_id: str, task: PickTask) -> bool:
    """Return whether the picker has the task, or completed it."""
    return task.picker_id == picker_id and task.phase in {Phase.CLAIMED, Phase.COMPLETED}


def _tolerated(line: LineProgress, tolerance_percent: int) -> int:
    return (line.ordered - line.short) * tolerance_percent // 100


def _refuse_over_pick(pick: Pick, line: LineProgress, tolerance_percent: int) -> None:
    # A finished line takes no more: the tolerance is for the last piece on the scale.
    allowed = line.open + line.ordered * tolerance_percent // 100 if line.open else 0
    if pick.quantity > allowed:
        raise Rejected(
            Refusal.OVER_PICK,
            f"line {pick.line_id}: {pick.quantity} picked where at most {allowed} may be; "
            "put the difference back and send the lower quantity under the same action id",
        )


def _refuse_over_short(short: Short, line: LineProgress) -> None:
    if short.quantity > line.open:
        raise Rejected(
            Refusal.OVER_PICK,
            f"line {short.line_id}: {short.quantity} missing where only {line.open} are open; "
            "send the lower quantity",
        )


def _put_back(command: PutBack, task: PickTask) -> Sequence[Event]:
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


def evolve(task: PickTask, event: Event) -> PickTask:  # noqa: PLR0911 - one per event
    match event:
        case TaskReleased(order_id, site_id, lines, _):
            return PickTask(
                phase=Phase.OPEN,
                order_id=order_id,
                site_id=site_id,
                lines={line.line_id: LineProgress(line.sku, line.quantity) for line in lines},
                open_line_count=len({line.line_id for line in lines}),
            )
        case TaskClaimed(_, _, picker_id, claim_id):
            return replace(task, phase=Phase.CLAIMED, picker_id=picker_id, claim_id=claim_id)
        case TaskUnclaimed():
            return replace(task, phase=Phase.OPEN, picker_id="", claim_id="")
        case LinePicked(_, _, _, action_id, line_id, _, quantity, is_enough):
            line = task.lines[line_id].with_picked(quantity, is_enough=is_enough)
            return _with_line(task, line_id, line, action_id, ("pick", line_id, quantity, ""))
        case LineShorted(_, _, _, action_id, line_id, _, quantity, reason):
            line = task.lines[line_id].with_short(quantity, reason)
            content = ("short", line_id, quantity, reason.value)
            return _with_line(task, line_id, line, action_id, content)
        case PickCompleted():
            return replace(task, phase=Phase.COMPLETED)
        case TaskCancelled():
            return replace(task, phase=Phase.CANCELLED)
        case LinePutBack(_, _, _, action_id, line_id, _, quantity):
            line = task.lines[line_id].with_put_back(quantity)
            return _with_line(task, line_id, line, action_id, ("put_back", line_id, quantity, ""))
        case _:
            assert_never(event)


def _with_line(
    task: PickTask, line_id: str, line: LineProgress, action_id: str, content: Action
) -> PickTask:
    newly_accounted = line.is_accounted and not task.lines[line_id].is_accounted
    return PickTask(
        task.phase,
        task.order_id,
        task.site_id,
        task.picker_id,
        task.claim_id,
        {**task.lines, line_id: line},
        task.open_line_count - newly_accounted,
        {**task.actions, action_id: content},
    )


PICK_TASK_DECIDER: Decider[Command, PickTask, Event] = Decider(PickTask(), decide, evolve)
PICK_TASK: Kind[Command, PickTask, Event] = Kind("picktask", PICK_TASK_DECIDER)
