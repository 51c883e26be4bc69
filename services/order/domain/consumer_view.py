"""What a consumer sees of his order: visible steps, and what he is told in any case.

A pure function of those facts only. Hidden steps leave no trace in it: they change no entry, no
time and no order, so two orders that differ in hidden steps alone look the same.

A step is told once, as its message is: work and waiting when they begin ("being prepared", "you can
come"), everything else when it is over ("collected"). A label-only step is told without its time.
Besides steps the consumer is told of a short line, a refusal, a cancellation and a refund.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from services.order.domain.mode import Step, StepType, Visibility
from services.order.domain.order_events import (
    Event,
    GroupCompleted,
    GroupsKept,
    GroupsReplaced,
    LineShorted,
    LineWeighed,
    OrderAccepted,
    OrderCancelled,
    OrderCompleted,
    OrderPlaced,
    OrderRefunded,
    OrderRefused,
    PaymentCaptured,
    StepCompleted,
    StepStarted,
)


@dataclass(frozen=True, slots=True)
class Fact:
    """An event of an order, when it was recorded, and the order's version with it."""

    version: int
    at: datetime
    event: Event


@dataclass(frozen=True, slots=True)
class Told:
    """What the consumer is told; ``at`` is None where he sees a label only."""

    version: int
    at: datetime | None
    event: StepStarted | StepCompleted | LineShorted | OrderRefused | OrderCancelled | OrderRefunded


def consumer_view(facts: Iterable[Fact]) -> list[Told]:
    """Return what a consumer may see of these facts, in their order."""
    return [told for fact in facts if (told := _told(fact)) is not None]


def _told(fact: Fact) -> Told | None:
    match fact.event:
        case StepStarted(step=step) as event:
            begins = step.type in (StepType.WORK, StepType.WAIT)
            return _told_step(fact, event, step) if begins else None
        case StepCompleted(step=step) as event:
            begins = step.type in (StepType.WORK, StepType.WAIT)
            return None if begins else _told_step(fact, event, step)
        case (LineShorted() | OrderRefused() | OrderCancelled() | OrderRefunded()) as event:
            return Told(fact.version, fact.at, event)
        case (
            OrderPlaced()
            | OrderAccepted()
            | PaymentCaptured()
            | GroupCompleted()
            | OrderCompleted()
            | GroupsReplaced()
            | GroupsKept()
            | LineWeighed()
        ):
            return None
        case _:
            assert_never(fact.event)


def _told_step(fact: Fact, event: StepStarted | StepCompleted, step: Step) -> Told | None:
    match step.visibility:
        case Visibility.HIDDEN:
            return None
        case Visibility.LABEL:
            return Told(fact.version, None, event)
        case Visibility.LABEL_AND_TIME:
            return Told(fact.version, fact.at, event)
        case _:
            assert_never(step.visibility)
