"""One order in full: where the units of each line are, and how far each group is.

Answers    OrderService.GetOrder
Fed by     the facts of the order's timeline, folded when asked; a pure function of them
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from services.order.domain.consumer_view import Fact
from services.order.domain.mode import Choice, Milestone, Step
from services.order.domain.order import ORDER
from services.order.domain.order_events import (
    Line,
    LineWeighed,
    OrderPlaced,
    PaymentCaptured,
    StepCompleted,
    StepStarted,
)
from services.order.domain.order_state import GroupProgress, Order, Status

_WITH_CUSTOMER = (Milestone.HANDED_OVER, Milestone.DELIVERED)


@dataclass(slots=True)
class Quantities:
    """The partition of a line's quantity: the parts add up to it."""

    open: int = 0
    allocated: int = 0
    picked: int = 0
    in_transit: int = 0
    delivered: int = 0
    shorted: int = 0
    cancelled: int = 0
    lighter: int = 0


@dataclass(frozen=True, slots=True)
class LineView:
    line: Line
    choice: Choice
    quantities: Quantities


class StepState(Enum):
    PENDING = auto()
    STARTED = auto()
    COMPLETED = auto()
    SKIPPED = auto()


@dataclass(frozen=True, slots=True)
class StepView:
    step: Step
    state: StepState
    started_at: datetime | None
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class GroupView:
    progress: GroupProgress
    steps: tuple[StepView, ...]
    current_step_id: str
    captured_minor: int


@dataclass(frozen=True, slots=True)
class OrderDetail:
    order: Order
    placed: OrderPlaced
    lines: tuple[LineView, ...]
    groups: tuple[GroupView, ...]
    version: int


type _Times = dict[tuple[str, str], datetime]
type _Units = dict[tuple[str, str], int]


def detail_of(facts: Sequence[Fact]) -> OrderDetail:
    """Return an order in full from all its facts, oldest first, at least one."""
    placed = facts[0].event
    if not isinstance(placed, OrderPlaced):
        raise TypeError("the first fact of an order is its placement")
    order = ORDER.fold(fact.event for fact in facts)
    started: _Times = {}
    completed: _Times = {}
    captured: dict[str, int] = {}
    lighter: _Units = {}
    for fact in facts:
        match fact.event:
            case StepStarted(_, group, step):
                started[group.group_id, step.step_id] = fact.at
            case StepCompleted(_, group_id, step):
                completed[group_id, step.step_id] = fact.at
            case LineWeighed() as event:
                lighter[event.group_id, event.line_id] = event.lighter
            case PaymentCaptured() as event:
                captured[event.group_id] = event.amount_minor + event.fee_minor
            case _:
                pass
    return OrderDetail(
        order,
        placed,
        _lines(placed, order, completed, lighter),
        tuple(
            _group(order, progress, started, completed, captured.get(group_id, 0))
            for group_id, progress in order.groups.items()
        ),
        facts[-1].version,
    )


def _lines(
    placed: OrderPlaced, order: Order, completed: _Times, lighter: _Units
) -> tuple[LineView, ...]:
    parts = {line.line_id: Quantities() for line in placed.lines}
    for line in placed.lines:
        if not order.groups:
            if order.status is Status.PLACED:
                parts[line.line_id].open = line.quantity
            else:
                parts[line.line_id].cancelled = line.quantity
    for progress in order.groups.values():
        current = {line.line_id: line.quantity for line in progress.group.lines}
        delivered = {line.line_id: line.quantity for line in progress.delivered}
        done = {
            step.completes_on
            for step in progress.steps
            if (progress.group.group_id, step.step_id) in completed
        }
        for line_id, ordered in progress.ordered.items():
            quantities = parts[line_id]
            left = current.get(line_id, 0)
            weighed = lighter.get((progress.group.group_id, line_id), 0)
            quantities.lighter += weighed
            quantities.shorted += ordered - left - weighed
            if order.status is Status.CANCELLED:
                quantities.cancelled += left
            elif progress.is_captured or progress.is_done:
                with_customer = progress.is_done or any(m in done for m in _WITH_CUSTOMER)
                units = delivered.get(line_id, 0)
                if with_customer:
                    quantities.delivered += units
                else:
                    quantities.in_transit += units
                quantities.shorted += left - units
            elif Milestone.PICKED in done:
                quantities.picked += left
            else:
                quantities.allocated += left
    return tuple(
        LineView(line, placed.choices[line.choice], parts[line.line_id]) for line in placed.lines
    )


def _group(
    order: Order, progress: GroupProgress, started: _Times, completed: _Times, captured_minor: int
) -> GroupView:
    is_moving = order.status is Status.ACCEPTED and not progress.is_done
    group_id = progress.group.group_id
    steps: list[StepView] = []
    for place, step in enumerate(progress.steps):
        key = (group_id, step.step_id)
        if key in completed:
            state = StepState.COMPLETED
        elif not is_moving or place < progress.place:
            state = StepState.SKIPPED
        else:
            state = StepState.STARTED if place == progress.place else StepState.PENDING
        steps.append(StepView(step, state, started.get(key), completed.get(key)))
    # Between the end of the last step and that of the group, no step is current.
    is_in_step = is_moving and progress.place < len(progress.steps)
    current = progress.steps[progress.place].step_id if is_in_step else ""
    return GroupView(progress, tuple(steps), current, captured_minor)
