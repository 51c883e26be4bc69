"""What changes hands."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """A quantity of one line of a group, in base units. Storage format: add, never rename."""

    line_id: str
    sku: str
    quantity: int
