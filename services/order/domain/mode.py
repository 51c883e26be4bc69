"""Modes as an order knows them: frozen steps, and the rule that finds the next one.

A mode is data of the catalog. The order copies the version it was placed with, so a later version
changes nothing for it, and follows steps without knowing any mode by name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


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


class ChoiceKind(StrEnum):
    SITE = "site"
    DESTINATION = "destination"


class Temperature(StrEnum):
    AMBIENT = "ambient"
    CHILLED = "chilled"
    FROZEN = "frozen"


@dataclass(frozen=True, slots=True)
class Step:
    step_id: str
    type: StepType
    completes_on: Milestone
    label_fr: str
    label_en: str
    visibility: Visibility
    cancellable: bool = False
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Mode:
    mode_id: str
    version: int
    fee_minor: int
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Destination:
    """Where an order goes, without saying to whom."""

    postcode: str
    country: str
    latitude_e6: int | None = None
    longitude_e6: int | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """How, where and when a quantity is wanted; the version is 0 until the order freezes it."""

    mode_id: str
    mode_version: int = 0
    site_id: str = ""
    destination: Destination | None = None
    wanted_at: datetime | None = None


def step_completed_by(steps: Sequence[Step], at: int, milestone: Milestone) -> int | None:
    """Return the place of the step that ``milestone`` completes for a group at place ``at``.

    It is the nearest one from ``at`` on that waits for this fact, as long as only optional steps
    lie between; ``None`` when the fact fits no step, and is then ignored.
    """
    for place in range(at, len(steps)):
        if steps[place].completes_on is milestone:
            return place
        if not steps[place].optional:
            return None
    return None
