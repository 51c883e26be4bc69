"""From an order to a plan, with the receipt of why. Pure: the same input gives the same answer.

1. What the customer chose is fixed; it is carried out as chosen or refused with alternatives.
2. Capable members of the extended site are considered; only when they cannot cover a choice,
   the sales zone is added, with transfer legs. Choices that ask for the same product draw on the
   same stock and are solved, and widened, together.
3. The cheapest cover wins; within the tolerance the fastest, then priority, then site id.
4. All or nothing: an order of which one line cannot be covered gets no plan.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.kernel.domain.apportion import apportion
from services.sourcing.domain.cover import Cover, Demand, NoCover, cheapest_cover
from services.sourcing.domain.network import Position, distance_m
from services.sourcing.domain.options import MICRO, Asked, Need, Way, ask, gather
from services.sourcing.domain.policy import Policy
from services.sourcing.domain.wishes import (
    AMBIENT,
    Alternative,
    Candidate,
    Cost,
    GroupLine,
    Line,
    Outcome,
    Planned,
    PlannedGroup,
    Product,
    Receipt,
    Refusal,
    Refused,
    Rejection,
    Request,
    SeenStock,
    Snapshot,
    Why,
    content_hash,
)

# Which planning decided. Raised with every change that may give another answer to the same
# question: receipts name it, and replays compare within one version only.
ALGORITHM = 1

MAX_ALTERNATIVES = 10
MAX_REJECTIONS_OUTSIDE = 50
MAX_OFFERS_PER_CHOICE = 20
_FAR_M = 10**9


@dataclass(frozen=True, slots=True)
class Offer:
    """One site that could carry out all lines of a choice by itself."""

    line_ids: tuple[str, ...]
    mode_id: str
    source_site_id: str
    handover_site_id: str
    promised_at: datetime
    cost: Cost


@dataclass(frozen=True, slots=True)
class _Solved:
    ways: tuple[Way, ...]
    needs: tuple[Need, ...]
    cover: Cover


def plan(request: Request, snapshot: Snapshot, policy: Policy) -> Outcome:
    """Decide which site prepares what and where it changes hands, or refuse with alternatives.

    The answer does not depend on the order of sites, stock rows or lines.
    """
    asked = _asked(request, snapshot, policy)
    solved: list[_Solved] = []
    failed: list[Asked] = []
    is_proved = False  # that what failed has no plan; one such set is enough
    for together in _sharing(asked):
        solution = _solve(together, snapshot, policy, request.at)
        match solution:
            case NoCover():
                failed += together
                is_proved = is_proved or solution.is_proved
            case _Solved():
                solved.append(solution)
    if failed:
        return _refused(request, asked, failed, snapshot, policy, is_proved=is_proved)
    groups, cost = _groups(request, asked, solved, policy)
    rejections = [each for one in asked for each in one.rejections]
    for solution in solved:
        rejections += _passed_over(solution, policy)
    is_proved = all(solution.cover.is_proved for solution in solved)
    receipt = _receipt(request, asked, rejections, snapshot, policy, is_proved=is_proved)
    return Planned(groups, cost, receipt)


def refuse(request: Request, snapshot: Snapshot, policy: Policy, reason: Refusal) -> Refused:
    """Refuse without looking for a plan, with alternatives: the tries are used up."""
    asked = _asked(request, snapshot, policy)
    refused = _refused(request, asked, asked, snapshot, policy, is_proved=True)
    return replace(refused, reason=reason)


def offers(request: Request, snapshot: Snapshot, policy: Policy) -> tuple[Offer, ...]:
    """Return the sites that could carry out a whole choice alone, cheapest first, per choice."""
    found: list[Offer] = []
    for one in _asked(request, snapshot, policy):
        gather(one, 0, snapshot, policy, request.at)
        gather(one, 1, snapshot, policy, request.at)
        line_ids = tuple(line.line_id for line in _lines_of(one, request))
        able = [
            way
            for way in one.ways
            if all(way.option.supply.get(n.demand, 0) >= n.quantity for n in one.needs)
        ]
        priced: list[tuple[int, int, tuple[int, str, str], Offer]] = []
        for way in able:
            parts = _parts(way, {need.demand: need.quantity for need in one.needs}, 0)
            offer = Offer(
                line_ids,
                one.choice.mode_id,
                way.option.site,
                way.handover_site_id,
                way.promised_at,
                _rounded(parts, _to_minor(sum(parts))),
            )
            priced.append((offer.cost.total_minor, way.option.eta, way.option.rank, offer))
        found += [each[3] for each in sorted(priced, key=lambda p: p[:3])[:MAX_OFFERS_PER_CHOICE]]
    return tuple(found)


def _asked(request: Request, snapshot: Snapshot, policy: Policy) -> list[Asked]:
    """Return the choices of the order with what each needs, in an order of their own."""
    by_choice: dict[tuple[object, ...], list[Line]] = {}
    for line in sorted(request.lines, key=lambda each: (each.line_id, each.sku)):
        by_choice.setdefault(line.choice.key, []).append(line)
    asked: list[Asked] = []
    demand = 0
    for index, key in enumerate(sorted(by_choice)):
        lines = by_choice[key]
        wanted: dict[str, int] = {}
        temperatures: dict[str, str] = {}
        for line in lines:
            wanted[line.sku] = wanted.get(line.sku, 0) + line.quantity
            temperatures[line.sku] = temperatures.get(line.sku, "") or line.temperature
        needs: list[Need] = []
        for sku in sorted(wanted):
            product = snapshot.products.get(sku)
            temperature = temperatures[sku] or (product.temperature if product else AMBIENT)
            weight_g = product.weight_g if product else policy.default_weight_g
            needs.append(Need(demand, sku, wanted[sku], weight_g, temperature))
            demand += 1
        asked.append(ask(index, lines[0].choice, tuple(needs), snapshot.network))
    return asked


def _sharing(asked: Sequence[Asked]) -> list[list[Asked]]:
    """Return the choices in sets that have no product in common with each other."""
    sets: list[tuple[set[str], list[Asked]]] = []
    for one in asked:
        skus = {need.sku for need in one.needs}
        members = [one]
        apart: list[tuple[set[str], list[Asked]]] = []
        for other_skus, others in sets:
            if skus & other_skus:
                skus |= other_skus
                members = others + members
            else:
                apart.append((other_skus, others))
        sets = [*apart, (skus, sorted(members, key=lambda each: each.index))]
    return [members for _, members in sorted(sets, key=lambda each: each[1][0].index)]


def _solve(
    together: Sequence[Asked], snapshot: Snapshot, policy: Policy, at: datetime
) -> _Solved | NoCover:
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
            return _Solved(ways, needs, Cover(cover.cost, fill, is_proved))
    return NoCover(is_proved)


def _lines_of(one: Asked, request: Request) -> list[Line]:
    key = one.choice.key
    lines = [line for line in request.lines if line.choice.key == key]
    return sorted(lines, key=lambda each: (each.line_id, each.sku))


def _parts(way: Way, units: Mapping[int, int], split: int) -> tuple[int, int, int, int]:
    transport = way.transport + sum(way.transport_per_unit[d] * n for d, n in units.items())
    transfer = way.transfer + sum(way.transfer_per_unit[d] * n for d, n in units.items())
    return way.preparation, transport, transfer, split


def _to_minor(micro: int) -> int:
    return (micro + MICRO // 2) // MICRO


def _rounded(parts: Sequence[int], total_minor: int) -> Cost:
    if total_minor == 0:
        return Cost()
    return Cost(*apportion(total_minor, parts))


def _groups(
    request: Request, asked: Sequence[Asked], solved: Sequence[_Solved], policy: Policy
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
        parts.append(_parts(way, units_of, policy.split_penalty_minor * MICRO * is_split))
    sums = [sum(each) for each in parts]
    total_minor = _to_minor(sum(sums))
    shares = apportion(total_minor, sums) if total_minor else (0,) * len(sums)
    open_lines = {one.index: _open_lines(one, request) for one in asked}
    groups: list[PlannedGroup] = []
    cost = Cost()
    for n, (one, way, units_of) in enumerate(filled):
        group_cost = _rounded(parts[n], shares[n])
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
    for line in _lines_of(one, request):
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


def _passed_over(solution: _Solved, policy: Policy) -> Iterable[Rejection]:
    """Say why each candidate that was not used was not."""
    used: dict[int, int] = {}
    latest: dict[int, int] = {}
    for o, d, units in solution.cover.fill:
        option = solution.ways[o].option
        if option.choice not in latest or o not in used:
            latest[option.choice] = max(latest.get(option.choice, 0), option.eta)
        used[o] = used.get(o, 0) + option.unit[d] * units
    spent: dict[int, int] = {}
    for o, units_cost in used.items():
        option = solution.ways[o].option
        spent[option.choice] = spent.get(option.choice, 0) + option.fixed + units_cost
    needs: dict[int, dict[int, int]] = {}
    for o, d, units in solution.cover.fill:
        of_choice = needs.setdefault(solution.ways[o].option.choice, {})
        of_choice[d] = of_choice.get(d, 0) + units
    skus = {need.demand: need.sku for need in solution.needs}
    for o, way in enumerate(solution.ways):
        if o in used:
            continue
        option = way.option
        wanted = needs[option.choice]
        lacking = [d for d in sorted(wanted) if option.supply.get(d, 0) < wanted[d]]
        if lacking:
            yield Rejection(way.choice_index, option.site, Why.PARTIAL_STOCK, skus[lacking[0]])
            continue
        alone = option.fixed + sum(option.unit[d] * units for d, units in wanted.items())
        if alone > spent[option.choice] + policy.tolerance_minor * MICRO:
            why = Why.COSTLIER
        else:
            why = Why.SLOWER if option.eta > latest[option.choice] else Why.LOWER_PRIORITY
        yield Rejection(way.choice_index, option.site, why)


def _refused(
    request: Request,
    asked: Sequence[Asked],
    failed: Sequence[Asked],
    snapshot: Snapshot,
    policy: Policy,
    *,
    is_proved: bool,
) -> Refused:
    reason, lacking = _reason(failed, snapshot, is_proved=is_proved)
    rejections = [each for one in asked for each in one.rejections]
    for one in failed:
        rejections += _outside(one, lacking, snapshot)
    receipt = _receipt(
        *(request, asked, rejections, snapshot, policy),
        is_proved=reason is not Refusal.PLAN_NOT_FOUND,
        everywhere=lacking,
    )
    return Refused(reason, _alternatives(failed, lacking, snapshot), receipt)


def _reason(
    failed: Sequence[Asked], snapshot: Snapshot, *, is_proved: bool
) -> tuple[Refusal, tuple[str, ...]]:
    """Return why, and the products that lack (all of them when stock is not the reason).

    What can be counted is true however short the search was. Only where nothing lacks does it
    matter whether the search has seen that there is no plan, or has ended before.
    """
    incapable = [one for one in failed if one.is_capable_nowhere]
    if incapable:
        return Refusal.MODE_NOT_CAPABLE, _skus(incapable)
    need: dict[str, int] = {}
    have: dict[str, dict[str, int]] = {}
    late: dict[str, int] = {}
    for one in failed:
        for each in one.needs:
            need[each.sku] = need.get(each.sku, 0) + each.quantity
            for way in one.ways:
                if each.demand in way.option.supply:
                    site_id = way.option.site
                    free = snapshot.stock.get(each.sku, {}).get(site_id, 0)
                    have.setdefault(each.sku, {})[site_id] = free
        for sku, units in one.late_supply.items():
            late[sku] = late.get(sku, 0) + units
    lacking = tuple(s for s in sorted(need) if sum(have.get(s, {}).values()) < need[s])
    if not lacking:
        reason = Refusal.PARTIALLY_AVAILABLE if is_proved else Refusal.PLAN_NOT_FOUND
        return reason, _skus(failed)
    if all(sum(have.get(s, {}).values()) + late.get(s, 0) >= need[s] for s in lacking):
        return Refusal.CUTOFF_PASSED, lacking
    return Refusal.OUT_OF_STOCK, lacking


def _skus(asked: Sequence[Asked]) -> tuple[str, ...]:
    return tuple(sorted({need.sku for one in asked for need in one.needs}))


def _outside(one: Asked, lacking: Sequence[str], snapshot: Snapshot) -> list[Rejection]:
    """Say why sites with stock outside of every circle were not asked."""
    is_named = bool(one.choice.site_id) and not one.is_collected
    why = Why.NOT_EXPLICIT_SITE if is_named else Why.NOT_IN_ZONE
    with_stock = {
        site_id
        for need in one.needs
        if need.sku in lacking
        for site_id, free in snapshot.stock.get(need.sku, {}).items()
        if free > 0 and site_id in snapshot.network.sites
    }
    outside = sorted(with_stock - one.seen - {each.site_id for each in one.rejections})
    return [Rejection(one.index, site_id, why) for site_id in outside[:MAX_REJECTIONS_OUTSIDE]]


def _alternatives(
    failed: Sequence[Asked], lacking: Sequence[str], snapshot: Snapshot
) -> tuple[Alternative, ...]:
    """Return sites with free stock of what lacks, nearest first, those that can do the mode only.

    When no site with stock can do the mode, any active site with stock is shown.
    """
    network = snapshot.network
    able: dict[tuple[int, str], list[Alternative]] = {}
    other: dict[tuple[int, str], list[Alternative]] = {}
    for one in failed:
        here = _whereabouts(one, snapshot)
        for sku in sorted({need.sku for need in one.needs if need.sku in lacking}):
            for site_id, free in snapshot.stock.get(sku, {}).items():
                site = network.sites.get(site_id)
                if free <= 0 or site is None or not site.is_active:
                    continue
                metres = _FAR_M
                if here is not None and site.position is not None:
                    metres = distance_m(here, site.position)
                capability = network.capability(site_id, one.choice.mode_id)
                shelf = able if capability is not None and capability.can_prepare else other
                found = shelf.setdefault((metres, site_id), [])
                if all(each.sku != sku for each in found):
                    found.append(Alternative(site_id, sku, free))
    shown: dict[str, list[Alternative]] = {}
    for (_, site_id), found in sorted(able.items() or other.items()):
        if site_id in shown or len(shown) < MAX_ALTERNATIVES:
            known = shown.setdefault(site_id, [])
            known += [each for each in found if each not in known]
    return tuple(each for found in shown.values() for each in sorted(found, key=lambda a: a.sku))


def _whereabouts(one: Asked, snapshot: Snapshot) -> Position | None:
    site = snapshot.network.sites.get(one.choice.site_id)
    return site.position if site is not None else one.choice.position


def _receipt(
    request: Request,
    asked: Sequence[Asked],
    rejections: Iterable[Rejection],
    snapshot: Snapshot,
    policy: Policy,
    *,
    is_proved: bool = True,
    everywhere: Sequence[str] = (),
) -> Receipt:
    products: dict[str, Product] = {}
    seen: dict[tuple[str, str], int] = {}
    for one in asked:
        for need in one.needs:
            if need.sku in snapshot.products:
                products[need.sku] = snapshot.products[need.sku]
            row = snapshot.stock.get(need.sku, {})
            sites = row if need.sku in everywhere else one.seen
            for site_id in sites:
                free = row.get(site_id, 0)
                if free > 0:
                    seen[need.sku, site_id] = free
    stock = tuple(SeenStock(site_id, sku, seen[sku, site_id]) for sku, site_id in sorted(seen))
    known = tuple(products[sku] for sku in sorted(products))
    lines = sorted(
        (line.line_id, line.sku, line.quantity, line.temperature, line.choice.key)
        for line in request.lines
    )
    network_hash = snapshot.network.content_hash
    return Receipt(
        at=request.at,
        policy_version=policy.version,
        network_hash=network_hash,
        snapshot_hash=content_hash(
            request.order_id,
            request.revision,
            request.currency,
            request.at.isoformat(),
            lines,
            network_hash,
            policy.version,
            [(each.sku, each.weight_g, each.temperature) for each in known],
            sorted(seen.items()),
        ),
        products=known,
        stock=stock,
        candidates=tuple(
            Candidate(
                way.choice_index,
                way.option.site,
                way.handover_site_id,
                way.promised_at,
                _to_minor(way.preparation + way.transport + way.transfer),
                sum(way.option.supply.values()),
            )
            for one in asked
            for way in one.ways
        ),
        rejections=tuple(
            sorted(rejections, key=lambda r: (r.choice_index, r.site_id, r.reason, r.sku))
        ),
        is_proved=is_proved,
        algorithm=ALGORITHM,
    )
