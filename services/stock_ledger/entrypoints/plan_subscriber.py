"""The ledger hears sourcing: it holds a whole plan, or refuses it whole."""

from oms.sourcing.v1.sourcing_events_pb2 import SourcingEvent

from services.kernel.application.feeds import Envelope
from services.kernel.application.work import Work
from services.stock_ledger.application.handlers import Reservations
from services.stock_ledger.application.loading import load_plans
from services.stock_ledger.application.moving import move_plan
from services.stock_ledger.entrypoints.heard_lines import Batch, is_ours, lines_of


class PlanSubscriber:
    """Holds the plans of a batch, each whole or not at all, first come first served."""

    def __init__(self, promises: Reservations) -> None:
        self._promises = promises

    async def prepare(self, batch: Batch[SourcingEvent], work: Work) -> None:
        await load_plans(
            work,
            {
                event.plan_decided.order_id: [
                    *lines_of(event.plan_decided.groups),
                    *lines_of(event.plan_decided.replaces),
                ]
                for event, envelope in batch
                if event.WhichOneof("event") == "plan_decided" and is_ours(envelope, work)
            },
        )

    async def hear(self, event: SourcingEvent, _envelope: Envelope, work: Work) -> None:
        match event.WhichOneof("event"):
            case "plan_decided":
                plan = event.plan_decided
                if plan.replaces:
                    await move_plan(
                        *(work, plan.order_id, plan.revision),
                        *(lines_of(plan.replaces), lines_of(plan.groups)),
                    )
                    return
                await self._promises.reserve_plan(
                    work, plan.order_id, plan.revision, lines_of(plan.groups)
                )
            case "plan_rejected" | None:
                pass  # nothing was held for it; or an event newer than this service
