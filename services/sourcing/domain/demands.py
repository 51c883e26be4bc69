"""What is to be covered, and what it may be covered by: demands, options, who supplies what."""

from collections.abc import Mapping
from dataclasses import dataclass

type Fill = tuple[tuple[int, int, int], ...]
"""Triples of option index, demand index and quantity."""


@dataclass(frozen=True, slots=True)
class Demand:
    """A quantity of one product that one choice of the customer asks for."""

    choice: int
    sku: str
    quantity: int


@dataclass(slots=True)
class Option:
    """One way to serve a choice: a preparing site with the place of handover that suits it best.

    Never changed; not frozen, because they are made by the dozen for every order.

    Attributes:
        choice: The choice that it serves.
        site: Where the stock is; several choices may draw on the same stock.
        fixed: Cost of using it at all.
        supply: What it could supply of each demand (by demand index), at least 1.
        unit: Cost of one base unit of each demand.
        eta: When its goods would be there; any integer that grows with time.
        rank: Priority and ids: who goes first when cost and time tie.
    """

    choice: int
    site: str
    fixed: int
    supply: Mapping[int, int]
    unit: Mapping[int, int]
    eta: int
    rank: tuple[int, str, str]
