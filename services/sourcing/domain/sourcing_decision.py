"""What was decided for one order, again and again until its stock is held or it is given up.

Stream  ``decision-{order_id}``
Rule    at most five plans per order; each follows a refusal of the one before. What the ledger
        said when it refused wins over the view of stock for as long as it is newer, so a view
        that lags behind cannot propose the same plan for ever. An accepted order keeps its plan,
        except for groups whose stock the books no longer have: these are planned anew, as a
        whole and elsewhere, within the same five. Which plan it works on, the order says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from services.kernel.domain.decider import Decider, Kind
from services.kernel.domain.errors import Rejected
from services.sourcing.domain.network import Network
from services.sourcing.domain.plan import plan, refuse
from services.sourcing.domain.policy import Policy
from services.sourcing.domain.wishes import (
    Alternative,
    Cost,
    Line,
    Outcome,
    Planned,
    PlannedGroup,
    Product,
    Receipt,
    Refusal,
    Refused,
    Request,
    Snapshot,
)

MAX_REVISIONS = 5


# Events. Fields are storage format: add, never rename. Names are in adapters/event_codec.py.


@dataclass(frozen=True, slots=True)
class DecisionRequested:
    order_id: str
    lines: tuple[Line, ...]
    currency: str


@dataclass(frozen=True, slots=True)
class PlanDecided:
    """Where it replaces groups of an accepted order, it has their lines only."""

    order_id: str
    revision: int
    decision_id: str
    groups: tuple[PlannedGroup, ...]
    cost: Cost
    currency: str
    receipt: Receipt
    replaces: tuple[PlannedGroup, ...] = ()
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanRejected:
    """With groups that were to be replaced: they stay as they are, and so does the order."""

    order_id: str
    revision: int
    decision_id: str
    reason: Refusal
    alternatives: tuple[Alternative, ...]
    receipt: Receipt
    replaces: tuple[PlannedGroup, ...] = ()
    lines: tuple[Line, ...] = ()


class Cause(StrEnum):
    """Why a plan no longer stands."""

    REFUSED = "refused"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Correction:
    """What the ledger said that was free, and where in its log it said so."""

    site_id: str
    sku: str
    free: int
    position: int


@dataclass(frozen=True, slots=True)
class PlanSuperseded:
    order_id: str
    revision: int
    cause: Cause
    corrections: tuple[Correction, ...]


@dataclass(frozen=True, slots=True)
class DecisionClosed:
    """``revision`` is the plan that was accepted; 0: none, or from before it was stored."""

    order_id: str
    reason: str
    revision: int = 0


@dataclass(frozen=True, slots=True)
class PlanFollowed:
    """The accepted order works on this newer plan, which is held instead of the accepted one."""

    order_id: str
    revision: int


@dataclass(frozen=True, slots=True)
class PlanDeclined:
    """The order kept the groups that this plan was to replace: they were past that."""

    order_id: str
    revision: int


type Event = (
    DecisionRequested
    | PlanDecided
    | PlanRejected
    | PlanSuperseded
    | DecisionClosed
    | PlanFollowed
    | PlanDeclined
)


# Commands.


@dataclass(frozen=True, slots=True)
class View:
    """What sourcing knows of the world when it decides.

    Attributes:
        network: Sites and who helps whom.
        products: By sku.
        stock: Free base units by sku and site.
        positions: The places in the ledger's log that said so, by sku and site.
        spoken_for: By sku and site: units that plans made a moment ago will take. Only so that
            orders of one moment do not all run to the same shelf; the ledger decides.
    """

    network: Network
    products: Mapping[str, Product] = field(default_factory=dict[str, Product])
    stock: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Mapping[str, int]])
    positions: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Mapping[str, int]])
    spoken_for: Mapping[str, Mapping[str, int]] = field(
        default_factory=dict[str, Mapping[str, int]]
    )


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """Plan an order that was placed."""

    order_id: str
    lines: tuple[Line, ...]
    currency: str
    decision_id: str
    at: datetime
    view: View
    policy: Policy


@dataclass(frozen=True, slots=True)
class Replan:
    """Plan again: the ledger refused revision ``revision``, or its hold expired."""

    order_id: str
    revision: int
    cause: Cause
    corrections: tuple[Correction, ...]
    decision_id: str
    at: datetime
    view: View
    policy: Policy


@dataclass(frozen=True, slots=True)
class ReplanGroups:
    """Plan elsewhere the groups that prepare these products at these sites.

    Attributes:
        places: Site and sku of what the ledger says may lack.
    """

    order_id: str
    places: frozenset[tuple[str, str]]
    decision_id: str
    at: datetime
    view: View
    policy: Policy


@dataclass(frozen=True, slots=True)
class StandBack:
    """The ledger could not move what revision ``revision`` wanted moved: it is as it was before.

    Corrections: what lacks where it was to go; none: it was picked already, or given back.
    """

    order_id: str
    revision: int
    corrections: tuple[Correction, ...]
    decision_id: str
    at: datetime
    view: View
    policy: Policy


@dataclass(frozen=True, slots=True)
class CloseDecision:
    """The order was accepted, on which plan, or is over: no more plans."""

    order_id: str
    reason: str
    revision: int = 0


@dataclass(frozen=True, slots=True)
class FollowOrder:
    """The order has put this plan's groups in the place of its own, or has kept its own."""

    order_id: str
    revision: int
    is_taken_up: bool


