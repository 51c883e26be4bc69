"""What can be asked of returns. A case and the units it claims change together, or not at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from services.kernel.application.runner import Runner
from services.kernel.application.work import Work
from services.kernel.domain.errors import NotFound
from services.kernel.domain.messages import Cause
from services.returns.application.ports import KnowsSite
from services.returns.domain.refund import lowest_of
from services.returns.domain.return_case import (
    RETURN_CASE,
    CaseLine,
    Disposition,
    InspectCase,
    OpenCase,
    ReturnCase,
    Status,
    ValidateRefund,
    WithdrawCase,
)
from services.returns.domain.returnable import RETURNABLE
from services.returns.domain.returnable_commands import ClaimUnits, RecordRefund, ReleaseUnits
from services.returns.domain.returnable_events import ClaimedPart


@dataclass(frozen=True, slots=True)
class Policy:
    """What a tenant lets its clerks and customers do.

    Attributes:
        window: How long after delivery a case may be opened.
        limit_percent: How much of a refund a clerk may withhold, with a reason.
    """

    window: timedelta
    limit_percent: int


@dataclass(frozen=True, slots=True)
class Preview:
    case: ReturnCase
    lowest_minor: int


class ReturnsHandlers:
    def __init__(self, runner: Runner, policy: Policy, knows_site: KnowsSite) -> None:
        self._runner = runner
        self._policy = policy
        self._knows_site = knows_site

    async def open(
        self,
        cause: Cause,
        return_id: str,
        order_id: str,
        site_id: str,
        wanted: tuple[tuple[str, int], ...],
    ) -> int:
        """Claim the units and open the case; return its version."""

        async def use_case(work: Work) -> int:
            order = await work.state(RETURNABLE, order_id)
            if not order.state.groups:
                raise NotFound("delivered order", order_id)
            if not await self._knows_site(work.sql, work.cause.tenant, site_id):
                # What was taken back there would be booked where nobody looks.
                raise NotFound("site", site_id)
            claim = ClaimUnits(return_id, wanted, work.now, self._policy.window)
            await work.handle(RETURNABLE, order_id, claim)
            claimed = (await work.state(RETURNABLE, order_id)).state.claims[return_id]
            lines = _case_lines(claimed)
            await work.handle(
                RETURN_CASE, return_id, OpenCase(order_id, site_id, order.state.currency, lines)
            )
            return (await work.state(RETURN_CASE, return_id)).state.version

        return await self._runner.execute(cause, use_case)

    async def withdraw(self, cause: Cause, return_id: str, reason: str) -> int:
        """Withdraw the case and free its units; return the version of the case."""

        async def use_case(work: Work) -> int:
            case = await _existing(work, return_id)
            await work.handle(RETURN_CASE, return_id, WithdrawCase(reason))
            await work.handle(RETURNABLE, case.order_id, ReleaseUnits(return_id))
            return (await work.state(RETURN_CASE, return_id)).state.version

        return await self._runner.execute(cause, use_case)

    async def inspect(
        self, cause: Cause, return_id: str, lines: tuple[tuple[str, int, Disposition], ...]
    ) -> int:
        """Record the inspection; return the version of the case."""

        async def use_case(work: Work) -> int:
            await _existing(work, return_id)
            await work.handle(RETURN_CASE, return_id, InspectCase(lines))
            return (await work.state(RETURN_CASE, return_id)).state.version

        return await self._runner.execute(cause, use_case)

    async def preview(self, cause: Cause, return_id: str) -> Preview:
        """Compute what is given back; record nothing."""

        async def use_case(work: Work) -> Preview:
            case = await _existing(work, return_id)
            return Preview(case, lowest_of(case.preview_minor, self._policy.limit_percent))

        return await self._runner.execute(cause, use_case)

    async def validate(
        self,
        cause: Cause,
        return_id: str,
        *,
        preview_version: int,
        amount_minor: int,
        clerk_id: str,
        reason: str,
    ) -> int:
        """Record what is given back, within what was captured; return the case's version."""

        async def use_case(work: Work) -> int:
            case = await _existing(work, return_id)
            await work.handle(
                RETURN_CASE,
                return_id,
                ValidateRefund(
                    preview_version, amount_minor, clerk_id, reason, self._policy.limit_percent
                ),
            )
            await work.handle(RETURNABLE, case.order_id, RecordRefund(return_id, amount_minor))
            return (await work.state(RETURN_CASE, return_id)).state.version

        return await self._runner.execute(cause, use_case)


async def _existing(work: Work, return_id: str) -> ReturnCase:
    case = (await work.state(RETURN_CASE, return_id)).state
    if case.status is Status.NEW:
        raise NotFound("return", return_id)
    return case


def _case_lines(claimed: Sequence[ClaimedPart]) -> tuple[CaseLine, ...]:
    """Bring the parts of a line, which several groups may have brought, together."""
    lines: dict[str, CaseLine] = {}
    for part in claimed:
        known = lines.get(part.line_id, CaseLine(part.line_id, part.sku, 0, 0))
        lines[part.line_id] = CaseLine(
            part.line_id,
            part.sku,
            known.quantity + part.quantity,
            known.refund_minor + part.refund_minor,
        )
    return tuple(lines.values())
