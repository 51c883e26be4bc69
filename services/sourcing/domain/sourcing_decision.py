"""What was decided for one order, again and again until its stock is held or it is given up.

Stream  ``decision-{order_id}``
Rule    at most five plans per order; each follows a refusal of the one before. What the ledger
        said when it refused wins over the view of stock for as long as it is newer, so a view
        that lags behind cannot propose the same plan for ever. An accepted order keeps its plan,
        except for groups whose stock the books no longer have: these are planned anew, as a
        whole and elsewhere, within the same five. Which plan it works on, the order says.

Beside it, each a module: ``decision_events`` (what happened), ``decision_commands`` (what may be
asked), ``decision_state`` (what stands), ``decision_planning`` (one plan) and
``decision_elsewhere`` (groups that move).
"""

from collections.abc import Sequence
from typing import assert_never

from services.kernel.domain.decider import Decider, Kind
from services.kernel.domain.errors import Rejected
from services.sourcing.domain.decision_commands import (
    CloseDecision,
    Command,
    FollowOrder,
    Replan,
    ReplanGroups,
    RequestPlan,
    Reuse,
    StandBack,
)
from services.sourcing.domain.decision_elsewhere import replan_groups, stand_back
from services.sourcing.domain.decision_events import (
    ACCEPTED,
    DecisionClosed,
    DecisionRequested,
    Event,
    PlanDeclined,
    PlanFollowed,
    PlanSuperseded,
)
from services.sourcing.domain.decision_planning import (
    MAX_REVISIONS,
    event_of,
    outcome_of,
    snapshot_of,
)
from services.sourcing.domain.decision_state import Decision, evolve, newer
from services.sourcing.domain.plan import refuse
from services.sourcing.domain.wishes import Outcome, Refusal, Request


def decide(command: Command, decision: Decision) -> Sequence[Event]:
    match command:
        case RequestPlan():
            return _request(command, decision)
        case Replan():
            return _replan(command, decision)
        case ReplanGroups():
            return replan_groups(command, decision)
        case StandBack():
            return stand_back(command, decision)
        case CloseDecision():
            return _close(command, decision)
        case FollowOrder():
            return _follow(command, decision)
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
    outcome = outcome_of(request, command.view, {}, command.policy)
    return [
        DecisionRequested(command.order_id, command.lines, command.currency),
        event_of(request, outcome, command.decision_id),
    ]


def _replan(command: Replan, decision: Decision) -> Sequence[Event]:
    if decision.is_closed or command.revision != decision.revision:
        return []  # accepted, cancelled, given up, or an answer to a plan that no longer stands
    superseded = PlanSuperseded(
        command.order_id, command.revision, command.cause, command.corrections
    )
    corrections = newer(decision.corrections, command.corrections)
    revision = decision.revision + 1
    request = Request(command.order_id, revision, decision.lines, decision.currency, command.at)
    if revision > MAX_REVISIONS:
        snapshot = snapshot_of(command.view, corrections, spoken_for={})
        outcome: Outcome = refuse(request, snapshot, command.policy, Refusal.OUT_OF_STOCK)
    else:
        outcome = outcome_of(request, command.view, corrections, command.policy)
    return [superseded, event_of(request, outcome, command.decision_id)]


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


SOURCING_DECISION: Decider[Command, Decision, Event] = Decider(Decision(), decide, evolve)
DECISION: Kind[Command, Decision, Event] = Kind("decision", SOURCING_DECISION)
