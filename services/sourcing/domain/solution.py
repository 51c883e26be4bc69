"""The cheapest cover of choices that draw on the same stock, circle by circle.

The second circle is added only when the first cannot cover them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.sourcing.domain.asked import Asked, Need, Way
from services.sourcing.domain.costs import MICRO
from services.sourcing.domain.cover import Cover, NoCover, cheapest_cover
from services.sourcing.domain.demands import Demand
from services.sourcing.domain.options import gather
from services.sourcing.domain.policy import Policy
from services.sourcing.domain.wishes import Snapshot


@dataclass(frozen=True, slots=True)
class Solved:
    ways: tuple[Way, ...]
    needs: tuple[Need, ...]
    cover: Cover


def solve(
    together: Sequence[Asked], snapshot: Snapshot, policy: Policy, at: datetime
) -> Solved | NoCover:
    first = together[0].needs[0].demand if len(together) == 1 else None
    needs = tuple(need for one in together for need in one.needs)
    place = {need.demand: place for place, need in enumerate(needs)}
    demands = tuple(
        Demand(one.index, need.sku, need.quantity) for one in together for need in one.needs
    )
    is_proved = True  # that there is nothing, or nothing cheaper, in the circles so far
    for tier in (0, 1):
        for one in together:
            gather(one, tier, snapshot, policy, at, is_reduced=len(together) == 1)
        if tier and not any(one.circles[1] for one in together):
            break
        for one in together:
            one.ways.sort(key=lambda way: way.option.rank)
        ways = tuple(way for one in together for way in one.ways)
        if first == 0:
            options = [way.option for way in ways]
        else:
            options = [
                replace(
                    way.option,
                    supply={place[d]: units for d, units in way.option.supply.items()},
                    unit={place[d]: cost for d, cost in way.option.unit.items()},
                )
                for way in ways
            ]
        cover = cheapest_cover(
            demands,
            options,
            {
                (way.option.site, need.sku): snapshot.stock.get(need.sku, {}).get(
                    way.option.site, 0
                )
                for way in (ways if len(together) > 1 else ())
                for need in needs
            },
            tolerance=policy.tolerance_minor * MICRO,
            max_groups=policy.max_groups_per_choice,
            max_nodes=policy.max_search_nodes,
            max_looks=policy.max_search_looks,
        )
        is_proved = is_proved and cover.is_proved
        if isinstance(cover, Cover):
            fill = tuple((o, needs[d].demand, units) for o, d, units in cover.fill)
            return Solved(ways, needs, Cover(cover.cost, fill, is_proved))
    return NoCover(is_proved)
