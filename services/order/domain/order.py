"""One order: what was sold at which price, how far each of its groups is, how it ends.

Stream  ``order-{order_id}``
Rule    Accepted, refused or cancelled once, and never both handed over and cancelled; a group walks
        the frozen steps of its mode in order; what is captured is the frozen net price of units
        really handed over, and what is refunded never exceeds it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum, StrEnum, auto
from typing import assert_never

from services.kernel.domain.decider import Decider
from services.kernel.domain.errors import Rejected
from services.order.domain.mode import (
    Choice,
    Milestone,
    Mode,
    Step,
    Temperature,
    step_completed_by,
)
from services.order.domain.pricing import AppliedDiscount, units_minor

# Values that events carry.


@dataclass(frozen=True, slots=True)
class Line:
    """A line quantity with its frozen price; ``choice`` is a place in the order's choices."""

    line_id: str
    sku: str
    quantity: int
    choice: int
    gross_minor: int
    discount_minor: int
    temperature: Temperature

    @property
    def net_minor(self) -> int:
        return self.gross_minor - self.discount_minor


@dataclass(frozen=True, slots=True)
class GroupLine:
    """``over`` base units were picked beyond the quantity: handed over too, and not charged."""

    line_id: str
    sku: str
    quantity: int
    over: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """Lines that one site prepares and one place hands over."""

    group_id: str
    mode_id: str
    mode_version: int
    source_site_id: str
    handover_site_id: str
    lines: tuple[GroupLine, ...]
    promised_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Alternative:
    site_id: str
    sku: str
    available: int


@dataclass(frozen=True, slots=True)
class DeliveredLine:
    line_id: str
    sku: str
    quantity: int
    net_minor: int


# Events. Fields are storage format: add, never rename. Names are in adapters/event_codec.py.


@dataclass(frozen=True, slots=True)
class OrderPlaced:
    customer_id: str
    currency: str
    lines: tuple[Line, ...]
    choices: tuple[Choice, ...]
    modes: tuple[Mode, ...]
    discounts: tuple[AppliedDiscount, ...]
    placed_at: datetime
    fingerprint: str
    basket_id: str = ""

    @property
    def gross_minor(self) -> int:
        return sum(line.gross_minor for line in self.lines)

    @property
    def discount_minor(self) -> int:
        return sum(line.discount_minor for line in self.lines)

    @property
    def fee_minor(self) -> int:
        return sum(mode.fee_minor for mode in self.modes)

    @property
    def total_minor(self) -> int:
        return self.gross_minor - self.discount_minor + self.fee_minor


@dataclass(frozen=True, slots=True)
class OrderAccepted:
    groups: tuple[Group, ...]
    reservation_id: str
    plan_revision: int


@dataclass(frozen=True, slots=True)
class OrderRefused:
    reason: str
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True, slots=True)
class StepStarted:
    customer_id: str
    group: Group
    step: Step


@dataclass(frozen=True, slots=True)
class StepCompleted:
    customer_id: str
    group_id: str
    step: Step


@dataclass(frozen=True, slots=True)
class LineShorted:
    """``picked_quantity`` is what is left of the line in this group."""

    group_id: str
    line_id: str
    sku: str
    ordered_quantity: int
    picked_quantity: int
    reason: str
    heard_version: int = 0


@dataclass(frozen=True, slots=True)
class LineWeighed:
    """What was picked weighs less than was ordered, and is all of it: nothing is missing.

    ``picked_quantity`` is what is left of the line in this group, ``lighter`` what it is less.
    """

    group_id: str
    line_id: str
    sku: str
    ordered_quantity: int
    picked_quantity: int
    lighter: int = 0


@dataclass(frozen=True, slots=True)
class PaymentCaptured:
    """``amount_minor`` is for the units, ``fee_minor`` for the mode: its first group pays it."""

    group_id: str
    currency: str
    amount_minor: int
    fee_minor: int
    captured_total_minor: int
    delivered: tuple[DeliveredLine, ...]


