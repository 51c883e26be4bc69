"""Two covers that need little looking: cheapest first, and most at once first.

The first is often the cheapest there is; the second uses few groups, and so it exists where the
limit of groups leaves no room for bargains.
"""

from collections.abc import Iterator, Mapping, Sequence

from services.sourcing.domain.demands import Demand, Option

_WHOLE = 1_000_000  # of a demand: what shares of it are measured in


def greedy_covers(
    demands: Sequence[Demand],
    options: Sequence[Option],
    stock: Mapping[tuple[str, str], int],
    max_groups: int,
) -> Iterator[int]:
    """Yield what is taken greedily, as bit sets of options; not what fails to cover everything."""
    taking = _Taking(demands, options, stock, max_groups)
    for is_most_first in (False, True):
        chosen = taking.covering(is_most_first=is_most_first)
        if chosen is not None:
            yield chosen


class _Taking:
    def __init__(
        self,
        demands: Sequence[Demand],
        options: Sequence[Option],
        stock: Mapping[tuple[str, str], int],
        max_groups: int,
    ) -> None:
        self.demands, self.options, self.stock = demands, options, stock
        self.max_groups = max_groups

    def covering(self, *, is_most_first: bool) -> int | None:
        """Return options that together cover everything, choice by choice; None if these do not.

        The choice with the fewest options goes first: it leaves the others more than they it.
        """
        of_choice: dict[int, list[int]] = {}
        for o, option in enumerate(self.options):
            of_choice.setdefault(option.choice, []).append(o)
        wanted: dict[int, dict[int, int]] = {}
        for d, demand in enumerate(self.demands):
            wanted.setdefault(demand.choice, {})[d] = demand.quantity
        left_at = dict(self.stock)
        chosen = 0
        for choice in sorted(wanted, key=lambda each: (len(of_choice.get(each, ())), each)):
            candidates, left = of_choice.get(choice, []), wanted[choice]
            for _ in range(self.max_groups):
                priced = [
                    (*self._worth(o, left, left_at, is_most_first=is_most_first), o)
                    for o in candidates
                    if not chosen >> o & 1
                ]
                if not priced or min(priced)[:2] == (0, 0):
                    return None
                best = min(priced)[2]
                chosen |= 1 << best
                for d, units in self._takes(best, left, left_at):
                    left[d] -= units
                    place = self.options[best].site, self.demands[d].sku
                    if place in left_at:
                        left_at[place] -= units
                if not any(left.values()):
                    break
            if any(left.values()):
                return None
        return chosen

    def _takes(
        self, o: int, left: Mapping[int, int], left_at: Mapping[tuple[str, str], int]
    ) -> list[tuple[int, int]]:
        """Return what an option would supply of what is left to supply (demand, units)."""
        option = self.options[o]
        taken: list[tuple[int, int]] = []
        for d, supply in option.supply.items():
            units = min(supply, left[d])
            units = min(units, left_at.get((option.site, self.demands[d].sku), units))
            if units > 0:
                taken.append((d, units))
        return taken

    def _worth(
        self,
        o: int,
        left: Mapping[int, int],
        left_at: Mapping[tuple[str, str], int],
        *,
        is_most_first: bool,
    ) -> tuple[int, int]:
        """Return by what an option is chosen, the least first; (0, 0): it supplies nothing."""
        option, part, cost = self.options[o], 0, self.options[o].fixed
        for d, units in self._takes(o, left, left_at):
            part += units * _WHOLE // self.demands[d].quantity
            cost += units * option.unit[d]
        if part == 0:
            return 0, 0
        return (-part, cost) if is_most_first else (cost * _WHOLE // part, -part)