type Command = RequestPlan | Replan | ReplanGroups | StandBack | CloseDecision | FollowOrder

ACCEPTED = "accepted"


class Reuse(StrEnum):
    OTHER_CONTENT = "IDEMPOTENCY_MISMATCH"


# State.


@dataclass(frozen=True, slots=True)
class Replacement:
    """What a plan for some groups brought, by their ids, and what it took the place of."""

    brought: frozenset[str]
    replaced: tuple[PlannedGroup, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """State.

    Attributes:
        is_closed: Nothing is planned for the order as a whole any more.
        is_over: Nor for a part of it: it was refused, cancelled or given up.
        is_given_up: It is over because no plan was found, not because the order said so.
        groups: Of the plan that stands.
        plans: By revision, those of the order as a whole.
        followed: The newest of these that the accepted order is known to work on.
        replacements: By revision, what was planned elsewhere, until the ledger refuses to move it.
    """

    order_id: str = ""
    lines: tuple[Line, ...] = ()
    currency: str = ""
    revision: int = 0
    is_closed: bool = False
    is_over: bool = False
    is_given_up: bool = False
    groups: tuple[PlannedGroup, ...] = ()
    plans: Mapping[int, tuple[PlannedGroup, ...]] = field(
        default_factory=dict[int, tuple[PlannedGroup, ...]]
    )
    followed: int = 0
    replacements: Mapping[int, Replacement] = field(default_factory=dict[int, Replacement])
    corrections: Mapping[tuple[str, str], Correction] = field(
        default_factory=dict[tuple[str, str], Correction]
    )


def decide(command: Command, decision: Decision) -> Sequence[Event]:
    match command:
        case RequestPlan():
            return _request(command, decision)
        case Replan():
            return _replan(command, decision)
        case ReplanGroups():
            groups = tuple(
                group
                for group in decision.groups
                if any((group.source_site_id, line.sku) in command.places for line in group.lines)
            )
            return _elsewhere(command, decision, groups, {})
        case StandBack():
            return _stand_back(command, decision)
        case CloseDecision():
            return _close(command, decision)
        case FollowOrder():
            return _follow(command, decision)
        case _:
            assert_never(command)


def _close(command: CloseDecision, decision: Decision) -> Sequence[Event]:
    closed = DecisionClosed(command.order_id, command.reason, command.revision)
    if not decision.order_id:
        return []
    if command.reason != ACCEPTED:
        return [] if decision.is_over else [closed]
    # Whoever is accepted is not given up, though no other plan was found for a hold that ended.
    is_back = decision.is_given_up and command.revision in decision.plans
    is_late = decision.followed > 0 or (decision.is_over and not is_back)
    return [] if is_late else [closed]


def _follow(command: FollowOrder, decision: Decision) -> Sequence[Event]:
    revision = command.revision
    if decision.is_over:
        return []
    if not command.is_taken_up:
        is_known = revision in decision.replacements
        return [PlanDeclined(command.order_id, revision)] if is_known else []
    is_newer = revision in decision.plans and revision > decision.followed
    return [PlanFollowed(command.order_id, revision)] if is_newer else []


def _request(command: RequestPlan, decision: Decision) -> Sequence[Event]:
    if decision.order_id:
        if decision.lines != command.lines:
            raise Rejected(
                Reuse.OTHER_CONTENT,
                f"order {command.order_id} was planned with other lines; place a new order",
            )
        return []
    request = Request(command.order_id, 1, command.lines, command.currency, command.at)
    outcome = _outcome(request, command.view, {}, command.policy)
    return [
        DecisionRequested(command.order_id, command.lines, command.currency),
        _event(request, outcome, command.decision_id),
    ]


def _replan(command: Replan, decision: Decision) -> Sequence[Event]:
    if decision.is_closed or command.revision != decision.revision:
        return []  # accepted, cancelled, given up, or an answer to a plan that no longer stands
    superseded = PlanSuperseded(
        command.order_id, command.revision, command.cause, command.corrections
    )
    corrections = _newer(decision.corrections, command.corrections)
    revision = decision.revision + 1
    request = Request(command.order_id, revision, decision.lines, decision.currency, command.at)
    if revision > MAX_REVISIONS:
        snapshot = _snapshot(command.view, corrections, spoken_for={})
        outcome: Outcome = refuse(request, snapshot, command.policy, Refusal.OUT_OF_STOCK)
    else:
        outcome = _outcome(request, command.view, corrections, command.policy)
    return [superseded, _event(request, outcome, command.decision_id)]


def _elsewhere(
    command: ReplanGroups | StandBack,
    decision: Decision,
    groups: tuple[PlannedGroup, ...],
    corrections: Mapping[tuple[str, str], Correction],
) -> list[Event]:
    """Plan groups anew, each as a whole, at sites other than those that prepare them now.

    As a whole: what was to be one parcel stays one wherever a single site can prepare it.
    """
    revision = decision.revision + 1
    if decision.is_over or not groups or revision > MAX_REVISIONS:
        return []
    units: dict[str, int] = {}
    for line in (line for group in groups for line in group.lines):
        units[line.line_id] = units.get(line.line_id, 0) + line.quantity
    lines = tuple(
        replace(line, quantity=units[line.line_id])
        for line in decision.lines
        if line.line_id in units
    )
    stock = {sku: dict(row) for sku, row in command.view.stock.items()}
    for group in groups:
        for moved in group.lines:
            stock.setdefault(moved.sku, {}).pop(group.source_site_id, None)
    avoided = {group.source_site_id for group in groups}
    known = {place: one for place, one in corrections.items() if place[0] not in avoided}
    view = replace(command.view, stock=stock, spoken_for={})
    request = Request(command.order_id, revision, lines, decision.currency, command.at)
    outcome = _outcome(request, view, known, command.policy)
    return [replace(_event(request, outcome, command.decision_id), replaces=groups, lines=lines)]


def _stand_back(command: StandBack, decision: Decision) -> Sequence[Event]:
    refused = decision.replacements.get(command.revision)
    if decision.is_over or refused is None:
        return []  # an answer to a plan that no longer stands, or of an order that is over
    superseded = PlanSuperseded(
        command.order_id, command.revision, Cause.REFUSED, command.corrections
    )
    decision = evolve(decision, superseded)
    # What is back in its place; not what a plan that is under way has replaced in the meantime.
    groups = tuple([group for group in refused.replaced if group in decision.groups])
    if not command.corrections:
        return [superseded]
    return [superseded, *_elsewhere(command, decision, groups, decision.corrections)]


def _outcome(
    request: Request,
    view: View,
    corrections: Mapping[tuple[str, str], Correction],
    policy: Policy,
) -> Outcome:
    """Plan around what others are about to take; if that leaves nothing, plan as if they were not.

    Whoever is about to take it may fail, so only the ledger refuses for want of their units.
    """
    if view.spoken_for:
        outcome = plan(request, _snapshot(view, corrections, view.spoken_for), policy)
        if isinstance(outcome, Planned):
            return outcome
    return plan(request, _snapshot(view, corrections, spoken_for={}), policy)


def _snapshot(
    view: View,
    corrections: Mapping[tuple[str, str], Correction],
    spoken_for: Mapping[str, Mapping[str, int]],
) -> Snapshot:
    stock = dict(view.stock)
    for correction in corrections.values():
        sku, site_id = correction.sku, correction.site_id
        if correction.position >= view.positions.get(sku, {}).get(site_id, 0):
            stock[sku] = {**stock.get(sku, {}), site_id: correction.free}
    for sku, taken in spoken_for.items():
        row = stock.get(sku, {})
        less = {site_id: row[site_id] - n for site_id, n in taken.items() if site_id in row}
        stock[sku] = {**row, **less}
    return Snapshot(view.network, view.products, stock)


def _newer(
    known: Mapping[tuple[str, str], Correction], said: Sequence[Correction]
) -> dict[tuple[str, str], Correction]:
    merged = dict(known)
    for correction in said:
        key = correction.site_id, correction.sku
        if key not in merged or merged[key].position <= correction.position:
            merged[key] = correction
    return merged


def _event(request: Request, outcome: Outcome, decision_id: str) -> PlanDecided | PlanRejected:
    match outcome:
        case Planned(groups, cost, receipt):
            return PlanDecided(
                request.order_id,
                request.revision,
                decision_id,
                groups,
                cost,
                request.currency,
                receipt,
            )
        case Refused(reason, alternatives, receipt):
            return PlanRejected(
                request.order_id, request.revision, decision_id, reason, alternatives, receipt
            )
        case _:
            assert_never(outcome)


def evolve(decision: Decision, event: Event) -> Decision:  # noqa: PLR0911 - one per kind
    match event:
        case DecisionRequested(order_id, lines, currency):
            return replace(decision, order_id=order_id, lines=lines, currency=currency)
        case PlanDecided(replaces=()):
            return replace(
                decision,
                revision=event.revision,
                groups=event.groups,
                plans={**decision.plans, event.revision: event.groups},
            )
        case PlanDecided(replaces=replaced):
            gone = {group.group_id for group in replaced}
            stay = [group for group in decision.groups if group.group_id not in gone]
            brought = frozenset([group.group_id for group in event.groups])
            return replace(
                decision,
                revision=event.revision,
                groups=(*stay, *event.groups),
                replacements={
                    **decision.replacements,
                    event.revision: Replacement(brought, replaced),
                },
            )
        case PlanRejected():
            gives_up = not event.replaces and not decision.is_over
            return replace(
                decision,
                revision=event.revision,
                is_closed=True,
                is_over=decision.is_over or gives_up,
                is_given_up=decision.is_given_up or gives_up,
            )
        case PlanSuperseded():
            corrections = _newer(decision.corrections, event.corrections)
            return replace(_as_before(decision, event.revision), corrections=corrections)
        case DecisionClosed(_, reason, revision):
            if reason != ACCEPTED:
                return replace(decision, is_closed=True, is_over=True, is_given_up=False)
            accepted = revision or decision.revision
            return replace(
                _on(decision, accepted), is_closed=True, is_over=False, is_given_up=False
            )
        case PlanFollowed(_, revision):
            return _on(decision, revision)
        case PlanDeclined(_, revision):
            return _as_before(decision, revision)
        case _:
            assert_never(event)


def _on(decision: Decision, revision: int) -> Decision:
    """Return the decision with the order working on this plan of it as a whole."""
    groups = decision.plans.get(revision, decision.groups)
    return replace(decision, groups=groups, followed=revision)


def _as_before(decision: Decision, revision: int) -> Decision:
    """Return the decision without what a revision brought, and with what it replaced.

    A later revision may have replaced what this one brought; should it be refused too, the groups
    come back that really are there.
    """
    refused = decision.replacements.get(revision)
    if refused is None:
        return decision
    left = {key: one for key, one in decision.replacements.items() if key != revision}
    groups = _swapped(decision.groups, refused)
    if groups == decision.groups:
        left = {
            key: replace(one, replaced=_swapped(one.replaced, refused)) for key, one in left.items()
        }
    return replace(decision, groups=groups, replacements=left)


def _swapped(groups: tuple[PlannedGroup, ...], refused: Replacement) -> tuple[PlannedGroup, ...]:
    stay = tuple(group for group in groups if group.group_id not in refused.brought)
    return groups if len(stay) == len(groups) else (*stay, *refused.replaced)


SOURCING_DECISION: Decider[Command, Decision, Event] = Decider(Decision(), decide, evolve)
DECISION: Kind[Command, Decision, Event] = Kind("decision", SOURCING_DECISION)
