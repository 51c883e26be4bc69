"""What may be asked of a task, and the reasons for which it refuses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from services.picking.domain.pick_task_events import ShortReason, TaskLine


@dataclass(frozen=True, slots=True)
class ReleaseTask:
    order_id: str
    site_id: str
    lines: tuple[TaskLine, ...]
    promised_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ClaimTask:
    picker_id: str
    claim_id: str


@dataclass(frozen=True, slots=True)
class UnclaimTask:
    picker_id: str


@dataclass(frozen=True, slots=True)
class ReassignTask:
    from_picker_id: str
    to_picker_id: str
    claim_id: str


@dataclass(frozen=True, slots=True)
class Pick:
    """What a picker did; the same ``action_id`` never counts twice."""

    action_id: str
    line_id: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Short:
    """What a picker missed; the same ``action_id`` never counts twice."""

    action_id: str
    line_id: str
    quantity: int
    reason: ShortReason


@dataclass(frozen=True, slots=True)
class RecordLines:
    """Picks and shortages, in the order in which they happened: all are recorded, or none.

    Attributes:
        picker_id: Who acted.
        actions: What he did.
        tolerance_percent: How far what is picked of a line may differ from what was ordered, by
            line; a line that is not named must be picked exactly.
    """

    picker_id: str
    actions: tuple[Pick | Short, ...]
    tolerance_percent: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class CancelTask:
    """The order is cancelled."""


@dataclass(frozen=True, slots=True)
class PutBack:
    picker_id: str
    action_id: str
    line_id: str
    quantity: int


type Command = (
    ReleaseTask | ClaimTask | UnclaimTask | ReassignTask | RecordLines | CancelTask | PutBack
)


class Refusal(StrEnum):
    STEP_CONFLICT = "STEP_CONFLICT"
    OVER_PICK = "OVER_PICK"
    ACTION_REUSED = "IDEMPOTENCY_MISMATCH"
