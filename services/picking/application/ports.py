"""What picking asks of its surroundings, in its own words."""

from typing import Protocol

from services.kernel.application.work import Sql


class TasksToClaim(Protocol):
    async def __call__(
        self, sql: Sql, *, tenant: str, site_id: str, claim_id: str, limit: int
    ) -> list[str]:
        """Return the task that this claim took before, if any, then open ones, oldest first.

        The answer may be a moment old: whoever uses it looks at each task itself.
        """


class WeightVariableSkus(Protocol):
    async def __call__(self, sql: Sql, *, tenant: str, skus: list[str]) -> frozenset[str]:
        """Return those of ``skus`` whose picked weight may differ from the ordered one."""
