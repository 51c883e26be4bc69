"""What the use cases need and do not make themselves."""

from typing import Protocol

from services.kernel.application.work import Sql


class KnowsSite(Protocol):
    async def __call__(self, sql: Sql, tenant: str, site_id: str) -> bool:
        """Tell whether the catalog has told of the site."""
