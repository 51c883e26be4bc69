"""What sourcing is asked, what it sees, and what it answers. Plain values, storage format.

Add fields, never rename: receipts are read for years.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b

from services.sourcing.domain.network import Network, Position

AMBIENT = "ambient"


@dataclass(frozen=True, slots=True)
class Choice:
    """How and where the customer wants a line. An explicit site is a hard constraint."""

    mode_id: str
    mode_version: int = 1
    site_id: str = ""
    postcode: str = ""
    country: str = ""
    position: Position | None = None
    wanted_at: datetime | None = None

    @property
    def key(self) -> tuple[str, int, str, str, str, Position, str]:
        """What makes two choices the same, in a form that sorts."""
        wanted = "" if self.wanted_at is None else self.wanted_at.isoformat()
        position = self.position or (0, 0)
        return (
            self.mode_id,
            self.mode_version,
            self.site_id,
            self.country,
            self.postcode,
            position,
            wanted,
        )


@dataclass(frozen=True, slots=True)
class Line:
    """A line quantity. An empty temperature means the product's."""

    line_id: str
    sku: str
    quantity: int
    choice: Choice
    temperature: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """An order to be sourced, at a moment."""

    order_id: str
    revision: int
    lines: tuple[Line, ...]
    currency: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Product:
    """What planning needs of a product: grams of one base unit, and the temperature it needs."""

    sku: str
    weight_g: int
    temperature: str = AMBIENT


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that planning may look at.

    Attributes:
        network: Sites and who helps whom.
        products: By sku; a product nobody told of is ambient and has the policy's weight.
        stock: Free base units by sku and site.
    """

    network: Network
    products: Mapping[str, Product] = field(default_factory=dict[str, Product])
    stock: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Mapping[str, int]])


class Why(StrEnum):
    """Why a site does not prepare (more of) a choice. One reason per site: the first that holds."""

    INACTIVE = "INACTIVE"
    NOT_CAPABLE = "NOT_CAPABLE"
    TEMPERATURE = "TEMPERATURE"
    NOT_EXPLICIT_SITE = "NOT_EXPLICIT_SITE"
    NOT_IN_ZONE = "NOT_IN_ZONE"
    NO_HANDOVER = "NO_HANDOVER"
    CLOSED = "CLOSED"
    MISSES_DATE = "MISSES_DATE"
    NO_STOCK = "NO_STOCK"
    PARTIAL_STOCK = "PARTIAL_STOCK"
    COSTLIER = "COSTLIER"
    SLOWER = "SLOWER"
    LOWER_PRIORITY = "LOWER_PRIORITY"


class Tier(StrEnum):
    """From which circle a group is served."""

    EXPLICIT = "explicit"
    EXTENDED_SITE = "extended_site"
    SALES_ZONE = "sales_zone"


class Refusal(StrEnum):
    """Why an order as a whole cannot be carried out."""

    OUT_OF_STOCK = "OUT_OF_STOCK"
    PARTIALLY_AVAILABLE = "PARTIALLY_AVAILABLE"
    MODE_NOT_CAPABLE = "MODE_NOT_CAPABLE"
    CUTOFF_PASSED = "CUTOFF_PASSED"
    PLAN_NOT_FOUND = "PLAN_NOT_FOUND"


@dataclass(frozen=True, slots=True)
class Rejection:
    choice_index: int
    site_id: str
    reason: Why
    sku: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A site that was considered. ``fixed_minor``: what opening a group there costs."""

    choice_index: int
    source_site_id: str
    handover_site_id: str
    promised_at: datetime
    fixed_minor: int
    available: int


@dataclass(frozen=True, slots=True)
class SeenStock:
    site_id: str
    sku: str
    free: int


@dataclass(frozen=True, slots=True)
class Alternative:
    site_id: str
    sku: str
    available: int


@dataclass(frozen=True, slots=True)
class Cost:
    """Parts in minor units; they add up to the total."""

    preparation_minor: int = 0
    transport_minor: int = 0
    transfer_minor: int = 0
    split_minor: int = 0

    @property
    def total_minor(self) -> int:
        return (
            self.preparation_minor + self.transport_minor + self.transfer_minor + self.split_minor
        )

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.preparation_minor + other.preparation_minor,
            self.transport_minor + other.transport_minor,
            self.transfer_minor + other.transfer_minor,
            self.split_minor + other.split_minor,
        )


@dataclass(frozen=True, slots=True)
class GroupLine:
    line_id: str
    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class PlannedGroup:
    group_id: str
    mode_id: str
    mode_version: int
    source_site_id: str
    handover_site_id: str
    lines: tuple[GroupLine, ...]
    promised_at: datetime
    tier: Tier
    cost: Cost


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a decision was made on, and what was considered: enough to make it again.

    Attributes:
        at: When it was asked.
        network_hash: Content hash of the network's facts.
        snapshot_hash: Content hash of the request, the policy and everything that was looked at.
        products: The products of the order as they were known.
        stock: The stock that was looked at.
        is_proved: False when the search was cut short before it proved the plan cheapest, or that
            there is none.
        algorithm: Version of the planning that decided; 0: from before versions were stored.
    """

    at: datetime
    policy_version: str
    network_hash: str
    snapshot_hash: str
    products: tuple[Product, ...] = ()
    stock: tuple[SeenStock, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    is_proved: bool = True
    algorithm: int = 0


@dataclass(frozen=True, slots=True)
class Planned:
    """Every line is covered."""

    groups: tuple[PlannedGroup, ...]
    cost: Cost
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Refused:
    """No plan covers every line."""

    reason: Refusal
    alternatives: tuple[Alternative, ...]
    receipt: Receipt


type Outcome = Planned | Refused


def content_hash(*parts: object) -> str:
    """Return a hash of values whose ``repr`` tells everything about them."""
    return blake2b(repr(parts).encode(), digest_size=16).hexdigest()
