"""Movements of the feeds between two accounts: one table says which cause moves what to where.

``A <- B``: A gains what B loses. These are facts that their sources report one by one and that add
up: many reports of one cause on one stock item make one entry, which keeps each report. What a
reservation has, and what needs a promise, is in ``stock_item``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.stock_ledger.domain.entry import (
    CLEARANCE,
    CUSTOMER,
    DAMAGED,
    DESTROYED,
    FREE,
    LOSS_CARRIER,
    QUARANTINE,
    SHRINK_BREAKAGE,
    SHRINK_EXPIRY,
    SHRINK_THEFT,
    SHRINK_UNKNOWN,
    SUPPLIER,
    TRANSIT,
    Cause,
    Report,
)

# Gains <- loses. Of what is lost, the bucket may be another than free: see ``shrinkage_from``.
RULES: Mapping[Cause, tuple[str, str]] = {
    Cause.GOODS_RECEIPT: (FREE, SUPPLIER),
    Cause.TILL_SALE: (CUSTOMER, FREE),
    Cause.BREAKAGE: (SHRINK_BREAKAGE, FREE),
    Cause.EXPIRY: (SHRINK_EXPIRY, FREE),
    Cause.THEFT: (SHRINK_THEFT, FREE),
    Cause.UNKNOWN_LOSS: (SHRINK_UNKNOWN, FREE),
    Cause.RETURN_RESTOCK: (FREE, CUSTOMER),
    Cause.RETURN_QUARANTINE: (QUARANTINE, CUSTOMER),
    Cause.RETURN_WRITE_OFF: (DESTROYED, CUSTOMER),
    Cause.QUARANTINE_RELEASED: (FREE, QUARANTINE),
    Cause.QUARANTINE_DESTROYED: (DESTROYED, QUARANTINE),
    Cause.QUARANTINE_TO_SUPPLIER: (SUPPLIER, QUARANTINE),
    Cause.QUARANTINE_TO_CLEARANCE: (CLEARANCE, QUARANTINE),
    Cause.TRANSFER_SHIPPED: (TRANSIT, FREE),
    Cause.TRANSFER_RECEIVED: (FREE, TRANSIT),
    Cause.CARRIER_LOSS: (LOSS_CARRIER, TRANSIT),
}
SHRINKAGE = frozenset({Cause.BREAKAGE, Cause.EXPIRY, Cause.THEFT, Cause.UNKNOWN_LOSS})
WRITABLE_BUCKETS = (FREE, QUARANTINE, DAMAGED)
"""From where goods may be written off; what is promised is shorted by its pick instead."""

MUST_BE_THERE = frozenset({QUARANTINE, DAMAGED})
"""Buckets that no report takes below zero: what is in them was set aside by hand, and seen."""


@dataclass(frozen=True, slots=True)
class Post:
    """Reports of one cause, each counted once by its source id, in one entry.

    Attributes:
        cause: One of ``RULES``.
        reports: At least one; quantities in base units, negative to take a movement back.
        bucket: For shrinkage, where the goods were; else nothing.
    """

    cause: Cause
    reports: tuple[Report, ...]
    bucket: str = FREE

    def accounts(self) -> tuple[str, str]:
        """Return what gains and what loses."""
        gains, loses = RULES[self.cause]
        return gains, self.bucket if self.cause in SHRINKAGE else loses


def changes(gains: str, loses: str, reports: Sequence[Report]) -> dict[str, int]:
    """Return what each account gains by all of these reports together."""
    quantity = sum([report.quantity for report in reports])
    return {gains: quantity, loses: -quantity}
