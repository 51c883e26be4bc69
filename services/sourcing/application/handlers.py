"""What can be asked of sourcing: plan an order, plan it again, stop planning."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from services.kernel.application.work import Work
from services.kernel.domain.ids import derive
from services.sourcing.application.spoken_for import SpokenFor
from services.sourcing.domain.decision_commands import (
    CloseDecision,
    FollowOrder,
    Replan,
    ReplanGroups,
    RequestPlan,
    StandBack,
    View,
)
from services.sourcing.domain.decision_events import ACCEPTED, Cause, Correction, Event, PlanDecided
from services.sourcing.domain.policy import Policy
from services.sourcing.domain.sourcing_decision import DECISION
from services.sourcing.domain.wishes import Line


@dataclass(frozen=True, slots=True)
class Decisions:
    """The use cases. ``view`` is what the caller read for the whole batch."""

    policy: Policy
    spoken_for: SpokenFor

    def begin(self, tenant: str, order_ids: Iterable[str]) -> None:
        """Forget what an earlier try of a batch spoke for: it came to nothing, or was kept."""
        for order_id in order_ids:
            self.spoken_for.forget(tenant, order_id)

    async def place(
        self, work: Work, order_id: str, lines: tuple[Line, ...], currency: str, view: View
    ) -> None:
        """Plan an order that was placed."""
        tenant = work.cause.tenant
        command = RequestPlan(
            order_id,
            lines,
            currency,
            decision_id=derive("decision", tenant, order_id, 1),
            at=work.now,
            view=self._seen(tenant, lines, view, work),
            policy=self.policy,
        )
        self._remember(work, order_id, await work.handle(DECISION, order_id, command))

    async def replan(
        self,
        work: Work,
        order_id: str,
        revision: int,
        cause: Cause,
        corrections: tuple[Correction, ...],
        *,
        view: View,
    ) -> None:
        """Plan again after the ledger refused ``revision`` or its hold expired."""
        tenant = work.cause.tenant
        self.spoken_for.forget(tenant, order_id)
        decision = (await work.state(DECISION, order_id)).state
        command = Replan(
            order_id,
            revision,
            cause,
            corrections,
            decision_id=derive("decision", tenant, order_id, revision + 1),
            at=work.now,
            view=self._seen(tenant, decision.lines, view, work),
            policy=self.policy,
        )
        self._remember(work, order_id, await work.handle(DECISION, order_id, command))

    async def replan_groups(
        self, work: Work, order_id: str, places: frozenset[tuple[str, str]], *, view: View
    ) -> None:
        """Plan elsewhere what an accepted order may not find where it was to be prepared."""
        decision = (await work.state(DECISION, order_id)).state
        tenant = work.cause.tenant
        command = ReplanGroups(
            order_id,
            places,
            decision_id=derive("decision", tenant, order_id, decision.revision + 1),
            at=work.now,
            view=self._seen(tenant, decision.lines, view, work),
            policy=self.policy,
        )
        await work.handle(DECISION, order_id, command)

    async def stand_back(
        self,
        work: Work,
        order_id: str,
        revision: int,
        corrections: tuple[Correction, ...],
        *,
        view: View,
    ) -> None:
        """Take back what the ledger could not move; look for yet another site if that may help."""
        decision = (await work.state(DECISION, order_id)).state
        tenant = work.cause.tenant
        command = StandBack(
            order_id,
            revision,
            corrections,
            decision_id=derive("decision", tenant, order_id, revision + 1),
            at=work.now,
            view=self._seen(tenant, decision.lines, view, work),
            policy=self.policy,
        )
        await work.handle(DECISION, order_id, command)

    async def accepted(self, work: Work, order_id: str, revision: int) -> None:
        """Stop planning an order as a whole: it was accepted, on this plan."""
        await work.handle(DECISION, order_id, CloseDecision(order_id, ACCEPTED, revision))

    async def close(self, work: Work, order_id: str, reason: str) -> None:
        """Stop planning an order: it is over."""
        self.spoken_for.forget(work.cause.tenant, order_id)
        await work.handle(DECISION, order_id, CloseDecision(order_id, reason))

    async def follow(self, work: Work, order_id: str, revision: int, *, is_taken_up: bool) -> None:
        """Note whether an accepted order works on a newer plan, or kept what it had."""
        await work.handle(DECISION, order_id, FollowOrder(order_id, revision, is_taken_up))

    def _seen(self, tenant: str, lines: tuple[Line, ...], view: View, work: Work) -> View:
        """Return the part of the batch's view that is about these lines."""
        skus = {line.sku for line in lines}
        return replace(
            view,
            products=_part(view.products, skus),
            stock=_part(view.stock, skus),
            positions=view.positions,
            spoken_for=self.spoken_for.of(tenant, skus, work.now),
        )

    def _remember(self, work: Work, order_id: str, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, PlanDecided):
                self.spoken_for.add(work.cause.tenant, order_id, event.groups, work.now)


def _part[T](rows: Mapping[str, T], skus: set[str]) -> dict[str, T]:
    return {sku: rows[sku] for sku in skus if sku in rows}
