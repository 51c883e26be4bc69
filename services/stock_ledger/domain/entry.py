"""The ledger's one kind of event: an entry that moves units between accounts.

``A <- B`` is written as two postings, one positive, one negative; every entry sums to zero.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

# Accounts. The first six are the buckets of a site; their sum is what is physically there.

FREE = "free"
HELD = "held"
ALLOCATED = "allocated"
PICKED = "picked"
QUARANTINE = "quarantine"
DAMAGED = "damaged"
TRANSIT = "transit"
SUPPLIER = "supplier"
CUSTOMER = "customer"
SHRINK_BREAKAGE = "shrink:breakage"
SHRINK_EXPIRY = "shrink:expiry"
SHRINK_THEFT = "shrink:theft"
SHRINK_UNKNOWN = "shrink:unknown"
DESTROYED = "destroyed"
COUNT_DIFFERENCE = "count_difference"
IMAGE_DIFFERENCE = "image_difference"
LOSS_CARRIER = "loss:carrier"
CLEARANCE = "clearance"


class Cause(StrEnum):
    """Why an entry was made."""

    GOODS_RECEIPT = "goods_receipt"
    BREAKAGE = "breakage"
    EXPIRY = "expiry"
    THEFT = "theft"
    UNKNOWN_LOSS = "unknown_loss"
    COUNT = "count"
    QUARANTINE = "quarantine"
    TILL_SALE = "till_sale"
    HOLD = "hold"
    CONFIRM = "confirm"
    RELEASE = "release"
    HOLD_EXPIRED = "hold_expired"
    MOVED_AWAY = "moved_away"
    MOVED_HERE = "moved_here"
    PICK = "pick"
    SHORT_NOT_FOUND = "short_not_found"
    SHORT_DAMAGED = "short_damaged"
    PUT_BACK = "put_back"
    HANDOVER = "handover"
    SHIPMENT = "shipment"
    DELIVERY = "delivery"
    RETURN_RESTOCK = "return_restock"
    RETURN_WRITE_OFF = "return_write_off"
    IMAGE = "image"
    STOCKTAKE = "stocktake"
    IMAGE_KEPT = "image_kept"
    STOCKTAKE_KEPT = "stocktake_kept"
    IMAGE_OFFSET = "image_offset"
    RETURN_QUARANTINE = "return_quarantine"
    QUARANTINE_RELEASED = "quarantine_released"
    QUARANTINE_DESTROYED = "quarantine_destroyed"
    QUARANTINE_TO_SUPPLIER = "quarantine_to_supplier"
    QUARANTINE_TO_CLEARANCE = "quarantine_to_clearance"
    TRANSFER_SHIPPED = "transfer_shipped"
    TRANSFER_RECEIVED = "transfer_received"
    CARRIER_LOSS = "carrier_loss"


FACTS = frozenset(
    {
        Cause.BREAKAGE,
        Cause.EXPIRY,
        Cause.THEFT,
        Cause.UNKNOWN_LOSS,
        Cause.COUNT,
        Cause.TILL_SALE,
        Cause.PICK,
        Cause.HANDOVER,
        Cause.SHIPMENT,
        Cause.SHORT_NOT_FOUND,
        Cause.SHORT_DAMAGED,
        Cause.IMAGE,
        Cause.STOCKTAKE,
        Cause.IMAGE_OFFSET,
        Cause.GOODS_RECEIPT,
        Cause.RETURN_RESTOCK,
        Cause.QUARANTINE_RELEASED,
        Cause.TRANSFER_SHIPPED,
        Cause.TRANSFER_RECEIVED,
    }
)
"""The causes that may take free below zero; a receipt or a return when it is taken back.

What is handed over or shipped does where it weighs more than was promised, before its pick is
heard of.
"""


# Events. Fields are storage format: add, never rename. Names are in adapters/event_codec.py.


@dataclass(frozen=True, slots=True)
class Posting:
    account: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Buckets:
    """What a site has of a product, in base units, by what may be done with it."""

    free: int = 0
    held: int = 0
    allocated: int = 0
    picked: int = 0
    quarantine: int = 0
    damaged: int = 0

    @property
    def on_hand(self) -> int:
        return self.free + self.held + self.allocated + self.picked + self.quarantine + self.damaged


@dataclass(frozen=True, slots=True)
class Left:
    """Units that left the site before their pick was heard of: from which account, and when."""

    quantity: int
    account: str
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Reserved:
    """What one reservation has of this product at this site, in base units.

    Attributes:
        held: Promised until the hold expires.
        allocated: Promised for good.
        picked: In a tote.
        transit: With the carrier; no longer at the site.
        ahead: Left the site before the pick was heard of.
        left: Of these the newest, with when they left; entries of before this was kept have none.
    """

    held: int = 0
    allocated: int = 0
    picked: int = 0
    transit: int = 0
    ahead: int = 0
    left: tuple[Left, ...] = ()

    @property
    def is_over(self) -> bool:
        return not (self.held or self.allocated or self.picked or self.transit or self.ahead)


@dataclass(frozen=True, slots=True)
class Image:
    """What somebody saw of this product at this site; see domain/image.py.

    Attributes:
        basis: ``physical`` or ``available``.
        has_picked: Whether what was seen includes units in totes.
        counted: What was seen, in base units.
        expected: What the ledger had of it, as of the same time.
        offset_of: Source id of the late movement that this entry takes back; empty for others.
    """

    basis: str
    has_picked: bool
    counted: int = 0
    expected: int = 0
    offset_of: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """One movement as its source reported it, in base units."""

    source_id: str
    quantity: int
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Share:
    """What one of many reservations has of an entry, in base units; it has nothing else here."""

    reservation_id: str
    quantity: int


@dataclass(frozen=True, slots=True)
class EntryPosted:
    """One entry of the ledger.

    Attributes:
        cause: Why.
        postings: What each account gained or lost; they sum to zero.
        after: The balance with this entry, so that a reader needs no earlier one.
        quantity: What the source reported, in base units.
        occurred_at: When it happened, by the source's account; the latest of its reports.
        source_id: The source's id of the movement; empty where the reservation is the source.
        reservation_id: Whose stock moved; empty when nobody's.
        reserved: What that reservation has with this entry.
        image: The image or count that the entry applies, keeps or answers to; nothing for others.
        reports: The movements that it sums up, where it stands for several; then ``source_id``
            is empty and each is known by its own. Of a pick heard after its units had left: the
            pick, and what takes it back when they left; both are known by ``source_id``.
        shares: The reservations that it holds for, or whose holds it ends, where it stands for
            several; then ``reservation_id`` is empty.
    """

    cause: str
    postings: tuple[Posting, ...]
    after: Buckets
    quantity: int
    occurred_at: datetime
    source_id: str = ""
    reservation_id: str = ""
    reserved: Reserved | None = None
    image: Image | None = None
    reports: tuple[Report, ...] = ()
    shares: tuple[Share, ...] = ()
