"""What may have happened to an order, and the values that its events carry.

Fields are storage format: add, never rename. Stored names are in adapters/event_codec.py. What
each does to the order is in ``order_state``, which facts lead to it in ``order`` and beside it.
"""

from dataclasses import dataclass
from datetime import datetime

from services.order.domain.mode import Choice, Mode, Step, Temperature
from services.order.domain.pricing import AppliedDiscount

# Values that events carry.


@dataclass(frozen=True, slots=True)
class Line:
    """A line quantity with its frozen price; ``choice`` is a place in the order's choices."""

    line_id: str
    sku: str
    quantity: int
    choice: int
    gross_minor: int
    discount_minor: int
    temperature: Temperature

    @property
    def net_minor(self) -> int:
        return self.gross_minor - self.discount_minor


@dataclass(frozen=True, slots=True)
class GroupLine:
    """``over`` base units were picked beyond the quantity: handed over too, and not charged."""

    line_id: str
    sku: str
    quantity: int
    over: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """Lines that one site prepares and one place hands over."""

    group_id: str
    mode_id: str
    mode_version: int
    source_site_id: str
    handover_site_id: str
    lines: tuple[GroupLine, ...]
    promised_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Alternative:
    site_id: str
    sku: str
    available: int


@dataclass(frozen=True, slots=True)
class DeliveredLine:
    line_id: str
    sku: str
    quantity: int
    net_minor: int


# Events.


@dataclass(frozen=True, slots=True)
class OrderPlaced:
    customer_id: str
    currency: str
    lines: tuple[Line, ...]
    choices: tuple[Choice, ...]
    modes: tuple[Mode, ...]
    discounts: tuple[AppliedDiscount, ...]
    placed_at: datetime
    fingerprint: str
    basket_id: str = ""

    @property
    def gross_minor(self) -> int:
        return sum(line.gross_minor for line in self.lines)

    @property
    def discount_minor(self) -> int:
        return sum(line.discount_minor for line in self.lines)

    @property
    def fee_minor(self) -> int:
        return sum(mode.fee_minor for mode in self.modes)

    @property
    def total_minor(self) -> int:
        return self.gross_minor - self.discount_minor + self.fee_minor


@dataclass(frozen=True, slots=True)
class OrderAccepted:
    groups: tuple[Group, ...]
    reservation_id: str
    plan_revision: int


@dataclass(frozen=True, slots=True)
class OrderRefused:
    reason: str
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True, slots=True)
class StepStarted:
    customer_id: str
    group: Group
    step: Step


@dataclass(frozen=True, slots=True)
class StepCompleted:
    customer_id: str
    group_id: str
    step: Step


@dataclass(frozen=True, slots=True)
class LineShorted:
    """``picked_quantity`` is what is left of the line in this group."""

    group_id: str
    line_id: str
    sku: str
    ordered_quantity: int
    picked_quantity: int
    reason: str
    heard_version: int = 0


@dataclass(frozen=True, slots=True)
class LineWeighed:
    """What was picked weighs less than was ordered, and is all of it: nothing is missing.

    ``picked_quantity`` is what is left of the line in this group, ``lighter`` what it is less.
    """

    group_id: str
    line_id: str
    sku: str
    ordered_quantity: int
    picked_quantity: int
    lighter: int = 0


@dataclass(frozen=True, slots=True)
class PaymentCaptured:
    """``amount_minor`` is for the units, ``fee_minor`` for the mode: its first group pays it."""

    group_id: str
    currency: str
    amount_minor: int
    fee_minor: int
    captured_total_minor: int
    delivered: tuple[DeliveredLine, ...]


@dataclass(frozen=True, slots=True)
class GroupCompleted:
    customer_id: str
    group_id: str
    handover_site_id: str
    currency: str
    delivered: tuple[DeliveredLine, ...]


@dataclass(frozen=True, slots=True)
class OrderCancelled:
    reason: str
    reservation_id: str = ""


@dataclass(frozen=True, slots=True)
class OrderCompleted:
    pass


@dataclass(frozen=True, slots=True)
class OrderRefunded:
    return_id: str
    currency: str
    amount_minor: int
    refunded_total_minor: int


@dataclass(frozen=True, slots=True)
class GroupsReplaced:
    """Others prepare them: the stock was not where the books had it."""

    replaced_group_ids: tuple[str, ...]
    groups: tuple[Group, ...]
    plan_revision: int


@dataclass(frozen=True, slots=True)
class GroupsKept:
    """Too late to replace them; what was moved for ``declined`` is not needed.

    Attributes:
        declined: Those that were to take their place.
        plan_revision: The plan that said so.
        kept: Every group that the order has, as it was planned; events of before this was said
            have none.
        picked_group_ids: Of these, the ones past picking.
    """

    declined: tuple[Group, ...]
    plan_revision: int
    kept: tuple[Group, ...] = ()
    picked_group_ids: tuple[str, ...] = ()


type Event = (
    OrderPlaced
    | OrderAccepted
    | OrderRefused
    | StepStarted
    | StepCompleted
    | LineShorted
    | LineWeighed
    | PaymentCaptured
    | GroupCompleted
    | OrderCancelled
    | OrderCompleted
    | OrderRefunded
    | GroupsReplaced
    | GroupsKept
)
