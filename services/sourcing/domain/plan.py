"""From an order to a plan, with the receipt of why. Pure: the same input gives the same answer.

1. What the customer chose is fixed; it is carried out as chosen or refused with alternatives.
2. Capable members of the extended site are considered; only when they cannot cover a choice,
   the sales zone is added, with transfer legs. Choices that ask for the same product draw on the
   same stock and are solved, and widened, together.
3. The cheapest cover wins; within the tolerance the fastest, then priority, then site id.
4. All or nothing: an order of which one line cannot be covered gets no plan.

Read on in the order of work: ``choices``, ``options`` (who can), ``cover`` (the cheapest),
``solution`` (both together), then ``groups`` or ``refusals``, and the ``receipt``.
"""

from dataclasses import replace

from services.sourcing.domain.asked import Asked
from services.sourcing.domain.choices import choices_of, sharing
from services.sourcing.domain.cover import NoCover
from services.sourcing.domain.groups import groups_of
from services.sourcing.domain.policy import Policy
from services.sourcing.domain.receipt import passed_over, receipt_of
from services.sourcing.domain.refusals import refused_for
from services.sourcing.domain.solution import Solved, solve
from services.sourcing.domain.wishes import Outcome, Planned, Refusal, Refused, Request, Snapshot


def plan(request: Request, snapshot: Snapshot, policy: Policy) -> Outcome:
    """Decide which site prepares what and where it changes hands, or refuse with alternatives.

    The answer does not depend on the order of sites, stock rows or lines.
    """
    asked = choices_of(request, snapshot, policy)
    solved: list[Solved] = []
    failed: list[Asked] = []
    is_proved = False  # that what failed has no plan; one such set is enough
    for together in sharing(asked):
        solution = solve(together, snapshot, policy, request.at)
        match solution:
            case NoCover():
                failed += together
                is_proved = is_proved or solution.is_proved
            case Solved():
                solved.append(solution)
    if failed:
        return refused_for(request, asked, failed, snapshot, policy, is_proved=is_proved)
    groups, cost = groups_of(request, asked, solved, policy)
    rejections = [each for one in asked for each in one.rejections]
    for solution in solved:
        rejections += passed_over(solution, policy)
    is_proved = all(solution.cover.is_proved for solution in solved)
    receipt = receipt_of(request, asked, rejections, snapshot, policy, is_proved=is_proved)
    return Planned(groups, cost, receipt)


def refuse(request: Request, snapshot: Snapshot, policy: Policy, reason: Refusal) -> Refused:
    """Refuse without looking for a plan, with alternatives: the tries are used up."""
    asked = choices_of(request, snapshot, policy)
    refused = refused_for(request, asked, asked, snapshot, policy, is_proved=True)
    return replace(refused, reason=reason)
