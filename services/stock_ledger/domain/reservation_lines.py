"""Sums of reserved lines by place: one line per site and product, in a settled order."""

from collections.abc import Iterable

from services.stock_ledger.domain.reservation_events import Line


def by_place(lines: Iterable[Line]) -> dict[tuple[str, str], int]:
    """Return base units by site and product."""
    needs: dict[tuple[str, str], int] = {}
    for line in lines:
        place = (line.site_id, line.sku)
        needs[place] = needs.get(place, 0) + line.quantity
    return needs


def summed(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Return one line per site and product, in a settled order."""
    return tuple(
        Line(*place, quantity) for place, quantity in sorted(by_place(lines).items()) if quantity
    )


def less(lines: Iterable[Line], taken: Iterable[Line]) -> tuple[Line, ...]:
    return summed([*lines, *(Line(one.site_id, one.sku, -one.quantity) for one in taken)])
