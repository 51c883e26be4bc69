"""Units that left before their pick was heard of: when, and what the late pick then means.

Rule    once a pick is heard of, the past shows it from its time until its units left.

Between the two times they were in a tote, whichever was heard of first. So a late pick moves what
the handover took from its promise to the tote at its own time, and back at the handover's: that
comes to nothing today, and an image of a time in between counts the same under every order of
arrival.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from services.stock_ledger.domain.entry import ALLOCATED, FREE, HELD, Left, Reserved

_MOST_REMEMBERED = 32


def still_ahead(
    had: Reserved, changes: Mapping[str, int], ahead: int, occurred_at: datetime
) -> tuple[Left, ...]:
    """Return what is ahead after a movement; of very many parts the oldest lose their time.

    Args:
        had: What the reservation had.
        changes: What each account gains.
        ahead: By how much the reservation gets ahead of its picks; negative: it is caught up with.
        occurred_at: When.
    """
    if ahead < 0:
        return caught_up(had, -ahead)[1]
    if not ahead:
        return had.left
    taken = [(account, -changes.get(account, 0)) for account in (ALLOCATED, HELD, FREE)]
    new = [Left(quantity, account, occurred_at) for account, quantity in taken if quantity]
    return (*had.left, *new)[-_MOST_REMEMBERED:]


def timeless(reserved: Reserved) -> int:
    """Return how many units that are ahead have no time: they are older than those that have."""
    return reserved.ahead - sum(part.quantity for part in reserved.left)


def caught_up(reserved: Reserved, quantity: int) -> tuple[tuple[Left, ...], tuple[Left, ...]]:
    """Return the parts that a late pick of so many catches up with, and those still ahead.

    The oldest first. What has no time is older than all, and in neither.
    """
    quantity = max(quantity - timeless(reserved), 0)
    caught: list[Left] = []
    rest: list[Left] = []
    for part in reserved.left:
        taken = min(part.quantity, quantity)
        quantity -= taken
        if taken:
            caught.append(replace(part, quantity=taken))
        if taken < part.quantity:
            rest.append(replace(part, quantity=part.quantity - taken))
    return tuple(caught), tuple(rest)
