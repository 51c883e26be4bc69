"""Groups of an order whose stock the books no longer have are planned anew, whole and elsewhere.

When the ledger cannot move them either, they are planned at yet another site, or stay as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from services.sourcing.domain.decision_commands import ReplanGroups, StandBack
from services.sourcing.domain.decision_events import Cause, Correction, Event, PlanSuperseded
from services.sourcing.domain.decision_planning import MAX_REVISIONS, event_of, outcome_of
from services.sourcing.domain.decision_state import Decision, evolve
from services.sourcing.domain.wishes import PlannedGroup, Request


def replan_groups(command: ReplanGroups, decision: Decision) -> Sequence[Event]:
    groups = tuple(
        group
        for group in decision.groups
        if any((group.source_site_id, line.sku) in command.places for line in group.lines)
    )
    return _elsewhere(command, decision, groups, {})


def stand_back(command: StandBack, decision: Decision) -> Sequence[Event]:
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
    outcome = outcome_of(request, view, known, command.policy)
    return [replace(event_of(request, outcome, command.decision_id), replaces=groups, lines=lines)]
