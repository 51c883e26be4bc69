"""What may have happened to a group that a customer collects.

Fields are storage format: add, never rename. Stored names are in adapters/event_codec.py.
"""

from dataclasses import dataclass
from datetime import datetime

from services.delivery.domain.lines import Line


@dataclass(frozen=True, slots=True)
class HandoverExpected:
    """``is_ready``: the mode has no step that makes it ready, so it is from the start."""

    order_id: str
    source_site_id: str
    handover_site_id: str
    lines: tuple[Line, ...]
    promised_at: datetime | None
    is_ready: bool


@dataclass(frozen=True, slots=True)
class HandoverLinesChanged:
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class MadeReady:
    order_id: str
    handover_site_id: str


@dataclass(frozen=True, slots=True)
class CameEarly:
    """The customer is there, the goods are not: told to nobody before the group is ready."""

    at: datetime


@dataclass(frozen=True, slots=True)
class CustomerArrived:
    order_id: str
    handover_site_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class WrongCodeGiven:
    """``locked_until`` is set by one wrong code too many; ``code_digest`` tells codes apart."""

    request_id: str
    at: datetime
    locked_until: datetime | None
    code_digest: str = ""


@dataclass(frozen=True, slots=True)
class HandedOver:
    order_id: str
    source_site_id: str
    handover_site_id: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class HandoverCancelled:
    """The order was cancelled."""


type Event = (
    HandoverExpected
    | HandoverLinesChanged
    | MadeReady
    | CameEarly
    | CustomerArrived
    | WrongCodeGiven
    | HandedOver
    | HandoverCancelled
)
