"""Who can serve a choice, at what cost and by when; and why the others cannot.

Amounts are in millionths of a minor unit ("micro"), so that grams and metres stay integers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import takewhile

from services.sourcing.domain.cover import Option
from services.sourcing.domain.network import Capability, Network, Position, Site, distance_m
from services.sourcing.domain.policy import Policy
from services.sourcing.domain.wishes import AMBIENT, Choice, Rejection, Snapshot, Tier, Why

MICRO = 1_000_000
_AMBIENT_ONLY = (AMBIENT,)
_PER_THOUSAND = MICRO // 1_000


@dataclass(frozen=True, slots=True)
class Need:
    """What one choice needs of one product: base units, grams of one, temperature."""

    demand: int
    sku: str
    quantity: int
    weight_g: int
    temperature: str


@dataclass(slots=True)
class Way:
    """An option with all that its receipt and its group need. Not frozen: made by the dozen."""

    option: Option
    choice_index: int
    handover_site_id: str
    promised_at: datetime
    tier: Tier
    preparation: int
    transport: int
    transfer: int
    transport_per_unit: dict[int, int]
    transfer_per_unit: dict[int, int]


@dataclass(slots=True)
class Asked:
    """One choice with its needs, while its options are gathered."""

    index: int
    choice: Choice
    needs: tuple[Need, ...]
    circles: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    handover_site_id: str | None = None
    is_collected: bool = False
    is_possible: bool = True
    ways: list[Way] = field(default_factory=list[Way])
    rejections: list[Rejection] = field(default_factory=list[Rejection])
    seen: set[str] = field(default_factory=set[str])
    late_supply: dict[str, int] = field(default_factory=dict[str, int])
    grams: int = 0
    # The least that opening a group costs, and a gram, among all who were looked at so far.
    opening: int | None = None
    per_g: int | None = None

    def reject(self, site_id: str, why: Why, sku: str = "") -> None:
        self.rejections.append(Rejection(self.index, site_id, why, sku))

    @property
    def is_capable_nowhere(self) -> bool:
        return not self.is_possible or (
            not self.ways
            and all(
                each.reason in {Why.INACTIVE, Why.NOT_CAPABLE, Why.TEMPERATURE, Why.NO_HANDOVER}
                for each in self.rejections
            )
        )


def ask(index: int, choice: Choice, needs: tuple[Need, ...], network: Network) -> Asked:
    """Fix what the customer fixed, and find the circles of sites to look at, nearest first."""
    asked = Asked(index, choice, needs)
    asked.grams = sum(need.quantity * need.weight_g for need in needs)
    asked.is_collected = network.is_collected(choice.mode_id, choice.mode_version, choice.site_id)
    if choice.site_id and asked.is_collected:
        asked.handover_site_id = choice.site_id
        asked.circles = network.circles_of_site(choice.site_id)
        _check_handover(asked, network)
    elif choice.site_id:
        asked.circles = ((choice.site_id,), ())
    elif asked.is_collected or not network.extended_sites:
        asked.circles = (tuple(sorted(network.sites)), ())
    else:
        asked.circles = network.circles_of_extended(_nearest_extended(choice, network))
    return asked


def _check_handover(asked: Asked, network: Network) -> None:
    site = network.sites.get(asked.choice.site_id)
    capability = network.capability(asked.choice.site_id, asked.choice.mode_id)
    why = None
    if site is None or capability is None or not capability.can_hand_over:
        why = Why.NOT_CAPABLE
    elif not site.is_active:
        why = Why.INACTIVE
    elif any(not _keeps(capability, need.temperature) for need in asked.needs):
        why = Why.TEMPERATURE
    if why is not None:
        asked.reject(asked.choice.site_id, why)
        asked.is_possible = False


def _keeps(capability: Capability, temperature: str) -> bool:
    return temperature in (capability.temperatures or _AMBIENT_ONLY)


def _nearest_extended(choice: Choice, network: Network) -> str:
    """Return the extended site nearest to the destination that can prepare the mode at all.

    Where positions do not tell, postcodes that begin alike do, within a country: one that is known
    to lie in another is the last to be asked.
    """

    def remoteness(extended_site_id: str) -> tuple[bool, int, bool, int, str]:
        anchor = network.sites.get(network.extended_sites[extended_site_id].anchor_site_id)
        metres, is_abroad, alike = 10**9, True, 0
        if anchor is not None:
            if anchor.position is not None and choice.position is not None:
                metres = distance_m(anchor.position, choice.position)
            countries = {anchor.country, choice.country} - {""}
            is_abroad = len(countries) > 1
            alike = _alike(anchor.postcode, choice.postcode)
        is_unable = not network.can_prepare(extended_site_id, choice.mode_id)
        return is_unable, metres, is_abroad, -alike, extended_site_id

    return min(network.extended_sites, key=remoteness)


def _alike(postcode: str, other: str) -> int:
    """Return how many letters and digits two postcodes have in common from their beginning."""
    pairs = zip(_compact(postcode), _compact(other), strict=False)
    return len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))


def _compact(postcode: str) -> str:
    return "".join(filter(str.isalnum, postcode)).upper()


@dataclass(frozen=True, slots=True)
class _Survey:
    """One look at one circle for one choice."""

    asked: Asked
    tier: int
    network: Network
    policy: Policy
    at: datetime


type _Supply = Sequence[tuple[Need, int]]


@dataclass(slots=True)
class _Leg:
    """A place of handover for a site's goods, with what getting them there costs."""

    handover_site_id: str
    transfer_m: int | None
    transport_m: int | None
    preparation: int
    transfer: int
    transport: int
    transfer_per_g: int
    transport_per_g: int
    fixed: int


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
    supply: _Supply
    legs: list[_Leg]
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
    survey = _Survey(asked, tier, snapshot.network, policy, at)
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


