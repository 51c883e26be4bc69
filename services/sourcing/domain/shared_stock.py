"""Sharing the stock of one product between several needs at least cost.

Successive shortest paths (Ahuja, Magnanti, Orlin, *Network Flows*, 1993, section 9.7), found by
Bellman-Ford because taking a share back costs less than nothing. Each path ends a site's stock, a
need, or another's share, so a handful of rounds do.
"""

from collections.abc import Mapping
from itertools import pairwise

type Path = tuple[str | int, ...]


def share(
    stock: Mapping[str, int], needs: Mapping[int, int], costs: Mapping[tuple[str, int], int]
) -> dict[tuple[str, int], int] | None:
    """Return who gives how much to whom; None when the needs cannot all be met.

    Args:
        stock: Units of each site.
        needs: Units of each need.
        costs: Cost of one unit, for each site that may serve a need.
    """
    arcs = sorted(costs.items())
    flow = dict.fromkeys((arc for arc, _ in arcs), 0)
    left, missing = dict(stock), dict(needs)
    while any(missing.values()):
        reach = _reach(arcs, flow, left, len(left) + len(missing))
        ends = [(reach[need][0], need) for need in missing if missing[need] and need in reach]
        if not ends:
            return None
        end = min(ends)[1]
        path = reach[end][1]
        source = str(path[0])
        units = min(missing[end], left[source])
        for one, other in pairwise(path):
            if isinstance(one, int):
                units = min(units, flow[str(other), one])
        for one, other in pairwise(path):
            if isinstance(one, int):
                flow[str(other), one] -= units
            else:
                flow[one, int(other)] += units
        missing[end] -= units
        left[source] -= units
    return {arc: units for arc, units in flow.items() if units}


def _reach(
    arcs: list[tuple[tuple[str, int], int]],
    flow: Mapping[tuple[str, int], int],
    left: Mapping[str, int],
    rounds: int,
) -> dict[str | int, tuple[int, Path]]:
    """Return the cheapest way from any site with stock left to every site and need."""
    reach: dict[str | int, tuple[int, Path]] = {
        site: (0, (site,)) for site, units in sorted(left.items()) if units
    }
    for _ in range(rounds):
        moved = False
        for (site, need), cost in arcs:
            if site in reach:
                so_far, path = reach[site]
                if need not in reach or so_far + cost < reach[need][0]:
                    reach[need], moved = (so_far + cost, (*path, need)), True
            if flow[site, need] and need in reach:
                so_far, path = reach[need]
                if site not in reach or so_far - cost < reach[site][0]:
                    reach[site], moved = (so_far - cost, (*path, site)), True
        if not moved:
            break
    return reach
