"""What a decision saw, enough to decide again; and why it passed over the others."""

from collections.abc import Iterable, Sequence

from services.sourcing.domain.asked import Asked
from services.sourcing.domain.costs import MICRO, to_minor
from services.sourcing.domain.policy import Policy
from services.sourcing.domain.solution import Solved
from services.sourcing.domain.wishes import (
    Candidate,
    Product,
    Receipt,
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


def receipt_of(
    request: Request,
    asked: Sequence[Asked],
    rejections: Iterable[Rejection],
    snapshot: Snapshot,
    policy: Policy,
    *,
    is_proved: bool = True,
    everywhere: Sequence[str] = (),
) -> Receipt:
    """Return the receipt; stock of the products in ``everywhere`` is on it wherever it lies."""
    products, seen = _looked_at(asked, snapshot, everywhere)
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
                to_minor(way.preparation + way.transport + way.transfer),
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


def _looked_at(
    asked: Sequence[Asked], snapshot: Snapshot, everywhere: Sequence[str]
) -> tuple[dict[str, Product], dict[tuple[str, str], int]]:
    """Return products by sku, and free units by sku and site, that the decision rests on."""
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
    return products, seen


def passed_over(solution: Solved, policy: Policy) -> Iterable[Rejection]:
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