@dataclass(frozen=True, slots=True)
class GroupCompleted:
    customer_id: str
    group_id: str
    handover_site_id: str
    currency: str
    delivered: tuple[DeliveredLine, ...]


@dataclass(frozen=True, slots=True)
class OrderCancelled:
    reason: str
    reservation_id: str = ""


@dataclass(frozen=True, slots=True)
class OrderCompleted:
    pass


@dataclass(frozen=True, slots=True)
class OrderRefunded:
    return_id: str
    currency: str
    amount_minor: int
    refunded_total_minor: int


@dataclass(frozen=True, slots=True)
class GroupsReplaced:
    """Others prepare them: the stock was not where the books had it."""

    replaced_group_ids: tuple[str, ...]
    groups: tuple[Group, ...]
    plan_revision: int


@dataclass(frozen=True, slots=True)
class GroupsKept:
    """Too late to replace them; what was moved for ``declined`` is not needed.

    Attributes:
        declined: Those that were to take their place.
        plan_revision: The plan that said so.
        kept: Every group that the order has, as it was planned; events of before this was said
            have none.
        picked_group_ids: Of these, the ones past picking.
    """

    declined: tuple[Group, ...]
    plan_revision: int
    kept: tuple[Group, ...] = ()
    picked_group_ids: tuple[str, ...] = ()


type Event = (
    OrderPlaced
    | OrderAccepted
    | OrderRefused
    | StepStarted
    | StepCompleted
    | LineShorted
    | LineWeighed
    | PaymentCaptured
    | GroupCompleted
    | OrderCancelled
    | OrderCompleted
    | OrderRefunded
    | GroupsReplaced
    | GroupsKept
)


# Commands.


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    placed: OrderPlaced


@dataclass(frozen=True, slots=True)
class AcceptOrder:
    groups: tuple[Group, ...]
    reservation_id: str
    plan_revision: int


@dataclass(frozen=True, slots=True)
class RefuseOrder:
    reason: str
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True, slots=True)
class ReachedLine:
    """Units of a line that a fact is about, why some are missing, by how many it is lighter."""

    line_id: str
    quantity: int
    reason: str = ""
    lighter: int = 0


@dataclass(frozen=True, slots=True)
class ReachMilestone:
    """A fact about a group. ``lines`` are the units really picked or handed over."""

    group_id: str
    milestone: Milestone
    lines: tuple[ReachedLine, ...] = ()


@dataclass(frozen=True, slots=True)
class NoteShort:
    """``missing`` units cannot be picked. ``heard_version`` grows with each one of a group."""

    group_id: str
    line_id: str
    missing: int
    reason: str
    heard_version: int


@dataclass(frozen=True, slots=True)
class CancelOrder:
    reason: str
    reservation_id: str = ""


@dataclass(frozen=True, slots=True)
class RefundOrder:
    return_id: str
    currency: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class ReplaceGroups:
    """Their stock is elsewhere now: let these groups take the place of those, or of all if none."""

    replaced_group_ids: tuple[str, ...]
    groups: tuple[Group, ...]
    plan_revision: int


type Command = (
    PlaceOrder
    | AcceptOrder
    | RefuseOrder
    | ReachMilestone
    | NoteShort
    | CancelOrder
    | RefundOrder
    | ReplaceGroups
)


class Refusal(StrEnum):
    IDEMPOTENCY_MISMATCH = "IDEMPOTENCY_MISMATCH"
    ORDER_UNKNOWN = "ORDER_UNKNOWN"
    CUTOFF_PASSED = "CUTOFF_PASSED"
    STEP_CONFLICT = "STEP_CONFLICT"
    PLAN_MISMATCH = "PLAN_MISMATCH"
    RESERVATION_EXPIRED = "RESERVATION_EXPIRED"
    REFUND_EXCEEDS_CAPTURE = "REFUND_EXCEEDS_CAPTURE"
    CURRENCY_MISMATCH = "CURRENCY_MISMATCH"


# State: only what the rules need.


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


