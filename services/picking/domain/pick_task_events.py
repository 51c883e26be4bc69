"""What may have happened to a task, and the values that its events carry.

Fields are storage format: add, never rename. Stored names are in adapters/event_codec.py.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ShortReason(StrEnum):
    NOT_FOUND = "not_found"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class TaskLine:
    line_id: str
    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class TaskReleased:
    order_id: str
    site_id: str
    lines: tuple[TaskLine, ...]
    promised_at: datetime | None


@dataclass(frozen=True, slots=True)
class TaskClaimed:
    """Also written when a task goes from one picker straight to another."""

    order_id: str
    site_id: str
    picker_id: str
    claim_id: str


@dataclass(frozen=True, slots=True)
class TaskUnclaimed:
    picker_id: str


@dataclass(frozen=True, slots=True)
class LinePicked:
    """``is_enough``: the line is lighter than ordered, within its tolerance, and done with it."""

    order_id: str
    site_id: str
    picker_id: str
    action_id: str
    line_id: str
    sku: str
    quantity: int
    is_enough: bool = False


@dataclass(frozen=True, slots=True)
class LineShorted:
    order_id: str
    site_id: str
    picker_id: str
    action_id: str
    line_id: str
    sku: str
    quantity: int
    reason: ShortReason


@dataclass(frozen=True, slots=True)
class CompletedLine:
    """``lighter`` base units are neither picked nor missing: the goods weigh less than ordered."""

    line_id: str
    sku: str
    ordered_quantity: int
    picked_quantity: int
    reason: ShortReason | None
    lighter: int = 0


@dataclass(frozen=True, slots=True)
class PickCompleted:
    order_id: str
    site_id: str
    lines: tuple[CompletedLine, ...]


@dataclass(frozen=True, slots=True)
class TaskCancelled:
    order_id: str
    site_id: str


@dataclass(frozen=True, slots=True)
class LinePutBack:
    order_id: str
    site_id: str
    picker_id: str
    action_id: str
    line_id: str
    sku: str
    quantity: int


type Event = (
    TaskReleased
    | TaskClaimed
    | TaskUnclaimed
    | LinePicked
    | LineShorted
    | PickCompleted
    | TaskCancelled
    | LinePutBack
)
