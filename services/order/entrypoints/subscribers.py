"""What the order service hears: what exists, what is planned and held, what is done."""

from collections.abc import Sequence
from datetime import UTC

from oms.catalog.v1 import catalog_events_pb2 as catalog
from oms.common.v1 import common_pb2 as common
from oms.delivery.v1.delivery_events_pb2 import DeliveryEvent
from oms.order.v1 import order_events_pb2 as wire
from oms.picking.v1 import picking_events_pb2 as picking
from oms.returns.v1.returns_events_pb2 import ReturnsEvent
from oms.sourcing.v1.sourcing_events_pb2 import SourcingEvent
from oms.stock_ledger.v1.stock_ledger_events_pb2 import StockLedgerEvent

from services.kernel.application.feeds import Envelope, Subscription
from services.kernel.application.work import Work
from services.kernel.entrypoints.listen import listen
from services.order.application.catalog_facts import (
    ModeRow,
    ProductRow,
    SiteRow,
    document_of,
    remember,
)
from services.order.application.handlers import FULFILMENT, FULFILMENT_STATE, ORDER, sender
from services.order.domain import fulfilment_process as process
from services.order.domain.mode import (
    ChoiceKind,
    Milestone,
    Step,
    StepType,
    Temperature,
    Visibility,
)
from services.order.domain.order_commands import (
    Command,
    NoteShort,
    ReachedLine,
    ReachMilestone,
    RefundOrder,
)
from services.order.domain.order_events import Alternative, Group, GroupLine

GROUP = "order"


def subscriptions() -> tuple[Subscription, ...]:
    return (
        listen(
            catalog.CatalogEvent,
            group=GROUP,
            hears=("product_upserted", "site_upserted", "mode_published"),
            hear=_known_already,
            prepare=_remember,
        ),
        listen(
            SourcingEvent,
            group=GROUP,
            is_urgent=True,
            hears=("plan_decided", "plan_rejected"),
            hear=_hear_sourcing,
            prepare=_load_sourcing,
        ),
        listen(
            StockLedgerEvent,
            group=GROUP,
            is_urgent=True,
            hears=(
                *("reservation_held", "reservation_refused", "reservation_expired"),
                "reservation_moved",
            ),
            hear=_hear_ledger,
            prepare=_load_ledger,
        ),
        listen(
            picking.PickingEvent,
            group=GROUP,
            hears=("line_shorted", "pick_completed"),
            hear=_hear_picking,
            prepare=_load_picking,
        ),
        listen(
            DeliveryEvent,
            group=GROUP,
            hears=(
                "ready_for_pickup",
                "customer_arrived",
                "handed_over",
                "handed_to_carrier",
                "delivered",
            ),
            hear=_hear_delivery,
            prepare=_load_delivery,
        ),
        listen(ReturnsEvent, group=GROUP, hears=("refund_validated",), hear=_hear_returns),
    )


# The catalog: rows, written for the whole batch at once.


async def _remember(batch: Sequence[tuple[catalog.CatalogEvent, Envelope]], work: Work) -> None:
    products: list[ProductRow] = []
    sites: list[SiteRow] = []
    modes: list[ModeRow] = []
    for event, envelope in batch:
        match event.WhichOneof("event"):
            case "product_upserted":
                products.append(_product(event.product_upserted.product, envelope))
            case "site_upserted":
                sites.append(_site(event.site_upserted.site, envelope))
            case "mode_published":
                modes.append(_mode(event.mode_published.mode, envelope))
            case _:
                pass  # who helps whom is sourcing's business
    await remember(work.sql, products, sites, modes)


async def _known_already(_: catalog.CatalogEvent, __: Envelope, ___: Work) -> None:
    """Nothing is left to do for a single message."""


def _product(product: catalog.Product, envelope: Envelope) -> ProductRow:
    return ProductRow(
        envelope.tenant,
        product.sku,
        product.price.amount_minor,
        max(1, product.price_quantity),
        product.price.currency,
        common.Unit.Name(product.unit).removeprefix("UNIT_").lower(),
        _temperature(product.temperature).value,
        envelope.stream_version,
    )


def _temperature(wire_class: "common.TemperatureClass.ValueType") -> Temperature:
    if wire_class == common.TEMPERATURE_CLASS_UNSPECIFIED:
        return Temperature.AMBIENT
    name = common.TemperatureClass.Name(wire_class)
    return Temperature[name.removeprefix("TEMPERATURE_CLASS_")]


def _site(site: catalog.Site, envelope: Envelope) -> SiteRow:
    return SiteRow(
        envelope.tenant,
        site.site_id,
        site.is_active,
        tuple(one.mode_id for one in site.capabilities if one.can_prepare),
        tuple(one.mode_id for one in site.capabilities if one.can_hand_over),
        envelope.stream_version,
    )


def _mode(mode: catalog.Mode, envelope: Envelope) -> ModeRow:
    needs_destination = mode.choice_kind == catalog.CHOICE_KIND_DESTINATION
    return ModeRow(
        envelope.tenant,
        mode.mode_id,
        mode.version,
        (ChoiceKind.DESTINATION if needs_destination else ChoiceKind.SITE).value,
        mode.fee.amount_minor,
        mode.fee.currency,
        document_of(_step(step) for step in mode.steps),
    )