def _prospects(survey: _Survey, snapshot: Snapshot) -> list[_Prospect]:
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
            temperatures = capability.temperatures or _AMBIENT_ONLY
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
                legs = _legs(survey, site, capability, supply)
                if legs:
                    prospects.append(_prospect(asked, site, capability, supply, legs))
                else:
                    asked.reject(site_id, Why.NO_HANDOVER)
    return prospects


def _prospect(
    asked: Asked, site: Site, capability: Capability, supply: _Supply, legs: list[_Leg]
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


def _reduced(survey: _Survey, prospects: list[_Prospect]) -> list[_Prospect]:
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


def _consider(survey: _Survey, prospect: _Prospect) -> bool:
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


def _legs(survey: _Survey, site: Site, capability: Capability, supply: _Supply) -> list[_Leg]:
    asked, network, policy = survey.asked, survey.network, survey.policy
    preparation = capability.preparation_minor * MICRO
    legs: list[_Leg] = []
    for handover_site_id in _handovers(asked, site.site_id, supply, network):
        transfer_m = transport_m = None
        transfer = transport = transfer_per_g = transport_per_g = 0
        if handover_site_id != site.site_id:
            transfer_m = policy.road_m(network.between(site.site_id, handover_site_id))
            transfer = policy.transfer_base_minor * MICRO
            transfer += policy.transfer_minor_per_km * transfer_m * _PER_THOUSAND
            transfer_per_g = policy.transfer_minor_per_kg * _PER_THOUSAND
        if not asked.is_collected:
            here = network.sites[handover_site_id].position
            transport_m = policy.road_m(_to_destination(here, asked.choice.position))
            transport = policy.transport_base_minor * MICRO
            transport += policy.transport_minor_per_km * transport_m * _PER_THOUSAND
            transport_per_g = policy.transport_minor_per_kg * _PER_THOUSAND
        legs.append(
            _Leg(
                handover_site_id,
                transfer_m,
                transport_m,
                preparation,
                transfer,
                transport,
                transfer_per_g,
                transport_per_g,
                preparation + transfer + transport + policy.split_penalty_minor * MICRO,
            )
        )
    return legs


def _way(survey: _Survey, prospect: _Prospect) -> Way | Why:
    site = prospect.site
    ready_at = survey.network.calendar(site.site_id).after_work(
        survey.at, timedelta(minutes=prospect.capability.lead_time_minutes)
    )
    if ready_at is None:
        return Why.CLOSED
    ways: list[Way] = []
    why = Why.CLOSED
    for leg in prospect.legs:
        promised_at = _promise(survey, leg, ready_at)
        if promised_at is None:
            continue
        if _misses_date(survey, promised_at):
            why = Why.MISSES_DATE
        else:
            ways.append(_timed(survey, prospect, leg, promised_at))
    if not ways:
        return why
    return min(ways, key=_preference) if len(ways) > 1 else ways[0]


def _preference(way: Way) -> tuple[int, int, tuple[int, str, str]]:
    return way.option.fixed, way.option.eta, way.option.rank


def _promise(survey: _Survey, leg: _Leg, ready_at: datetime) -> datetime | None:
    policy = survey.policy
    arrives_at: datetime | None = ready_at
    if leg.transfer_m is not None:
        minutes = policy.transfer_base_minutes + leg.transfer_m // policy.transfer_metres_per_minute
        arrives_at = survey.network.calendar(leg.handover_site_id).next_open(
            ready_at + timedelta(minutes=minutes)
        )
    if leg.transport_m is not None and arrives_at is not None:
        minutes = policy.delivery_base_minutes
        minutes += leg.transport_m // policy.delivery_metres_per_minute
        arrives_at += timedelta(minutes=minutes)
    return _as_wanted(survey, leg.handover_site_id, arrives_at)


def _misses_date(survey: _Survey, promised_at: datetime) -> bool:
    wanted_at = survey.asked.choice.wanted_at
    slack = timedelta(minutes=survey.policy.wanted_slack_minutes)
    return wanted_at is not None and promised_at > max(wanted_at, survey.at) + slack


def _handovers(asked: Asked, site_id: str, supply: _Supply, network: Network) -> Iterable[str]:
    """Return where goods of this site may change hands: the chosen place, here, or near here."""
    if asked.handover_site_id is not None:
        return (asked.handover_site_id,)
    capability = network.capability(site_id, asked.choice.mode_id)
    if capability is not None and capability.can_hand_over:
        return (site_id,)
    if asked.is_collected:
        return ()
    near: list[str] = []
    for circle in network.circles_of_site(site_id):
        for other in circle:
            theirs = network.capability(other, asked.choice.mode_id)
            if (
                theirs is not None
                and theirs.can_hand_over
                and network.sites[other].is_active
                and all(_keeps(theirs, need.temperature) for need, _ in supply)
            ):
                near.append(other)
        if near:
            break
    return near


def _to_destination(handover: Position | None, destination: Position | None) -> int | None:
    if handover is None or destination is None:
        return None
    return distance_m(handover, destination)


def _as_wanted(
    survey: _Survey, handover_site_id: str, promised_at: datetime | None
) -> datetime | None:
    """Return the promise: not before it is wanted, in opening hours, on a full minute."""
    if promised_at is None:
        return None
    wanted_at = survey.asked.choice.wanted_at
    if wanted_at is not None:
        promised_at = max(promised_at, wanted_at, survey.at)
    if promised_at.second or promised_at.microsecond:
        promised_at = promised_at.replace(second=0, microsecond=0) + timedelta(minutes=1)
    if not survey.asked.is_collected:
        return promised_at
    return survey.network.calendar(handover_site_id).next_open(promised_at)


def _timed(survey: _Survey, prospect: _Prospect, leg: _Leg, promised_at: datetime) -> Way:
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
