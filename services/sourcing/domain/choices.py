"""The choices of an order, with what each needs, and which of them draw on the same stock."""

from collections.abc import Sequence

from services.sourcing.domain.asked import Asked, Need, ask
from services.sourcing.domain.policy import Policy
from services.sourcing.domain.wishes import AMBIENT, Line, Request, Snapshot


def choices_of(request: Request, snapshot: Snapshot, policy: Policy) -> list[Asked]:
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


def sharing(asked: Sequence[Asked]) -> list[list[Asked]]:
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


def lines_of(one: Asked, request: Request) -> list[Line]:
    key = one.choice.key
    lines = [line for line in request.lines if line.choice.key == key]
    return sorted(lines, key=lambda each: (each.line_id, each.sku))
