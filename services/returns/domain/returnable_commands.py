"""What may be told of an order that may come back or asked of it, and the reasons for a refusal."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from services.returns.domain.returnable_events import DeliveredPart


@dataclass(frozen=True, slots=True)
class RecordDelivery:
    group_id: str
    currency: str
    delivered_at: datetime
    parts: tuple[DeliveredPart, ...]


@dataclass(frozen=True, slots=True)
class RecordCapture:
    capture_id: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class ClaimUnits:
    """Attributes: ``wanted`` pairs line ids with base units; ``window`` counts from delivery."""

    return_id: str
    wanted: tuple[tuple[str, int], ...]
    claimed_at: datetime
    window: timedelta


@dataclass(frozen=True, slots=True)
class RecordRefund:
    return_id: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class ReleaseUnits:
    return_id: str


type Command = RecordDelivery | RecordCapture | ClaimUnits | RecordRefund | ReleaseUnits


class Refusal(StrEnum):
    QUANTITY_NOT_RETURNABLE = "QUANTITY_NOT_RETURNABLE"
    RETURN_WINDOW_CLOSED = "RETURN_WINDOW_CLOSED"
    REFUND_EXCEEDS_CAPTURE = "REFUND_EXCEEDS_CAPTURE"
    STEP_CONFLICT = "STEP_CONFLICT"
    ID_REUSED = "IDEMPOTENCY_MISMATCH"
