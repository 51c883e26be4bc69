"""Where an order stands, as far as its rules need to know, and how each event moves it.

No rule lives here: history is believed as it was written.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import assert_never

from services.order.domain.mode import Mode, Step
from services.order.domain.order_events import (
    Alternative,
    DeliveredLine,
    Event,
    Group,
    GroupCompleted,
    GroupLine,
    GroupsKept,
    GroupsReplaced,
    LineShorted,
    LineWeighed,
    OrderAccepted,
    OrderCancelled,
    OrderCompleted,
    OrderPlaced,
    OrderRefunded,
    OrderRefused,
    PaymentCaptured,
    StepCompleted,
    StepStarted,
)


class Status(Enum):
    NEW = auto()
    PLACED = auto()
    ACCEPTED = auto()
    REFUSED = auto()
    CANCELLED = auto()
    COMPLETED = auto()


@dataclass(frozen=True, slots=True)
class LineAccount:
    """A line's frozen price, and how many of its units are charged."""

    quantity: int
    net_minor: int
    charged_quantity: int = 0


@dataclass(frozen=True, slots=True)
class GroupProgress:
    """``group`` holds the current quantities, ``ordered`` and ``planned`` the planned ones."""

    group: Group
    ordered: Mapping[str, int]
    steps: tuple[Step, ...]
    place: int = 0
    is_captured: bool = False
    is_done: bool = False
    delivered: tuple[DeliveredLine, ...] = ()
    heard_version: int = 0
    planned: tuple[GroupLine, ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    status: Status = Status.NEW
    fingerprint: str = ""
    customer_id: str = ""
    currency: str = ""
    lines: Mapping[str, LineAccount] = field(default_factory=dict[str, LineAccount])
    modes: tuple[Mode, ...] = ()
    total_minor: int = 0
    groups: Mapping[str, GroupProgress] = field(default_factory=dict[str, GroupProgress])
    reservation_id: str = ""
    plan_revision: int = 0
    reason: str = ""
    alternatives: tuple[Alternative, ...] = ()
    captured_minor: int = 0
    paid_modes: frozenset[str] = frozenset()
    refunds: Mapping[str, int] = field(default_factory=dict[str, int])
    refunded_minor: int = 0

    @property
    def is_cancellable(self) -> bool:
        """True before acceptance, and while every group stands in a step that allows it.

        A group that ended with nothing handed over stands in nobody's way.
        """
        if self.status is Status.PLACED:
            return True
        return self.status is Status.ACCEPTED and all(
            not group.is_captured
            and (group.is_done or any(s.cancellable for s in group.steps[group.place :][:1]))
            for group in self.groups.values()
        )


def evolve(order: Order, event: Event) -> Order:  # noqa: C901, PLR0911, PLR0912 - one per kind
    match event:
        case OrderPlaced():
            return Order(
                status=Status.PLACED,
                fingerprint=event.fingerprint,
                customer_id=event.customer_id,
                currency=event.currency,
                lines={
                    line.line_id: LineAccount(line.quantity, line.net_minor) for line in event.lines
                },
                modes=event.modes,
                total_minor=event.total_minor,
            )
        case OrderAccepted(groups, reservation_id, plan_revision):
            return replace(
                order,
                status=Status.ACCEPTED,
                reservation_id=reservation_id,
                plan_revision=plan_revision,
                groups=_begun(order, groups),
            )
        case GroupsReplaced(gone, groups, plan_revision):
            stay = {key: group for key, group in order.groups.items() if key not in gone}
            return replace(
                order, groups={**stay, **_begun(order, groups)}, plan_revision=plan_revision
            )
        case GroupsKept(plan_revision=plan_revision):
            return replace(order, plan_revision=plan_revision)
        case OrderRefused(reason, alternatives):
            return replace(
                order, status=Status.REFUSED, reason=reason, alternatives=tuple(alternatives)
            )
        case StepStarted(_, group, step):
            progress = order.groups[group.group_id]
            return _put(order, replace(progress, group=group, place=_place_of(progress, step)))
        case StepCompleted(_, group_id, step):
            progress = order.groups[group_id]
            return _put(order, replace(progress, place=_place_of(progress, step) + 1))
        case LineShorted() | LineWeighed():
            return _put(order, _without(order.groups[event.group_id], event))
        case PaymentCaptured():
            return _captured(order, event)
        case GroupCompleted(_, group_id):
            return _put(order, replace(order.groups[group_id], is_done=True))
        case OrderCancelled(reason):
            return replace(order, status=Status.CANCELLED, reason=reason)
        case OrderCompleted():
            return replace(order, status=Status.COMPLETED)
        case OrderRefunded(return_id, _, amount_minor, refunded_total_minor):
            return replace(
                order,
                refunds={**order.refunds, return_id: amount_minor},
                refunded_minor=refunded_total_minor,
            )
        case _:
            assert_never(event)


def _begun(order: Order, groups: Iterable[Group]) -> dict[str, GroupProgress]:
    steps = {(mode.mode_id, mode.version): mode.steps for mode in order.modes}
    return {
        group.group_id: GroupProgress(
            group,
            {line.line_id: line.quantity for line in group.lines},
            steps[group.mode_id, group.mode_version],
            planned=group.lines,
        )
        for group in groups
    }


def _put(order: Order, progress: GroupProgress) -> Order:
    return replace(order, groups={**order.groups, progress.group.group_id: progress})


def _place_of(progress: GroupProgress, step: Step) -> int:
    return next(
        place for place, known in enumerate(progress.steps) if known.step_id == step.step_id
    )


def _without(progress: GroupProgress, event: LineShorted | LineWeighed) -> GroupProgress:
    lines = tuple(
        replace(line, quantity=event.picked_quantity) if line.line_id == event.line_id else line
        for line in progress.group.lines
        if line.line_id != event.line_id or event.picked_quantity > 0
    )
    heard_version = event.heard_version if isinstance(event, LineShorted) else 0
    return replace(
        progress,
        group=replace(progress.group, lines=lines),
        heard_version=max(progress.heard_version, heard_version),
    )


def _captured(order: Order, event: PaymentCaptured) -> Order:
    progress = order.groups[event.group_id]
    lines = dict(order.lines)
    for line in event.delivered:
        account = lines[line.line_id]
        lines[line.line_id] = replace(
            account, charged_quantity=account.charged_quantity + line.quantity
        )
    order = replace(
        order,
        lines=lines,
        captured_minor=event.captured_total_minor,
        paid_modes=order.paid_modes | {progress.group.mode_id},
    )
    return _put(order, replace(progress, is_captured=True, delivered=event.delivered))
