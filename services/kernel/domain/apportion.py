"""Splitting an amount so that no cent is lost or invented."""

from collections.abc import Sequence


def apportion(total_minor: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Split an amount in proportion to weights, to the minor unit.

    Every share is its exact proportion rounded down or up; the units left over by rounding
    down go to the largest remainders, earlier shares first on a tie. Same input, same split.

    >>> apportion(100, [1, 1, 1])
    (34, 33, 33)

    Args:
        total_minor: Amount to split, in minor units of its currency (cents for EUR); may be
            negative, as a refund is.
        weights: One per share, shape ``(n,)``, n >= 1; each >= 0 and at least one > 0. Any
            unit: line amounts in minor units, units of stock, grams.

    Returns:
        Shares in minor units, shape ``(n,)``, in the order of ``weights``; they sum to
        ``total_minor`` exactly. A share of weight 0 is 0.

    Raises:
        ValueError: No weight is positive, or one is negative.

    Source:
        Hamilton's method of largest remainders: Balinski and Young, *Fair Representation*,
        2nd ed., Brookings 2001.
    """
    weight_sum = sum(weights)
    if weight_sum <= 0 or min(weights) < 0:
        raise ValueError("weights must be non-negative, at least one of them positive")
    sign = -1 if total_minor < 0 else 1
    floors, remainders = zip(
        *(divmod(abs(total_minor) * weight, weight_sum) for weight in weights), strict=True
    )
    left_over = abs(total_minor) - sum(floors)
    by_remainder = sorted(range(len(weights)), key=lambda i: -remainders[i])
    topped_up = set(by_remainder[:left_over])
    return tuple(sign * (floor + (i in topped_up)) for i, floor in enumerate(floors))
