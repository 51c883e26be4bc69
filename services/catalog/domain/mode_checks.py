"""The static checks of a mode version: what can be promised of it before any order uses it.

Every check guards against an order that could never end, that could be cancelled after its goods
are gone, that would be paid twice or never, or that would show the consumer an empty label.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from services.catalog.domain.mode_definition import (
    ChoiceKind,
    Milestone,
    Mode,
    Step,
    StepType,
    Visibility,
)
from services.catalog.domain.values import Fault, id_faults, label_faults, money_faults

MAX_STEPS = 30
MAX_VERSION = 1_000_000

CAPTURES = frozenset({Milestone.HANDED_OVER, Milestone.HANDED_TO_CARRIER})

# A milestone happens only after this one: nobody marks ready what nobody picked.
NEEDS = {
    Milestone.READY: Milestone.PICKED,
    Milestone.ARRIVED: Milestone.READY,
    Milestone.HANDED_OVER: Milestone.READY,
    Milestone.HANDED_TO_CARRIER: Milestone.PICKED,
    Milestone.DELIVERED: Milestone.HANDED_TO_CARRIER,
}

FITS = {
    StepType.SYSTEM: frozenset({Milestone.RESERVED}),
    StepType.WORK: frozenset({Milestone.PICKED, Milestone.READY}),
    StepType.WAIT: frozenset({Milestone.READY, Milestone.ARRIVED}),
    StepType.HANDOVER: frozenset({Milestone.HANDED_OVER}),
    StepType.TRANSPORT: frozenset(
        {Milestone.READY, Milestone.HANDED_TO_CARRIER, Milestone.DELIVERED}
    ),
}

ENDS = {
    ChoiceKind.SITE: Milestone.HANDED_OVER,
    ChoiceKind.DESTINATION: Milestone.DELIVERED,
}


def faults(mode: Mode) -> Iterator[Fault]:
    """Yield everything that makes the mode version unsound."""
    yield from id_faults("mode_id", mode.mode_id)
    if not 0 <= mode.version <= MAX_VERSION:
        yield Fault("version", f"is {mode.version}", f"give 0 to {MAX_VERSION}")
    yield from label_faults("label", mode.label)
    yield from money_faults("fee", mode.fee)
    if not 1 <= len(mode.steps) <= MAX_STEPS:
        yield Fault("steps", f"has {len(mode.steps)} rows", f"give 1 to {MAX_STEPS}")
        return
    for i, step in enumerate(mode.steps):
        yield from _step_faults(f"steps[{i}]", step)
    yield from _repeated(mode.steps)
    yield from _unreachable(mode.steps)
    yield from _end_faults(mode)
    yield from _cancellation_faults(mode.steps)
    yield from _capture_faults(mode.steps)


def _step_faults(path: str, step: Step) -> Iterator[Fault]:
    yield from id_faults(f"{path}.step_id", step.step_id)
    if step.completes_on not in FITS[step.type]:
        yield Fault(
            f"{path}.completes_on",
            f"is {step.completes_on}, which no {step.type} step brings about",
            f"give one of {', '.join(sorted(FITS[step.type]))}",
        )
    if step.visibility is not Visibility.HIDDEN:
        yield from label_faults(f"{path}.label", step.label)
    if step.type is StepType.WAIT and not step.is_optional:
        yield Fault(
            f"{path}.optional",
            "is false, so a customer who never comes forward would hold the order for ever",
            "set it: a later milestone then passes over the wait",
        )


def _repeated(steps: Sequence[Step]) -> Iterator[Fault]:
    ids: set[str] = set()
    milestones: set[Milestone] = set()
    for i, step in enumerate(steps):
        if step.step_id in ids:
            yield Fault(f"steps[{i}].step_id", "is given twice", "name every step differently")
        if step.completes_on in milestones:
            yield Fault(
                f"steps[{i}].completes_on",
                f"is {step.completes_on} again, which happens once",
                "let one step end on it",
            )
        ids.add(step.step_id)
        milestones.add(step.completes_on)


def _unreachable(steps: Sequence[Step]) -> Iterator[Fault]:
    seen: set[Milestone] = set()
    for i, step in enumerate(steps):
        needed = NEEDS.get(step.completes_on)
        if needed is not None and needed not in seen:
            yield Fault(
                f"steps[{i}].completes_on",
                f"is {step.completes_on}, which cannot happen before {needed}",
                f"put a step that completes on {needed} before it",
            )
        if step.completes_on is Milestone.RESERVED and i > 0:
            yield Fault(
                f"steps[{i}].completes_on",
                "is reserved, which happens before every other step",
                "put it first, or leave it out",
            )
        seen.add(step.completes_on)


def _end_faults(mode: Mode) -> Iterator[Fault]:
    last = len(mode.steps) - 1
    end = ENDS[mode.choice_kind]
    if mode.steps[last].completes_on is not end:
        yield Fault(
            f"steps[{last}].completes_on",
            f"is {mode.steps[last].completes_on}, so the goods never reach the customer",
            f"end a mode of choice {mode.choice_kind} on {end}",
        )
    if mode.steps[last].is_optional:
        yield Fault(
            f"steps[{last}].optional",
            "is true, and nothing comes after that could pass over it",
            "clear it",
        )


def _cancellation_faults(steps: Sequence[Step]) -> Iterator[Fault]:
    for i, (earlier, later) in enumerate(pairwise(steps), start=1):
        if later.is_cancellable and not earlier.is_cancellable:
            yield Fault(
                f"steps[{i}].cancellable",
                "is true after a step where it is false",
                "clear it: once past the cut-off, there is no way back",
            )
    for i, step in enumerate(steps):
        if step.is_cancellable and step.completes_on in CAPTURES | {Milestone.DELIVERED}:
            yield Fault(
                f"steps[{i}].cancellable",
                "is true on a step that gives the goods away",
                "clear it: the cut-off comes before",
            )
        elif step.is_cancellable and _next_fact(steps[i:]) in CAPTURES:
            yield Fault(
                f"steps[{i}].cancellable",
                "is true on a step that giving the goods away may pass over",
                "clear it: goods and cancellation would cross, and nobody would pay",
            )


def _next_fact(steps: Sequence[Step]) -> Milestone | None:
    """Return the first milestone that nothing passes over."""
    return next((step.completes_on for step in steps if not step.is_optional), None)


def _capture_faults(steps: Sequence[Step]) -> Iterator[Fault]:
    captures = [i for i, step in enumerate(steps) if step.completes_on in CAPTURES]
    if len(captures) != 1:
        yield Fault(
            "steps",
            f"capture the payment {len(captures)} times",
            "end exactly one step on handed_over or handed_to_carrier",
        )
    for i in captures:
        if steps[i].is_optional:
            yield Fault(
                f"steps[{i}].optional",
                "is true, so the payment might never be captured",
                "clear it",
            )
