"""Where a task stands, as far as its rules need to know, and how each event moves it.

No rule lives here: history is believed as it was written.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import assert_never

from services.picking.domain.pick_task_events import (
    Event,
    LinePicked,
    LinePutBack,
    LineShorted,
    PickCompleted,
    ShortReason,
    TaskCancelled,
    TaskClaimed,
    TaskReleased,
    TaskUnclaimed,
)


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
