"""Who can serve a choice, at what cost and by when; and why the others cannot.

Amounts are in millionths of a minor unit ("micro"), so that grams and metres stay integers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.sourcing.domain.cover import Option
from services.sourcing.domain.network import Capability, Network, Position, Site, distance_m
from services.sourcing.domain.policy import Policy
from services.sourcing.domain.wishes import AMBIENT, Choice, Rejection, Snapshot, Tier, Why

MICRO = 1_000_000
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
    return temperature in (capability.temperatures or (AMBIENT,))


def _nearest_extended(choice: Choice, network: Network) -> str:
    """Return the extended site nearest to the destination that can prepare the mode at all."""

    def can(extended_site_id: str) -> bool:
        first, _ = network.circles_of_extended(extended_site_id)
        capabilities = (network.capability(site_id, choice.mode_id) for site_id in first)
        return any(capability is not None and capability.can_prepare for capability in capabilities)

    def remoteness(extended_site_id: str) -> tuple[bool, int, int, str]:
        anchor = network.sites.get(network.extended_sites[extended_site_id].anchor_site_id)
        metres, alike = 10**9, 0
        if anchor is not None:
            if anchor.position is not None and choice.position is not None:
                metres = distance_m(anchor.position, choice.position)
            while alike < min(len(anchor.postcode), len(choice.postcode)) and (
                anchor.postcode[alike] == choice.postcode[alike]
            ):
                alike += 1
        return not can(extended_site_id), metres, -alike, extended_site_id

    return min(network.extended_sites, key=remoteness)


@dataclass(frozen=True, slots=True)
class _Survey:
    """One look at one circle for one choice."""

    asked: Asked
    tier: int
    network: Network
    policy: Policy
    at: datetime


type _Supply = Sequence[tuple[Need, int]]


def gather(asked: Asked, tier: int, snapshot: Snapshot, policy: Policy, at: datetime) -> None:
    """Add the options and the rejections of one circle (0 or 1)."""
    if not asked.is_possible:
        return
    survey = _Survey(asked, tier, snapshot.network, policy, at)
    rows = [(need, snapshot.stock.get(need.sku, {})) for need in asked.needs]
    for site_id in asked.circles[tier]:
        asked.seen.add(site_id)
        site = survey.network.sites.get(site_id)
        capability = survey.network.capability(site_id, asked.choice.mode_id)
        if site is None or capability is None or not capability.can_prepare:
            asked.reject(site_id, Why.NOT_CAPABLE)
        elif not site.is_active:
            asked.reject(site_id, Why.INACTIVE)
        else:
            kept = [(need, row) for need, row in rows if _keeps(capability, need.temperature)]
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
                _consider(survey, site, capability, supply)


def _consider(survey: _Survey, site: Site, capability: Capability, supply: _Supply) -> None:
    asked = survey.asked
    way = _way(survey, site, capability, supply)
    if isinstance(way, Way):
        asked.ways.append(way)
        return
    asked.reject(site.site_id, way)
    if way in {Why.CLOSED, Why.MISSES_DATE}:
        for need, units in supply:
            asked.late_supply[need.sku] = asked.late_supply.get(need.sku, 0) + units


def _way(survey: _Survey, site: Site, capability: Capability, supply: _Supply) -> Way | Why:
    asked, network, policy = survey.asked, survey.network, survey.policy
    ready_at = network.calendar(site.site_id).after_work(
        survey.at, timedelta(minutes=capability.lead_time_minutes)
    )
    if ready_at is None:
        return Why.CLOSED
    ways: list[Way] = []
    why = Why.NO_HANDOVER
    for handover_site_id in _handovers(asked, site.site_id, supply, network):
        handover = network.sites[handover_site_id]
        transfer_m = transport_m = None
        arrives_at: datetime | None = ready_at
        if handover_site_id != site.site_id:
            transfer_m = policy.road_m(network.between(site.site_id, handover_site_id))
            minutes = policy.transfer_base_minutes + transfer_m // policy.transfer_metres_per_minute
            arrives_at = network.calendar(handover_site_id).next_open(
                ready_at + timedelta(minutes=minutes)
            )
        if not asked.is_collected:
            transport_m = policy.road_m(_to_destination(handover.position, asked.choice.position))
            minutes = policy.delivery_base_minutes
            minutes += transport_m // policy.delivery_metres_per_minute
            if arrives_at is not None:
                arrives_at += timedelta(minutes=minutes)
        promised_at = _as_wanted(survey, handover_site_id, arrives_at)
        if promised_at is None:
            why = Why.CLOSED
        elif _misses_date(survey, promised_at):
            why = Why.MISSES_DATE
        else:
            ways.append(
                _priced(
                    survey,
                    site,
                    capability,
                    supply,
                    handover_site_id=handover_site_id,
                    promised_at=promised_at,
                    transfer_m=transfer_m,
                    transport_m=transport_m,
                )
            )
    if not ways:
        return why
    if len(ways) == 1:
        return ways[0]
    return min(ways, key=lambda way: (way.option.fixed, way.option.eta, way.option.rank))


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


def _priced(
    survey: _Survey,
    site: Site,
    capability: Capability,
    supply: _Supply,
    *,
    handover_site_id: str,
    promised_at: datetime,
    transfer_m: int | None,
    transport_m: int | None,
) -> Way:
    asked, policy = survey.asked, survey.policy
    preparation = capability.preparation_minor * MICRO
    transfer = transport = transfer_per_g = transport_per_g = 0
    if transfer_m is not None:
        transfer = policy.transfer_base_minor * MICRO
        transfer += policy.transfer_minor_per_km * transfer_m * _PER_THOUSAND
        transfer_per_g = policy.transfer_minor_per_kg * _PER_THOUSAND
    if transport_m is not None:
        transport = policy.transport_base_minor * MICRO
        transport += policy.transport_minor_per_km * transport_m * _PER_THOUSAND
        transport_per_g = policy.transport_minor_per_kg * _PER_THOUSAND
    transfer_per_unit = {need.demand: need.weight_g * transfer_per_g for need, _ in supply}
    transport_per_unit = {need.demand: need.weight_g * transport_per_g for need, _ in supply}
    if site.site_id == asked.choice.site_id:
        named = Tier.EXPLICIT
    else:
        named = Tier.SALES_ZONE if survey.tier else Tier.EXTENDED_SITE
    option = Option(
        choice=asked.index,
        site=site.site_id,
        fixed=preparation + transfer + transport + policy.split_penalty_minor * MICRO,
        supply={need.demand: units for need, units in supply},
        unit={d: transfer_per_unit[d] + transport_per_unit[d] for d in transfer_per_unit},
        eta=int(promised_at.timestamp()) // 60,
        rank=(site.priority, site.site_id, handover_site_id),
    )
    return Way(
        option,
        asked.index,
        handover_site_id,
        promised_at,
        named,
        preparation,
        transport,
        transfer,
        transport_per_unit,
        transfer_per_unit,
    )
