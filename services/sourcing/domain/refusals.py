"""Why an order gets no plan, and where there would be some of what lacks."""

from collections.abc import Sequence

from services.sourcing.domain.asked import Asked
from services.sourcing.domain.network import Position, distance_m
from services.sourcing.domain.policy import Policy
from services.sourcing.domain.receipt import receipt_of
from services.sourcing.domain.wishes import (
    Alternative,
    Refusal,
    Refused,
    Rejection,
    Request,
    Snapshot,
    Why,
)

MAX_ALTERNATIVES = 10
MAX_REJECTIONS_OUTSIDE = 50


_FAR_M = 10**9


def refused_for(
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
    receipt = receipt_of(
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