def decide(command: Command, order: Order) -> Sequence[Event]:  # noqa: PLR0911 - one per kind
    match command:
        case PlaceOrder(placed):
            if order.status is Status.NEW:
                return [placed]
            check_content(order, placed.fingerprint)
            return []
        case AcceptOrder():
            return _accept(command, order) if order.status is Status.PLACED else []
        case RefuseOrder(reason, alternatives):
            is_open = order.status is Status.PLACED
            return [OrderRefused(reason, alternatives)] if is_open else []
        case ReachMilestone(group_id):
            group = _open_group(order, group_id)
            return _reach(command, order, group) if group else []
        case NoteShort(group_id):
            group = _open_group(order, group_id)
            return _short(command, order, group) if group else []
        case CancelOrder():
            return _cancel(command, order)
        case RefundOrder():
            return _refund(command, order)
        case ReplaceGroups():
            return _replace_groups(command, order)
        case _:
            assert_never(command)


def check_content(order: Order, fingerprint: str) -> None:
    """Tell the retry of a placement from another order under the same id.

    Raises:
        Rejected: It is another one.
    """
    if order.fingerprint != fingerprint:
        raise Rejected(
            Refusal.IDEMPOTENCY_MISMATCH,
            "this order id was used for other content; place other content under another id",
        )


def _accept(command: AcceptOrder, order: Order) -> Sequence[Event]:
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
            events += _start(order, progress, 0)
        else:
            events += _leave(order, progress, confirmed)
    return _completing(order, events)


def _replace_groups(command: ReplaceGroups, order: Order) -> Sequence[Event]:
    """Replace groups that nobody has picked yet; keep them all otherwise, and say so.

    What is picked stays, for it is there. A cancelled order gives everything back anyway.
    """
    if command.plan_revision <= order.plan_revision or order.status in (
        *(Status.NEW, Status.PLACED, Status.REFUSED, Status.CANCELLED),
    ):
        return []
    replaced_group_ids = command.replaced_group_ids or tuple(order.groups)
    known = [_open_group(order, group_id) for group_id in replaced_group_ids]
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
        events += _start(order, progress, 0 if confirmed is None else confirmed + 1)
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


def _open_group(order: Order, group_id: str) -> GroupProgress | None:
    """Return a group that facts may still move: facts about any other come too late."""
    group = order.groups.get(group_id) if order.status is Status.ACCEPTED else None
    return None if group is None or group.is_done else group


def _reach(command: ReachMilestone, order: Order, group: GroupProgress) -> Sequence[Event]:
    place = step_completed_by(group.steps, group.place, command.milestone)
    if place is None:
        return []
    events: list[Event] = []
    match command.milestone:
        case Milestone.PICKED:
            events += _lighter(group, command.lines)
            for event in events:
                order = evolve(order, event)
            missing = _missing(order.groups[command.group_id], command.lines)
            for event in missing:
                order = evolve(order, event)
            events += missing
            weighed = _with_over(order.groups[command.group_id], command.lines)
            events += _leave(order, weighed, place)
        case Milestone.HANDED_OVER | Milestone.HANDED_TO_CARRIER if not group.is_captured:
            captured = _capture(order, group, command.lines)
            completed = StepCompleted(order.customer_id, command.group_id, group.steps[place])
            events += [completed, captured] if captured else [completed]
            for event in events:
                order = evolve(order, event)
            events += _start(order, order.groups[command.group_id], place + 1)
        case _:
            events += _leave(order, group, place)
    return _completing(order, events)


def _leave(order: Order, group: GroupProgress, place: int) -> Sequence[Event]:
    completed = StepCompleted(order.customer_id, group.group.group_id, group.steps[place])
    return [completed, *_start(order, group, place + 1)]


def _start(order: Order, group: GroupProgress, place: int) -> Sequence[Event]:
    """Enter the step at ``place``; a group with no step or no unit left is completed instead."""
    if place == len(group.steps) or not group.group.lines:
        return [_completed(order, group)]
    return [StepStarted(order.customer_id, group.group, group.steps[place])]


