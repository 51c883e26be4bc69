"""What may be asked of a decision or told to it, with the view of the world that it is made on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from services.sourcing.domain.decision_events import Cause, Correction
from services.sourcing.domain.network import Network
from services.sourcing.domain.policy import Policy
from services.sourcing.domain.wishes import Line, Product


@dataclass(frozen=True, slots=True)
class View:
    """What sourcing knows of the world when it decides.

    Attributes:
        network: Sites and who helps whom.
        products: By sku.
        stock: Free base units by sku and site.
        positions: The places in the ledger's log that said so, by sku and site.
        spoken_for: By sku and site: units that plans made a moment ago will take. Only so that
            orders of one moment do not all run to the same shelf; the ledger decides.
    """

    network: Network
    products: Mapping[str, Product] = field(default_factory=dict[str, Product])
    stock: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Mapping[str, int]])
    positions: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Mapping[str, int]])
    spoken_for: Mapping[str, Mapping[str, int]] = field(
        default_factory=dict[str, Mapping[str, int]]
    )


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """Plan an order that was placed."""

    order_id: str
    lines: tuple[Line, ...]
    currency: str
    decision_id: str
    at: datetime
    view: View
    policy: Policy


@dataclass(frozen=True, slots=True)
class Replan:
    """Plan again: the ledger refused revision ``revision``, or its hold expired."""

    order_id: str
    revision: int
    cause: Cause
    corrections: tuple[Correction, ...]
    decision_id: str
    at: datetime
    view: View
    policy: Policy


@dataclass(frozen=True, slots=True)
class ReplanGroups:
    """Plan elsewhere the groups that prepare these products at these sites.

    Attributes:
        places: Site and sku of what the ledger says may lack.
    """

    order_id: str
    places: frozenset[tuple[str, str]]
    decision_id: str
    at: datetime
    view: View
    policy: Policy


@dataclass(frozen=True, slots=True)
class StandBack:
    """The ledger could not move what revision ``revision`` wanted moved: it is as it was before.

    Corrections: what lacks where it was to go; none: it was picked already, or given back.
    """

    order_id: str
    revision: int
    corrections: tuple[Correction, ...]
    decision_id: str
    at: datetime
    view: View
    policy: Policy


@dataclass(frozen=True, slots=True)
class CloseDecision:
    """The order was accepted, on which plan, or is over: no more plans."""

    order_id: str
    reason: str
    revision: int = 0


@dataclass(frozen=True, slots=True)
class FollowOrder:
    """The order has put this plan's groups in the place of its own, or has kept its own."""

    order_id: str
    revision: int
    is_taken_up: bool


type Command = RequestPlan | Replan | ReplanGroups | StandBack | CloseDecision | FollowOrder


class Reuse(StrEnum):
    OTHER_CONTENT = "IDEMPOTENCY_MISMATCH"
