"""Who can serve a choice, at what cost and by when; and why the others cannot.

A circle of sites is looked at as a whole: first who has the stock and what it would cost, then, of
those that may be worth it, who keeps the promise.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.sourcing.domain.asked import AMBIENT_ONLY, Asked, Supply, Survey, Way
from services.sourcing.domain.costs import MICRO
from services.sourcing.domain.demands import Option
from services.sourcing.domain.legs import Leg, legs_of
from services.sourcing.domain.network import Capability, Site
from services.sourcing.domain.policy import Policy
from services.sourcing.domain.promises import misses_date, promise_of
from services.sourcing.domain.wishes import Snapshot, Tier, Why


@dataclass(slots=True)
class _Prospect:
    """A capable site with stock, before anyone looked at the clock.

    Attributes:
        alone: Cost of covering the whole choice from here; None when it cannot.
        fixed: Least cost of opening a group here.
        lacking: First product that it has too little of, or empty.
    """

    site: Site
    capability: Capability
    supply: Supply
    legs: list[Leg]
    alone: int | None
    fixed: int
    lacking: str


def gather(
    asked: Asked,
    tier: int,
    snapshot: Snapshot,
    policy: Policy,
    at: datetime,
    *,
    is_reduced: bool = False,
) -> None:
    """Add the options and the rejections of one circle (0 or 1).

    Args:
        asked: The choice; its options and rejections grow.
        tier: Which circle.
        snapshot: What may be looked at.
        policy: The numbers.
        at: When the work could begin.
        is_reduced: Leave out, as too dear, whoever cannot be in any cover as cheap as the best
            single site. Only for a choice that shares no stock with another.
    """
    if not asked.is_possible:
        return
    survey = Survey(asked, tier, snapshot.network, policy, at)
    prospects = _prospects(survey, snapshot)
    for each in prospects:
        asked.opening = min(each.fixed, asked.opening if asked.opening is not None else each.fixed)
        for leg in each.legs:
            per_g = leg.transfer_per_g + leg.transport_per_g
            asked.per_g = min(per_g, asked.per_g if asked.per_g is not None else per_g)
    if is_reduced:
        prospects = _reduced(survey, prospects)
    for prospect in prospects:
        _consider(survey, prospect)


def _prospects(survey: Survey, snapshot: Snapshot) -> list[_Prospect]:
    asked, network = survey.asked, survey.network
    mode_id = asked.choice.mode_id
    rows = [(need, snapshot.stock.get(need.sku, {})) for need in asked.needs]
    prospects: list[_Prospect] = []
    for site_id in asked.circles[survey.tier]:
        asked.seen.add(site_id)
        site = network.sites.get(site_id)
        capability = network.capability(site_id, mode_id)
        if site is None or capability is None or not capability.can_prepare:
            asked.reject(site_id, Why.NOT_CAPABLE)
        elif not site.is_active:
            asked.reject(site_id, Why.INACTIVE)
        else:
            temperatures = capability.temperatures or AMBIENT_ONLY
            kept = [each for each in rows if each[0].temperature in temperatures]
            supply = [
                (need, min(row[site_id], need.quantity))
                for need, row in kept
                if row.get(site_id, 0) > 0
            ]
            if not kept:
                asked.reject(site_id, Why.TEMPERATURE)
            elif not supply:
                asked.reject(site_id, Why.NO_STOCK, kept[0][0].sku)
            else:
                legs = legs_of(survey, site, capability, supply)
                if legs:
                    prospects.append(_prospect(asked, site, capability, supply, legs))
                else:
                    asked.reject(site_id, Why.NO_HANDOVER)
    return prospects


def _prospect(
    asked: Asked, site: Site, capability: Capability, supply: Supply, legs: list[Leg]
) -> _Prospect:
    lacking = ""
    if len(supply) < len(asked.needs) or any(units < need.quantity for need, units in supply):
        has = {need.demand: units for need, units in supply}
        lacking = next(n.sku for n in asked.needs if has.get(n.demand, 0) < n.quantity)
    fixed, alone = legs[0].fixed, None
    if len(legs) > 1:
        fixed = min(leg.fixed for leg in legs)
    if not lacking:
        alone = min(
            [leg.fixed + asked.grams * (leg.transfer_per_g + leg.transport_per_g) for leg in legs]
        )
    return _Prospect(site, capability, supply, legs, alone, fixed, lacking)


def _reduced(survey: Survey, prospects: list[_Prospect]) -> list[_Prospect]:
    """Return those that may still be in a cover as cheap as the best single site.

    Looks at the clock for single sites, cheapest first, until one keeps the promise. Whoever is
    then left costs at least its own opening, the lightest transport there is, and, unless it
    covers everything, the opening of another, which may be one of the circle before.
    """
    asked = survey.asked
    singles = sorted(
        (each for each in prospects if each.alone is not None),
        key=lambda each: (each.alone, each.site.site_id),
    )
    best: int | None = None
    timed: set[str] = set()
    for single in singles:
        timed.add(single.site.site_id)
        if _consider(survey, single):
            found = asked.ways[-1].option
            best = found.fixed + sum(found.unit[n.demand] * n.quantity for n in asked.needs)
            break
    left = [each for each in prospects if each.site.site_id not in timed]
    if best is None or asked.opening is None or asked.per_g is None:
        return left
    within = best + survey.policy.tolerance_minor * MICRO
    lightest, opening = asked.grams * asked.per_g, asked.opening
    kept: list[_Prospect] = []
    for each in left:
        least = each.fixed + lightest + opening
        if each.alone is not None:
            least = min(least, each.alone)
        if least <= within:
            kept.append(each)
        elif each.alone is None:
            asked.reject(each.site.site_id, Why.PARTIAL_STOCK, each.lacking)
        else:
            asked.reject(each.site.site_id, Why.COSTLIER)
    return kept


def _consider(survey: Survey, prospect: _Prospect) -> bool:
    """Add the option if its promise can be kept; say whether."""
    asked = survey.asked
    way = _way(survey, prospect)
    if isinstance(way, Way):
        asked.ways.append(way)
        return True
    asked.reject(prospect.site.site_id, way)
    for need, units in prospect.supply:
        asked.late_supply[need.sku] = asked.late_supply.get(need.sku, 0) + units
    return False


def _way(survey: Survey, prospect: _Prospect) -> Way | Why:
    site = prospect.site
    ready_at = survey.network.calendar(site.site_id).after_work(
        survey.at, timedelta(minutes=prospect.capability.lead_time_minutes)
    )
    if ready_at is None:
        return Why.CLOSED
    ways: list[Way] = []
    why = Why.CLOSED
    for leg in prospect.legs:
        promised_at = promise_of(survey, leg, ready_at)
        if promised_at is None:
            continue
        if misses_date(survey, promised_at):
            why = Why.MISSES_DATE
        else:
            ways.append(_timed(survey, prospect, leg, promised_at))
    if not ways:
        return why
    return min(ways, key=_preference) if len(ways) > 1 else ways[0]


def _preference(way: Way) -> tuple[int, int, tuple[int, str, str]]:
    return way.option.fixed, way.option.eta, way.option.rank


def _timed(survey: Survey, prospect: _Prospect, leg: Leg, promised_at: datetime) -> Way:
    site, asked = prospect.site, survey.asked
    transfer_per_unit: dict[int, int] = {}
    transport_per_unit: dict[int, int] = {}
    unit: dict[int, int] = {}
    supply: dict[int, int] = {}
    for need, units in prospect.supply:
        supply[need.demand] = units
        transfer_per_unit[need.demand] = need.weight_g * leg.transfer_per_g
        transport_per_unit[need.demand] = need.weight_g * leg.transport_per_g
        unit[need.demand] = need.weight_g * (leg.transfer_per_g + leg.transport_per_g)
    if site.site_id == asked.choice.site_id:
        tier = Tier.EXPLICIT
    else:
        tier = Tier.SALES_ZONE if survey.tier else Tier.EXTENDED_SITE
    option = Option(
        asked.index,
        site.site_id,
        leg.fixed,
        supply,
        unit,
        int(promised_at.timestamp()) // 60,
        (site.priority, site.site_id, leg.handover_site_id),
    )
    return Way(
        option,
        asked.index,
        leg.handover_site_id,
        promised_at,
        tier,
        leg.preparation,
        leg.transport,
        leg.transfer,
        transport_per_unit,
        transfer_per_unit,
    )
