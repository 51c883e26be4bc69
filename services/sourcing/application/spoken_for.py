"""Units that plans of the last seconds will take, before the ledger's feed says so.

Two hundred buyers of one moment would otherwise all be sent to the shelf that the view shows
full. This is memory of one process, bounded in time and size, and only a hint: whoever finds
nothing because of it is planned without it, and the ledger decides.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from services.sourcing.domain.wishes import PlannedGroup

type _Takes = list[tuple[str, str, int]]


class SpokenFor:
    """Args: for how long a plan is remembered, and how many orders at most."""

    def __init__(self, keep: timedelta, max_orders: int) -> None:
        self._keep = keep
        self._max_orders = max_orders
        self._orders: dict[tuple[str, str], tuple[datetime, _Takes]] = {}
        self._units: dict[tuple[str, str], dict[str, int]] = {}

    def add(
        self, tenant: str, order_id: str, groups: Iterable[PlannedGroup], now: datetime
    ) -> None:
        """Remember what a plan takes; an older plan of the same order is forgotten."""
        self.forget(tenant, order_id)
        takes = [(g.source_site_id, line.sku, line.quantity) for g in groups for line in g.lines]
        self._orders[tenant, order_id] = (now + self._keep, takes)
        for site_id, sku, units in takes:
            row = self._units.setdefault((tenant, sku), {})
            row[site_id] = row.get(site_id, 0) + units
        while len(self._orders) > self._max_orders:
            self.forget(*next(iter(self._orders)))

    def forget(self, tenant: str, order_id: str) -> None:
        """Forget an order: it was held, refused or is over. Silent when it is not known."""
        _, takes = self._orders.pop((tenant, order_id), (None, []))
        for site_id, sku, units in takes:
            row = self._units[tenant, sku]
            row[site_id] -= units
            if row[site_id] == 0:
                del row[site_id]
                if not row:
                    del self._units[tenant, sku]

    def of(self, tenant: str, skus: Iterable[str], now: datetime) -> Mapping[str, dict[str, int]]:
        """Return units by sku and site."""
        while self._orders:
            oldest = next(iter(self._orders))
            if self._orders[oldest][0] > now:
                break
            self.forget(*oldest)
        return {sku: self._units[tenant, sku] for sku in skus if (tenant, sku) in self._units}
