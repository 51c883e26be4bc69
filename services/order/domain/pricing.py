"""What a line costs, frozen at placement so that any part of it can be charged or given back.

Rounding  A line's gross price is price x quantity / price_quantity, rounded half up to the minor
          unit, once per line; no unit price is ever rounded.
Discount  Each discount of the basket, in the order given, is split over its eligible lines in
          proportion to what is left of their net price, by largest remainder. It is capped at
          that sum: a net price is never negative.
Units     The first k of the n units of a line cost ``net x k / n``, rounded half up; any run of
          units costs the difference of two such sums. All units together cost the line to the
          cent, and in whatever portions they are charged or refunded, nothing is lost or invented.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from services.kernel.domain.apportion import apportion


@dataclass(frozen=True, slots=True)
class Discount:
    """A discount as granted: for the whole basket, or for the lines of some products."""

    code: str
    amount_minor: int
    skus: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AppliedDiscount:
    """What a discount really takes off."""

    code: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class DiscountSplit:
    """Discounts laid on lines.

    Attributes:
        per_line_minor: One per line, in the order of the lines.
        applied: One per discount, in the order of the discounts.
    """

    per_line_minor: tuple[int, ...]
    applied: tuple[AppliedDiscount, ...]


def gross_minor(price_minor: int, price_quantity: int, quantity: int) -> int:
    """Return the price of ``quantity`` base units when ``price_quantity`` of them cost a price.

    >>> gross_minor(1999, 1000, 350)  # 350 g at 19.99 a kilogram: 6.9965
    700
    """
    return (2 * price_minor * quantity + price_quantity) // (2 * price_quantity)


def split_discounts(
    lines: Sequence[tuple[str, int]], discounts: Sequence[Discount]
) -> DiscountSplit:
    """Lay discounts on lines given as pairs of SKU and gross price.

    >>> split_discounts([("A", 1000), ("B", 500)], [Discount("TEN", 100)]).per_line_minor
    (67, 33)
    """
    net = [gross for _, gross in lines]
    applied: list[AppliedDiscount] = []
    for discount in discounts:
        skus = frozenset(discount.skus)
        eligible = [
            place
            for place, (sku, _) in enumerate(lines)
            if net[place] > 0 and (not skus or sku in skus)
        ]
        amount_minor = min(discount.amount_minor, sum(net[place] for place in eligible))
        applied.append(AppliedDiscount(discount.code, amount_minor))
        if amount_minor > 0:
            shares = apportion(amount_minor, [net[place] for place in eligible])
            for place, share in zip(eligible, shares, strict=True):
                net[place] -= share
    return DiscountSplit(
        tuple(gross - left for (_, gross), left in zip(lines, net, strict=True)), tuple(applied)
    )


def units_minor(net_minor: int, quantity: int, after: int, units: int) -> int:
    """Return what ``units`` of a line cost when ``after`` of its units are accounted for already.

    >>> [units_minor(1000, 3, after, 1) for after in range(3)]
    [333, 334, 333]

    Args:
        net_minor: Net price of the whole line.
        quantity: Base units of the whole line, positive.
        after: Base units already charged (or already refunded).
        units: Base units now; ``after + units`` is at most ``quantity``.
    """
    return _first_minor(net_minor, quantity, after + units) - _first_minor(
        net_minor, quantity, after
    )


def _first_minor(net_minor: int, quantity: int, units: int) -> int:
    return (2 * net_minor * units + quantity) // (2 * quantity)
