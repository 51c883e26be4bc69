"""The search for covers: depth first, branch and bound, within a budget of nodes.

The bound spreads the fixed cost of every undecided option over what it could supply, which never
overestimates, and its own solution, rounded up, is the next incumbent.
"""

from collections.abc import Mapping, Sequence

from services.sourcing.domain.demands import Demand, Fill, Option
from services.sourcing.domain.shared_stock import share

_LEAST_NODES = 10
_DEEPEST = 400  # each level is a call within a call
# One look at a pair of site and need in a flow costs as much as so many at an offer, and there are
# about four rounds for every path.
_LOOKS_PER_ARC = 64


type Key = tuple[int, int, int, tuple[tuple[int, str, str], ...]]


class Search:
    def __init__(
        self,
        demands: Sequence[Demand],
        options: Sequence[Option],
        site_stock: Mapping[tuple[str, str], int],
        *,
        tolerance: int,
        max_groups: int,
        max_nodes: int,
        max_looks: int,
    ) -> None:
        self.demands, self.options, self.site_stock = demands, options, site_stock
        self.tolerance, self.max_groups, self.nodes_left = tolerance, max_groups, max_nodes
        self.is_cut_short = False
        self.most_groups = max_groups * len({option.choice for option in options})
        self.best_cost: int | None = None
        self.found: dict[frozenset[int], tuple[int, Key, Fill]] = {}
        # Per demand: (unit cost, is undecided, option, supply), cheapest first. An undecided
        # option's unit cost carries its share of the fixed cost: y >= x / supply for each of the
        # n demands, hence fixed * y >= sum of fixed / (n * supply) * x; floors keep it a bound.
        self.offers: list[list[tuple[int, bool, int, int]]] = []
        for d in range(len(demands)):
            offers: list[tuple[int, bool, int, int]] = []
            for o, option in enumerate(options):
                supply = option.supply.get(d)
                if supply is not None:
                    share = option.fixed // (len(option.supply) * supply)
                    offers.append((option.unit[d], False, o, supply))
                    offers.append((option.unit[d] + share, True, o, supply))
            self.offers.append(sorted(offers))
        by_sku: dict[str, list[int]] = {}
        for d, demand in enumerate(demands):
            by_sku.setdefault(demand.sku, []).append(d)
        self.shared = [group for group in by_sku.values() if len(group) > 1]
        self.alone = [group[0] for group in by_sku.values() if len(group) == 1]
        if max_looks:
            affordable = max_looks // max(1, self._looks_per_node())
            self.nodes_left = min(max_nodes, max(_LEAST_NODES, affordable))

    def _looks_per_node(self) -> int:
        """Return about how much work one node is: offers looked at, flows of shared stock."""
        looks = sum(len(offers) for offers in self.offers)
        for group in self.shared:
            arcs = sum(len(self.offers[d]) for d in group) // 2
            looks += _LOOKS_PER_ARC * arcs * len(group)
        return looks

    def bound(self, opened: int, undecided: int) -> tuple[int, dict[int, int]] | None:
        """Return a lower bound below this node and the units its solution takes per option."""
        total = 0
        taken: dict[int, int] = {}
        for d, demand in enumerate(self.demands):
            left = demand.quantity
            for unit, is_undecided, o, supply in self.offers[d]:
                if (undecided if is_undecided else opened) >> o & 1:
                    take = min(left, supply)
                    total += take * unit
                    taken[o] = taken.get(o, 0) + take
                    left -= take
                    if left == 0:
                        break
            if left:
                return None
        for o, option in enumerate(self.options):
            if opened >> o & 1:
                total += option.fixed
        return total, taken

    def offer_cover(self, chosen: int) -> int | None:
        """Price the options of a bit set; keep it when it is good. Returns its cost, if any."""
        fill = self._fill(chosen)
        if fill is None:
            return None
        used = sorted({o for o, _, _ in fill})
        if self._has_too_many(used):
            return None
        cost = sum(self.options[o].fixed for o in used)
        cost += sum(self.options[o].unit[d] * quantity for o, d, quantity in fill)
        if self.best_cost is None or cost < self.best_cost:
            self.best_cost = cost
        if cost <= self.best_cost + self.tolerance:
            ranks = tuple(sorted(self.options[o].rank for o in used))
            key = (
                max(self.options[o].eta for o in used),
                len(used),
                sum(rank[0] for rank in ranks),
                ranks,
            )
            self.found[frozenset(used)] = (cost, key, fill)
        return cost

    def _has_too_many(self, used: Sequence[int]) -> bool:
        groups: dict[int, int] = {}
        for o in used:
            groups[self.options[o].choice] = groups.get(self.options[o].choice, 0) + 1
        return max(groups.values()) > self.max_groups

    def _fill(self, chosen: int) -> Fill | None:
        fill: list[tuple[int, int, int]] = []
        for d in self.alone:
            left = self.demands[d].quantity
            for _, is_undecided, o, supply in self.offers[d]:
                if not is_undecided and chosen >> o & 1:
                    take = min(left, supply)
                    fill.append((o, d, take))
                    left -= take
                    if left == 0:
                        break
            if left:
                return None
        for group in self.shared:
            flow = self._share(group, chosen)
            if flow is None:
                return None
            fill += flow
        return tuple(sorted(fill))

    def _share(self, group: Sequence[int], chosen: int) -> list[tuple[int, int, int]] | None:
        """Let the demands of one product share the stock of the chosen sites."""
        option_of: dict[tuple[str, int], int] = {}
        costs: dict[tuple[str, int], int] = {}
        stock: dict[str, int] = {}
        for d in group:
            for unit, is_undecided, o, _ in self.offers[d]:
                if not is_undecided and chosen >> o & 1:
                    site = self.options[o].site
                    option_of[site, d], costs[site, d] = o, unit
                    stock[site] = self.site_stock[site, self.demands[d].sku]
        shares = share(stock, {d: self.demands[d].quantity for d in group}, costs)
        if shares is None:
            return None
        return [(option_of[arc], arc[1], units) for arc, units in shares.items()]

    def singles(self) -> None:
        """Price every option that covers everything by itself, and keep the good ones."""
        costs: list[tuple[int, int]] = []
        for o, option in enumerate(self.options):
            if len(option.supply) < len(self.demands):
                continue
            if all(option.supply[d] >= demand.quantity for d, demand in enumerate(self.demands)):
                cost = option.fixed
                for d, demand in enumerate(self.demands):
                    cost += option.unit[d] * demand.quantity
                costs.append((cost, o))
        if costs:
            within = min(costs)[0] + self.tolerance
            for cost, o in costs:
                if cost <= within:
                    self.offer_cover(1 << o)

    def several_cannot_pay(self) -> bool:
        """Return whether even the two cheapest options with the lowest unit costs are too dear."""
        if self.best_cost is None:
            return False
        least = sum(sorted(option.fixed for option in self.options)[:2])
        for d, demand in enumerate(self.demands):
            least += self.offers[d][0][0] * demand.quantity
        return len(self.options) == 1 or least > self.best_cost + self.tolerance

    def explore(self, opened: int, undecided: int, depth: int) -> None:
        """Search every cover that uses all of ``opened`` and nothing outside of ``undecided``."""
        if depth > min(self.most_groups, _DEEPEST):
            self.is_cut_short = self.is_cut_short or depth <= self.most_groups
            return
        while True:
            if self.nodes_left <= 0:
                self.is_cut_short = True
                return
            self.nodes_left -= 1
            bound = self.bound(opened, undecided)
            if bound is None:
                return
            least, taken = bound
            if self.best_cost is not None and least > self.best_cost + self.tolerance:
                return
            rounded = 0
            for o in taken:
                rounded |= 1 << o
            cost = self.offer_cover(rounded)
            fresh = [o for o in taken if undecided >> o & 1]
            if not fresh:
                if cost is not None and cost <= least:
                    return  # every other cover below opens more, costs no less, is no faster
                # The bound let two choices take the same stock: try all that is open, then more.
                self.offer_cover(opened)
                fresh = [o for o in range(len(self.options)) if undecided >> o & 1]
                if not fresh:
                    return
            branch = max(fresh, key=lambda o: (self.options[o].fixed, -o))
            undecided &= ~(1 << branch)
            self.explore(opened | 1 << branch, undecided, depth + 1)