def _step(step: common.Step) -> Step:
    # What a later catalog may leave unsaid stays hidden from the consumer.
    visibility = common.Visibility.Name(step.visibility).removeprefix("VISIBILITY_")
    return Step(
        step.step_id,
        StepType[common.StepType.Name(step.type).removeprefix("STEP_TYPE_")],
        Milestone[common.Milestone.Name(step.completes_on).removeprefix("MILESTONE_")],
        step.label.fr,
        step.label.en,
        Visibility.HIDDEN if visibility == "UNSPECIFIED" else Visibility[visibility],
        step.cancellable,
        step.optional,
    )


# Plans and holds: to the process of the order, which accepts it when both are there.


async def _load_sourcing(batch: Sequence[tuple[SourcingEvent, Envelope]], work: Work) -> None:
    told = [(envelope, _planned(event)) for event, envelope in batch]
    await _load(work, [(envelope, one[0]) for envelope, one in told if one], has_process=True)


async def _hear_sourcing(event: SourcingEvent, _: Envelope, work: Work) -> None:
    told = _planned(event)
    if told is not None:
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


async def _load_ledger(batch: Sequence[tuple[StockLedgerEvent, Envelope]], work: Work) -> None:
    told = [(envelope, _holding(event)) for event, envelope in batch]
    orders = [(envelope, one[0]) for envelope, one in told if one and one[0]]
    await _load(work, orders, has_process=True)


async def _hear_ledger(event: StockLedgerEvent, _: Envelope, work: Work) -> None:
    told = _holding(event)
    if told is not None and told[0]:  # a reservation may be nobody's order
        order_id, message = told
        await work.hear(FULFILMENT, order_id, message, sender(order_id))


# Facts about groups: to the order itself.


def _picked(event: picking.PickingEvent, envelope: Envelope) -> tuple[str, Command] | None:
    match event.WhichOneof("event"):
        case "line_shorted":
            short = event.line_shorted
            return short.order_id, NoteShort(
                short.group_id,
                short.line_id,
                short.quantity,
                _reason(short.reason),
                envelope.stream_version,
            )
        case "pick_completed":
            done = event.pick_completed
            return done.order_id, ReachMilestone(
                done.group_id,
                Milestone.PICKED,
                tuple(
                    ReachedLine(
                        *(line.line_id, line.picked_quantity, _reason(line.reason)),
                        line.lighter_quantity,
                    )
                    for line in done.lines
                ),
            )
        case _:
            return None  # the walk itself is the site's business


def _reason(reason: "picking.ShortReason.ValueType") -> str:
    return picking.ShortReason.Name(reason).removeprefix("SHORT_REASON_")


async def _load_picking(batch: Sequence[tuple[picking.PickingEvent, Envelope]], work: Work) -> None:
    told = [(envelope, _picked(event, envelope)) for event, envelope in batch]
    await _load(work, [(envelope, one[0]) for envelope, one in told if one])


async def _hear_picking(event: picking.PickingEvent, envelope: Envelope, work: Work) -> None:
    told = _picked(event, envelope)
    if told is not None:
        await work.handle(ORDER, *told)


def _delivered(event: DeliveryEvent) -> tuple[str, Command] | None:
    match event.WhichOneof("event"):
        case "ready_for_pickup":
            ready = event.ready_for_pickup
            return ready.order_id, ReachMilestone(ready.group_id, Milestone.READY)
        case "customer_arrived":
            arrived = event.customer_arrived
            return arrived.order_id, ReachMilestone(arrived.group_id, Milestone.ARRIVED)
        case "handed_over":
            over = event.handed_over
            return over.order_id, ReachMilestone(
                over.group_id, Milestone.HANDED_OVER, _reached(over.lines)
            )
        case "handed_to_carrier":
            sent = event.handed_to_carrier
            return sent.order_id, ReachMilestone(
                sent.group_id, Milestone.HANDED_TO_CARRIER, _reached(sent.lines)
            )
        case "delivered":
            there = event.delivered
            return there.order_id, ReachMilestone(
                there.group_id, Milestone.DELIVERED, _reached(there.lines)
            )
        case _:
            return None  # newer than this consumer


def _reached(lines: Sequence[common.GroupLine]) -> tuple[ReachedLine, ...]:
    return tuple(ReachedLine(line.line_id, line.quantity) for line in lines)


async def _load_delivery(batch: Sequence[tuple[DeliveryEvent, Envelope]], work: Work) -> None:
    told = [(envelope, _delivered(event)) for event, envelope in batch]
    await _load(work, [(envelope, one[0]) for envelope, one in told if one])


async def _hear_delivery(event: DeliveryEvent, _: Envelope, work: Work) -> None:
    told = _delivered(event)
    if told is not None:
        await work.handle(ORDER, *told)


async def _hear_returns(event: ReturnsEvent, _: Envelope, work: Work) -> None:
    """Note a refund. One beyond what was captured is nobody's race: it is parked and looked at."""
    if event.WhichOneof("event") != "refund_validated":
        return
    refund = event.refund_validated
    await work.handle(
        ORDER,
        refund.order_id,
        RefundOrder(refund.return_id, refund.amount.currency, refund.amount.amount_minor),
    )


async def _load(
    work: Work, orders: Sequence[tuple[Envelope, str]], *, has_process: bool = False
) -> None:
    """Read the streams of a batch at once; those of another tenant are read one by one."""
    keys = {order_id for envelope, order_id in orders if envelope.tenant == work.cause.tenant}
    if keys:
        await work.load(ORDER, keys)
        if has_process:
            await work.load(FULFILMENT_STATE, keys)
