"""What may be asked of an order or told to it, and the reasons for which it refuses."""

from dataclasses import dataclass
from enum import StrEnum

from services.order.domain.mode import Milestone
from services.order.domain.order_events import Alternative, Group, OrderPlaced


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    placed: OrderPlaced


@dataclass(frozen=True, slots=True)
class AcceptOrder:
    groups: tuple[Group, ...]
    reservation_id: str
    plan_revision: int


@dataclass(frozen=True, slots=True)
class RefuseOrder:
    reason: str
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True, slots=True)
class ReachedLine:
    """Units of a line that a fact is about, why some are missing, by how many it is lighter."""

    line_id: str
    quantity: int
    reason: str = ""
    lighter: int = 0


@dataclass(frozen=True, slots=True)
class ReachMilestone:
    """A fact about a group. ``lines`` are the units really picked or handed over."""

    group_id: str
    milestone: Milestone
    lines: tuple[ReachedLine, ...] = ()


@dataclass(frozen=True, slots=True)
class NoteShort:
    """``missing`` units cannot be picked. ``heard_version`` grows with each one of a group."""

    group_id: str
    line_id: str
    missing: int
    reason: str
    heard_version: int


@dataclass(frozen=True, slots=True)
class CancelOrder:
    reason: str
    reservation_id: str = ""


@dataclass(frozen=True, slots=True)
class RefundOrder:
    return_id: str
    currency: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class ReplaceGroups:
    """Their stock is elsewhere now: let these groups take the place of those, or of all if none."""

    replaced_group_ids: tuple[str, ...]
    groups: tuple[Group, ...]
    plan_revision: int


type Command = (
    PlaceOrder
    | AcceptOrder
    | RefuseOrder
    | ReachMilestone
    | NoteShort
    | CancelOrder
    | RefundOrder
    | ReplaceGroups
)


class Refusal(StrEnum):
    IDEMPOTENCY_MISMATCH = "IDEMPOTENCY_MISMATCH"
    ORDER_UNKNOWN = "ORDER_UNKNOWN"
    CUTOFF_PASSED = "CUTOFF_PASSED"
    STEP_CONFLICT = "STEP_CONFLICT"
    PLAN_MISMATCH = "PLAN_MISMATCH"
    RESERVATION_EXPIRED = "RESERVATION_EXPIRED"
    REFUND_EXCEEDS_CAPTURE = "REFUND_EXCEEDS_CAPTURE"
    CURRENCY_MISMATCH = "CURRENCY_MISMATCH"
