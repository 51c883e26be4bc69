"""Plans and holds: to the process of the order, which accepts it when both are there."""

from collections.abc import Sequence
from datetime import UTC

from oms.order.v1 import order_events_pb2 as wire
from oms.sourcing.v1.sourcing_events_pb2 import SourcingEvent
from oms.stock_ledger.v1.stock_ledger_events_pb2 import StockLedgerEvent

from services.kernel.application.feeds import Envelope
from services.kernel.application.work import Work
from services.order.application.handlers import FULFILMENT, sender
from services.order.domain import fulfilment_process as process
from services.order.domain.order_events import Alternative, Group, GroupLine
from services.order.entrypoints.streams_of_batch import load_orders


async def load_sourcing(batch: Sequence[tuple[SourcingEvent, Envelope]], work: Work) -> None:
    told = [(envelope, _planned(event)) for event, envelope in batch]
    await load_orders(work, [(envelope, one[0]) for envelope, one in told if one], has_process=True)


async def hear_sourcing(event: SourcingEvent, _: Envelope, work: Work) -> None:
    told = _planned(event)
    if told is not None:
        order_id, message = told
        await work.hear(FULFILMENT, order_id, message, sender(order_id))


async def load_ledger(batch: Sequence[tuple[StockLedgerEvent, Envelope]], work: Work) -> None:
    told = [(envelope, _holding(event)) for event, envelope in batch]
    orders = [(envelope, one[0]) for envelope, one in told if one and one[0]]
    await load_orders(work, orders, has_process=True)


async def hear_ledger(event: StockLedgerEvent, _: Envelope, work: Work) -> None:
    told = _holding(event)
    if told is not None and told[0]:  # a reservation may be nobody's order
        order_id, message = told
        await work.hear(FULFILMENT, order_id, message, sender(order_id))


def _planned(event: SourcingEvent) -> tuple[str, process.Message] | None:
    match event.WhichOneof("event"):
        case "plan_decided":
            plan = event.plan_decided
            groups = tuple(_group(group) for group in plan.groups)
            if plan.replaces:
                replaced = tuple(group.group_id for group in plan.replaces)
                return plan.order_id, process.Replanned(plan.revision, replaced, groups)
            return plan.order_id, process.Planned(plan.revision, groups)
        case "plan_rejected":
            rejected = event.plan_rejected
            if rejected.stays:
                return None  # the order goes on as it is; what lacks is found out by who picks it
            return rejected.order_id, process.PlanRejected(
                rejected.revision,
                rejected.reason,
                tuple(
                    Alternative(one.site_id, one.sku, one.available)
                    for one in rejected.alternatives
                ),
            )
        case _:
            return None  # newer than this consumer


def _group(group: wire.Group) -> Group:
    return Group(
        group.group_id,
        group.mode_id,
        group.mode_version,
        group.source_site_id,
        group.handover_site_id,
        tuple(GroupLine(line.line_id, line.sku, line.quantity) for line in group.lines),
        group.promised_at.ToDatetime(UTC) if group.HasField("promised_at") else None,
    )


def _holding(event: StockLedgerEvent) -> tuple[str, process.Message] | None:
    """Return what the ledger says of an order's reservation; most of its feed is stock."""
    match event.WhichOneof("event"):
        case "reservation_held":
            held = event.reservation_held
            return held.order_id, process.Held(held.plan_revision, held.reservation_id)
        case "reservation_refused":
            refused = event.reservation_refused
            return refused.order_id, process.HoldRefused(refused.plan_revision, refused.reason)
        case "reservation_expired":
            expired = event.reservation_expired
            return expired.order_id, process.HoldExpired(expired.plan_revision)
        case "reservation_moved" if event.reservation_moved.came:
            moved = event.reservation_moved
            return moved.order_id, process.Moved(moved.plan_revision)
        case _:
            return None
