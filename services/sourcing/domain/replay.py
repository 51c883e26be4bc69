"""Deciding again on what a receipt describes: the answer must be the same.

By the same version of the algorithm, that is. A later one may find a better plan, and is no reason
to doubt the receipt.
"""

from collections.abc import Iterable
from dataclasses import replace

from services.sourcing.domain.decision_events import PlanDecided, PlanRejected
from services.sourcing.domain.decision_planning import MAX_REVISIONS
from services.sourcing.domain.network import Network
from services.sourcing.domain.plan import plan, refuse
from services.sourcing.domain.policy import Policy
from services.sourcing.domain.receipt import ALGORITHM
from services.sourcing.domain.wishes import (
    Outcome,
    Planned,
    PlannedGroup,
    Receipt,
    Refusal,
    Refused,
    Request,
    Snapshot,
)


def seen_again(request: Request, receipt: Receipt, network: Network, policy: Policy) -> Outcome:
    """Decide a recorded request again, on the stock and products that its receipt lists."""
    stock: dict[str, dict[str, int]] = {}
    for seen in receipt.stock:
        stock.setdefault(seen.sku, {})[seen.site_id] = seen.free
    snapshot = Snapshot(network, {product.sku: product for product in receipt.products}, stock)
    if request.revision > MAX_REVISIONS:
        return refuse(request, snapshot, policy, Refusal.OUT_OF_STOCK)
    return plan(request, snapshot, policy)


def is_comparable(decision: PlanDecided | PlanRejected) -> bool:
    """Return whether this version of the algorithm made the decision."""
    return decision.receipt.algorithm == ALGORITHM


def differences(decision: PlanDecided | PlanRejected, again: Outcome) -> list[str]:
    """Return what is not the same, one sentence each."""
    found = _of_answers(decision, again)
    if decision.receipt.snapshot_hash != again.receipt.snapshot_hash:
        found.append("The hash of the snapshot differs.")
    elif decision.receipt != again.receipt:
        found.append("The candidates or their rejections differ.")
    return found


def _of_answers(decision: PlanDecided | PlanRejected, again: Outcome) -> list[str]:
    match decision, again:
        case PlanDecided(), Planned():
            pairs = {
                "The groups differ.": (_unnamed(decision.groups), _unnamed(again.groups)),
                "The cost differs.": (decision.cost, again.cost),
            }
        case PlanRejected(), Refused():
            pairs = {
                f"The reason is {again.reason}.": (decision.reason, again.reason),
                "The alternatives differ.": (decision.alternatives, again.alternatives),
            }
        case PlanDecided(), Refused():
            return [f"It is refused now: {again.reason}."]
        case _:
            return ["It is planned now; it was refused then."]
    return [text for text, (then, now) in pairs.items() if then != now]


def _unnamed(groups: Iterable[PlannedGroup]) -> list[PlannedGroup]:
    """Return groups without their ids, which were made otherwise once: a name decides nothing."""
    return [replace(group, group_id="") for group in groups]
