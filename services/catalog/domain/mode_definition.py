"""What a mode is made of; fields as in the public contract."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

from services.catalog.domain.values import LocalizedText, Money

ModeId = NewType("ModeId", str)


class ChoiceKind(StrEnum):
    SITE = "site"
    DESTINATION = "destination"


class StepType(StrEnum):
    SYSTEM = "system"
    WORK = "work"
    WAIT = "wait"
    HANDOVER = "handover"
    TRANSPORT = "transport"


class Milestone(StrEnum):
    RESERVED = "reserved"
    PICKED = "picked"
    READY = "ready"
    ARRIVED = "arrived"
    HANDED_OVER = "handed_over"
    HANDED_TO_CARRIER = "handed_to_carrier"
    DELIVERED = "delivered"


class Visibility(StrEnum):
    HIDDEN = "hidden"
    LABEL = "label"
    LABEL_AND_TIME = "label_and_time"


@dataclass(frozen=True, slots=True)
class Step:
    step_id: str
    type: StepType
    completes_on: Milestone
    label: LocalizedText
    visibility: Visibility
    is_cancellable: bool
    is_optional: bool


@dataclass(frozen=True, slots=True)
class Mode:
    """One version of a mode; ``version`` 0 means: the next one."""

    mode_id: ModeId
    version: int
    label: LocalizedText
    choice_kind: ChoiceKind
    steps: tuple[Step, ...]
    fee: Money
