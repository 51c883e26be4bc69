"""What the use cases need and do not make themselves."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from services.kernel.application.work import Sql
from services.stock_ledger.domain.reservation import Line


class Alternatives(Protocol):
    async def __call__(
        self, sql: Sql, tenant: str, wanted: Sequence[Line]
    ) -> Sequence[Mapping[str, str]]:
        """Return other sites that have what these lines lack: site_id, sku, available."""
