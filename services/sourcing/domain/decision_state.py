"""What stands of the plans that were made for an order, and how each event moves it.

No rule lives here: history is believed as it was written. A plan for some groups can be refused
after another was made, so what it replaced is kept until it comes back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

from services.sourcing.domain.decision_events import (
    ACCEPTED,
    Correction,
    DecisionClosed,
    DecisionRequested,
    Event,
    PlanDecided,
    PlanDeclined,
    PlanFollowed,
    PlanRejected,
    PlanSuperseded,
)
from services.sourcing.domain.wishes import Line, PlannedGroup


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
            corrections = newer(decision.corrections, event.corrections)
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


def newer(
    known: Mapping[tuple[str, str], Correction], said: Sequence[Correction]
) -> dict[tuple[str, str], Correction]:
    merged = dict(known)
    for correction in said:
        key = correction.site_id, correction.sku
        if key not in merged or merged[key].position <= correction.position:
            merged[key] = correction
    return merged


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
