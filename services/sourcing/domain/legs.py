"""Where the goods of a site may change hands, and what getting them there costs.

Amounts are in millionths of a minor unit, as everywhere in planning (``costs``).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from services.sourcing.domain.asked import Asked, Supply, Survey, keeps
from services.sourcing.domain.costs import MICRO
from services.sourcing.domain.network import Capability, Network, Position, Site, distance_m

_PER_THOUSAND = MICRO // 1_000


@dataclass(slots=True)
class Leg:
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


def legs_of(survey: Survey, site: Site, capability: Capability, supply: Supply) -> list[Leg]:
    asked, network, policy = survey.asked, survey.network, survey.policy
    preparation = capability.preparation_minor * MICRO
    legs: list[Leg] = []
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
            Leg(
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


def _handovers(asked: Asked, site_id: str, supply: Supply, network: Network) -> Iterable[str]:
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
                and all(keeps(theirs, need.temperature) for need, _ in supply)
            ):
                near.append(other)
        if near:
            break
    return near


def _to_destination(handover: Position | None, destination: Position | None) -> int | None:
    if handover is None or destination is None:
        return None
    return distance_m(handover, destination)
