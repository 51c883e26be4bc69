"""What was decided for one order, again and again until its stock is held or it is given up.

Stream  ``decision-{order_id}``
Rule    at most five plans per order; each follows a refusal of the one before. What the ledger
        said when it refused wins over the view of stock for as long as it is newer, so a view
        that lags behind cannot propose the same plan for ever.
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
    order_id: str
    revision: int
    decision_id: str
    groups: tuple[PlannedGroup, ...]
    cost: Cost
    currency: str
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class PlanRejected:
    order_id: str
    revision: int
    decision_id: str
    reason: Refusal
    alternatives: tuple[Alternative, ...]
    receipt: Receipt


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
    order_id: str
    reason: str


type Event = DecisionRequested | PlanDecided | PlanRejected | PlanSuperseded | DecisionClosed


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
class CloseDecision:
    """The order was accepted or is over: no more plans."""

    order_id: str
    reason: str


type Command = RequestPlan | Replan | CloseDecision


class Reuse(StrEnum):
    OTHER_CONTENT = "IDEMPOTENCY_MISMATCH"


# State.


@dataclass(frozen=True, slots=True)
class Decision:
    order_id: str = ""
    lines: tuple[Line, ...] = ()
    currency: str = ""
    revision: int = 0
    is_closed: bool = False
    corrections: Mapping[tuple[str, str], Correction] = field(
        default_factory=dict[tuple[str, str], Correction]
    )


def decide(command: Command, decision: Decision) -> Sequence[Event]:
    match command:
        case RequestPlan():
            return _request(command, decision)
        case Replan():
            return _replan(command, decision)
        case CloseDecision(order_id, reason):
            if decision.is_closed or not decision.order_id:
                return []
            return [DecisionClosed(order_id, reason)]
        case _:
            assert_never(command)


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


def evolve(decision: Decision, event: Event) -> Decision:
    match event:
        case DecisionRequested(order_id, lines, currency):
            return replace(decision, order_id=order_id, lines=lines, currency=currency)
        case PlanDecided():
            return replace(decision, revision=event.revision)
        case PlanRejected():
            return replace(decision, revision=event.revision, is_closed=True)
        case PlanSuperseded():
            corrections = _newer(decision.corrections, event.corrections)
            return replace(decision, corrections=corrections)
        case DecisionClosed():
            return replace(decision, is_closed=True)
        case _:
            assert_never(event)


SOURCING_DECISION: Decider[Command, Decision, Event] = Decider(Decision(), decide, evolve)
DECISION: Kind[Command, Decision, Event] = Kind("decision", SOURCING_DECISION)
