"""From covers to the groups of a plan: who prepares which units of which line, at which cost."""

from collections.abc import Mapping, Sequence

from services.kernel.domain.apportion import apportion
from services.sourcing.domain.asked import Asked, Way
from services.sourcing.domain.choices import lines_of
from services.sourcing.domain.costs import MICRO, parts_of, rounded, to_minor
from services.sourcing.domain.policy import Policy
from services.sourcing.domain.solution import Solved
from services.sourcing.domain.wishes import Cost, GroupLine, PlannedGroup, Request


def groups_of(
    request: Request, asked: Sequence[Asked], solved: Sequence[Solved], policy: Policy
) -> tuple[tuple[PlannedGroup, ...], Cost]:
    filled: list[tuple[Asked, Way, dict[int, int]]] = []
    for solution in solved:
        per_way: dict[int, dict[int, int]] = {}
        for o, d, units in solution.cover.fill:
            per_way.setdefault(o, {})[d] = units
        for o, units_of in per_way.items():
            way = solution.ways[o]
            filled.append((asked[way.choice_index], way, units_of))
    filled.sort(key=lambda each: (each[0].index, each[1].option.rank))
    parts: list[tuple[int, int, int, int]] = []
    for n, (one, way, units_of) in enumerate(filled):
        is_split = n > 0 and filled[n - 1][0] is one
        parts.append(parts_of(way, units_of, policy.split_penalty_minor * MICRO * is_split))
    sums = [sum(each) for each in parts]
    total_minor = to_minor(sum(sums))
    shares = apportion(total_minor, sums) if total_minor else (0,) * len(sums)
    open_lines = {one.index: _open_lines(one, request) for one in asked}
    groups: list[PlannedGroup] = []
    cost = Cost()
    for n, (one, way, units_of) in enumerate(filled):
        group_cost = rounded(parts[n], shares[n])
        cost += group_cost
        groups.append(
            PlannedGroup(
                _group_id(request, n + 1),
                one.choice.mode_id,
                one.choice.mode_version,
                way.option.site,
                way.handover_site_id,
                _take(one, units_of, open_lines[one.index]),
                way.promised_at,
                way.tier,
                group_cost,
            )
        )
    return tuple(groups), cost


def _group_id(request: Request, number: int) -> str:
    """Return an id that no other order's group has: all before its last dot is the order's id."""
    again = "" if request.revision == 1 else f"-{request.revision}"
    return f"{request.order_id}.{number}{again}"


def _open_lines(one: Asked, request: Request) -> dict[str, list[tuple[str, int]]]:
    lines: dict[str, list[tuple[str, int]]] = {}
    for line in lines_of(one, request):
        lines.setdefault(line.sku, []).append((line.line_id, line.quantity))
    return lines


def _take(
    one: Asked, units_of: Mapping[int, int], open_lines: dict[str, list[tuple[str, int]]]
) -> tuple[GroupLine, ...]:
    """Take a group's units from what is still open of the choice's lines, in line order."""
    taken: list[GroupLine] = []
    for need in one.needs:
        left = units_of.get(need.demand, 0)
        queue = open_lines[need.sku]
        while left:
            line_id, quantity = queue[0]
            units = min(left, quantity)
            taken.append(GroupLine(line_id, need.sku, units))
            left -= units
            if units == quantity:
                queue.pop(0)
            else:
                queue[0] = (line_id, quantity - units)
    return tuple(sorted(taken, key=lambda each: (each.line_id, each.sku)))
