"""The cheapest way to cover demands from sites: fixed cost per opened group, unit costs, stock.

This is capacitated facility location with lines that may be cut. A depth-first branch and bound
solves it (``cover_search``). Before that, two covers are taken greedily (``cover_greedy``), so that
a search that is cut short has something to answer; what it did not look through, it does not claim.
One order over a few dozen sites takes microseconds to milliseconds, because a single site nearly
always covers it and the bound then proves at once that two cannot be cheaper.

Costs are integers in any one unit. Among covers within the tolerance of the cheapest, the
fastest wins, then the fewest groups, then the sites' priority, then their ids.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.sourcing.domain.cover_greedy import greedy_covers
from services.sourcing.domain.cover_search import Search
from services.sourcing.domain.demands import Demand, Fill, Option


@dataclass(frozen=True, slots=True)
class Cover:
    """Which options are used for what.

    Attributes:
        cost: Fixed and unit costs.
        fill: Who supplies what, ordered.
        is_proved: True when no cover is cheaper by more than the tolerance.
    """

    cost: int
    fill: Fill
    is_proved: bool


@dataclass(frozen=True, slots=True)
class NoCover:
    """Nothing was found. ``is_proved``: because there is nothing, not because the search ended."""

    is_proved: bool


def cheapest_cover(
    demands: Sequence[Demand],
    options: Sequence[Option],
    stock: Mapping[tuple[str, str], int],
    *,
    tolerance: int,
    max_groups: int,
    max_nodes: int,
    max_looks: int = 0,
) -> Cover | NoCover:
    """Return the cheapest cover of every demand, all or nothing.

    Args:
        demands: At least one; at most one per choice and product.
        options: At most one per choice and site, in an order that does not depend on the caller.
        stock: Base units of each (site, sku), shared by the options of that site.
        tolerance: Covers this much dearer than the cheapest count as equally cheap.
        max_groups: Most options that may serve one choice.
        max_nodes: Most nodes that are searched; above it the answer is not proved.
        max_looks: Most work of the search, in offers looked at; 0: as many as the nodes take.

    Returns:
        NoCover when no selection of options that was looked at covers every demand within
        ``max_groups`` per choice.
    """
    search = Search(
        demands,
        options,
        stock,
        tolerance=tolerance,
        max_groups=max_groups,
        max_nodes=max_nodes,
        max_looks=max_looks,
    )
    everything = (1 << len(options)) - 1
    search.singles()
    if not search.several_cannot_pay():
        for chosen in greedy_covers(demands, options, stock, max_groups):
            search.offer_cover(chosen)
        search.explore(0, everything, 0)
    if search.is_cut_short and search.best_cost is None:
        search.offer_cover(everything)
    if search.best_cost is None:
        return NoCover(not search.is_cut_short)
    within = search.best_cost + tolerance
    cost, _, fill = min(
        (each for each in search.found.values() if each[0] <= within), key=lambda each: each[1]
    )
    return Cover(cost, fill, not search.is_cut_short)