def _completed(order: Order, group: GroupProgress) -> GroupCompleted:
    return GroupCompleted(
        order.customer_id,
        group.group.group_id,
        group.group.handover_site_id,
        order.currency,
        group.delivered,
    )


def _completing(order: Order, events: list[Event]) -> Sequence[Event]:
    """Add the end of the order when these events end its last group."""
    done = {event.group_id for event in events if isinstance(event, GroupCompleted)}
    if done and all(
        progress.is_done or group_id in done for group_id, progress in order.groups.items()
    ):
        events.append(OrderCompleted())
    return events


def _short(command: NoteShort, order: Order, group: GroupProgress) -> Sequence[Event]:
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
        events.append(_completed(order, group))
    return _completing(order, events)


def _missing(group: GroupProgress, picked: Iterable[ReachedLine]) -> list[Event]:
    """What the site says it has not picked and no earlier message told."""
    return [
        _shorted(group, line.line_id, line.quantity, line.reason, group.heard_version)
        for line in picked
        if line.quantity < _quantity(group, line.line_id)
    ]


def _lighter(group: GroupProgress, picked: Iterable[ReachedLine]) -> list[Event]:
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


def _with_over(group: GroupProgress, picked: Iterable[ReachedLine]) -> GroupProgress:
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


def _capture(
    order: Order, group: GroupProgress, handed: Sequence[ReachedLine]
) -> PaymentCaptured | None:
    """Charge what was handed over, at most what was ordered: more weight is not billed."""
    units = {line.line_id: line.quantity for line in handed}
    delivered: list[DeliveredLine] = []
    for line in group.group.lines:
        account = order.lines[line.line_id]
        quantity = min(units.get(line.line_id, 0), line.quantity)
        if quantity > 0:
            net_minor = units_minor(
                account.net_minor, account.quantity, account.charged_quantity, quantity
            )
            delivered.append(DeliveredLine(line.line_id, line.sku, quantity, net_minor))
    if not delivered:
        return None
    amount_minor = sum(line.net_minor for line in delivered)
    mode_id = group.group.mode_id
    fee_minor = (
        0
        if mode_id in order.paid_modes
        else sum(mode.fee_minor for mode in order.modes if mode.mode_id == mode_id)
    )
    return PaymentCaptured(
        group.group.group_id,
        order.currency,
        amount_minor,
        fee_minor,
        order.captured_minor + amount_minor + fee_minor,
        tuple(delivered),
    )


def _cancel(command: CancelOrder, order: Order) -> Sequence[Event]:
    if order.status is Status.NEW:
        raise Rejected(Refusal.ORDER_UNKNOWN, "nothing was placed under this order id")
    if order.status is Status.CANCELLED:
        return []
    if order.status is Status.REFUSED:
        raise Rejected(Refusal.STEP_CONFLICT, "the order was refused: there is nothing to cancel")
    if not order.is_cancellable:
        raise Rejected(
            Refusal.CUTOFF_PASSED,
            "a group of the order is past the step until which it may be cancelled;"
            " return the goods instead",
        )
    return [OrderCancelled(command.reason, order.reservation_id or command.reservation_id)]


def _refund(command: RefundOrder, order: Order) -> Sequence[Event]:
    known = order.refunds.get(command.return_id)
    if known == command.amount_minor:
        return []
    if known is not None:
        raise Rejected(
            Refusal.IDEMPOTENCY_MISMATCH, f"return {command.return_id} was refunded {known} already"
        )
    if command.currency != order.currency:
        raise Rejected(Refusal.CURRENCY_MISMATCH, f"the order was paid in {order.currency}")
    refunded_total_minor = order.refunded_minor + command.amount_minor
    if refunded_total_minor > order.captured_minor:
        raise Rejected(
            Refusal.REFUND_EXCEEDS_CAPTURE,
            f"{refunded_total_minor} would be refunded of {order.captured_minor} captured",
        )
    return [
        OrderRefunded(
            command.return_id, command.currency, command.amount_minor, refunded_total_minor
        )
    ]


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


ORDER: Decider[Command, Order, Event] = Decider(Order(), decide, evolve)
