"""One plan of one decision: what is told to planning of the world, and what its outcome is called.

What the ledger said when it refused wins over the view for as long as it is newer.
"""

from collections.abc import Mapping
from typing import assert_never

from services.sourcing.domain.decision_commands import View
from services.sourcing.domain.decision_events import Correction, PlanDecided, PlanRejected
from services.sourcing.domain.plan import plan
from services.sourcing.domain.policy import Policy
from services.sourcing.domain.wishes import Outcome, Planned, Refused, Request, Snapshot

MAX_REVISIONS = 5
"""Plans per order, those for some of its groups included."""


def outcome_of(
    request: Request,
    view: View,
    corrections: Mapping[tuple[str, str], Correction],
    policy: Policy,
) -> Outcome:
    """Plan around what others are about to take; if that leaves nothing, plan as if they were not.

    Whoever is about to take it may fail, so only the ledger refuses for want of their units.
    """
    if view.spoken_for:
        outcome = plan(request, snapshot_of(view, corrections, view.spoken_for), policy)
        if isinstance(outcome, Planned):
            return outcome
    return plan(request, snapshot_of(view, corrections, spoken_for={}), policy)


def snapshot_of(
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


def event_of(request: Request, outcome: Outcome, decision_id: str) -> PlanDecided | PlanRejected:
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
