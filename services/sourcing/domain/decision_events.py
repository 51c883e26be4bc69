"""What may have been decided for an order, and the values that the events carry.

Fields are storage format: add, never rename. Stored names are in adapters/event_codec.py.
"""

from dataclasses import dataclass
from enum import StrEnum

from services.sourcing.domain.wishes import Alternative, Cost, Line, PlannedGroup, Receipt, Refusal

ACCEPTED = "accepted"
"""Why a decision is closed, when the order was accepted; every other reason ends it."""


@dataclass(frozen=True, slots=True)
class DecisionRequested:
    order_id: str
    lines: tuple[Line, ...]
    currency: str


@dataclass(frozen=True, slots=True)
class PlanDecided:
    """Where it replaces groups of an accepted order, it has their lines only."""

    order_id: str
    revision: int
    decision_id: str
    groups: tuple[PlannedGroup, ...]
    cost: Cost
    currency: str
    receipt: Receipt
    replaces: tuple[PlannedGroup, ...] = ()
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanRejected:
    """With groups that were to be replaced: they stay as they are, and so does the order."""

    order_id: str
    revision: int
    decision_id: str
    reason: Refusal
    alternatives: tuple[Alternative, ...]
    receipt: Receipt
    replaces: tuple[PlannedGroup, ...] = ()
    lines: tuple[Line, ...] = ()


class Cause(StrEnum):
    """Why a plan no longer stands."""

    REFUSED = "refused"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Correction:
    """What the ledger said that was free, and where in its log it said so."""

    site_id: str
    sku: str
    free: int
    position: int


@dataclass(frozen=True, slots=True)
class PlanSuperseded:
    order_id: str
    revision: int
    cause: Cause
    corrections: tuple[Correction, ...]


@dataclass(frozen=True, slots=True)
class DecisionClosed:
    """``revision`` is the plan that was accepted; 0: none, or from before it was stored."""

    order_id: str
    reason: str
    revision: int = 0


@dataclass(frozen=True, slots=True)
class PlanFollowed:
    """The accepted order works on this newer plan, which is held instead of the accepted one."""

    order_id: str
    revision: int


@dataclass(frozen=True, slots=True)
class PlanDeclined:
    """The order kept the groups that this plan was to replace: they were past that."""

    order_id: str
    revision: int


type Event = (
    DecisionRequested
    | PlanDecided
    | PlanRejected
    | PlanSuperseded
    | DecisionClosed
    | PlanFollowed
    | PlanDeclined
)
