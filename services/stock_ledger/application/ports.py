"""What the use cases need and do not make themselves."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Protocol

from services.kernel.application.work import Sql
from services.kernel.domain.errors import Alternative
from services.stock_ledger.domain.entry import Buckets
from services.stock_ledger.domain.reservation_events import Line


class Alternatives(Protocol):
    async def __call__(
        self, sql: Sql, tenant: str, wanted: Sequence[Line]
    ) -> Sequence[Alternative]:
        """Return other sites that have what these lines lack: site_id, sku, available."""


class PastBalances(Protocol):
    async def __call__(
        self, sql: Sql, tenant: str, asked: Sequence[tuple[str, int, datetime]]
    ) -> Sequence[Buckets]:
        """Return balances of the past, in the order asked.

        Each of a stock key, the version up to which entries count (what was known), and the time
        up to which they occurred (what was true).
        """


class PickedFor(Protocol):
    async def __call__(
        self, sql: Sql, tenant: str, order_id: str, places: Sequence[tuple[str, str]]
    ) -> AbstractSet[tuple[str, str]]:
        """Return at which of these sites which product was picked or handed over for an order."""


async def nowhere_picked(
    sql: Sql,  # noqa: ARG001 - as the port has it
    tenant: str,  # noqa: ARG001
    order_id: str,  # noqa: ARG001
    places: Sequence[tuple[str, str]],  # noqa: ARG001
) -> AbstractSet[tuple[str, str]]:
    """Return nothing: where it is known that nobody has picked."""
    return frozenset()
