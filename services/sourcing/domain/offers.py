"""The sites that could carry out a whole choice alone, for whoever asks before ordering."""

from dataclasses import dataclass
from datetime import datetime

from services.sourcing.domain.choices import choices_of, lines_of
from services.sourcing.domain.costs import parts_of, rounded, to_minor
from services.sourcing.domain.options import gather
from services.sourcing.domain.policy import Policy
from services.sourcing.domain.wishes import Cost, Request, Snapshot

MAX_OFFERS_PER_CHOICE = 20


@dataclass(frozen=True, slots=True)
class Offer:
    """One site that could carry out all lines of a choice by itself."""

    line_ids: tuple[str, ...]
    mode_id: str
    source_site_id: str
    handover_site_id: str
    promised_at: datetime
    cost: Cost


def offers(request: Request, snapshot: Snapshot, policy: Policy) -> tuple[Offer, ...]:
    """Return the sites that could carry out a whole choice alone, cheapest first, per choice."""
    found: list[Offer] = []
    for one in choices_of(request, snapshot, policy):
        gather(one, 0, snapshot, policy, request.at)
        gather(one, 1, snapshot, policy, request.at)
        line_ids = tuple(line.line_id for line in lines_of(one, request))
        able = [
            way
            for way in one.ways
            if all(way.option.supply.get(n.demand, 0) >= n.quantity for n in one.needs)
        ]
        priced: list[tuple[int, int, tuple[int, str, str], Offer]] = []
        for way in able:
            parts = parts_of(way, {need.demand: need.quantity for need in one.needs}, 0)
            offer = Offer(
                line_ids,
                one.choice.mode_id,
                way.option.site,
                way.handover_site_id,
                way.promised_at,
                rounded(parts, to_minor(sum(parts))),
            )
            priced.append((offer.cost.total_minor, way.option.eta, way.option.rank, offer))
        found += [each[3] for each in sorted(priced, key=lambda p: p[:3])[:MAX_OFFERS_PER_CHOICE]]
    return tuple(found)
