"""What the stock ledger hears: plans to hold, orders that end, and goods that move.

The feeds race each other; the rules cope with that (see domain/stock_item.py). What reaches this
service twice is passed over by the kernel's watermark, and by the source id of each movement.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from oms.catalog.v1.catalog_events_pb2 import CatalogEvent
from oms.common.v1.common_pb2 import GroupLine
from oms.delivery.v1.delivery_events_pb2 import (
    Delivered,
    DeliveryEvent,
    HandedOver,
    HandedToCarrier,
)
from oms.order.v1.order_events_pb2 import Group, GroupsKept, OrderEvent
from oms.picking.v1.picking_events_pb2 import SHORT_REASON_DAMAGED, PickCompleted, PickingEvent
from oms.returns.v1.returns_events_pb2 import (
    DISPOSITION_RESTOCK,
    DISPOSITION_WRITE_OFF,
    ReturnsEvent,
)
from oms.sourcing.v1.sourcing_events_pb2 import SourcingEvent

from services.kernel.application.feeds import Envelope, Subscription
from services.kernel.application.work import Work
from services.kernel.domain.errors import Rejected
from services.kernel.entrypoints.listen import listen
from services.stock_ledger.application.endangered import watch
from services.stock_ledger.application.handlers import Reservations
from services.stock_ledger.application.loading import load_plans, load_reserved
from services.stock_ledger.application.moving import Kept, give_up, leave, move_plan
from services.stock_ledger.application.not_ahead import movement_by
from services.stock_ledger.domain.reservation import RESERVATION
from services.stock_ledger.domain.reservation_commands import Refusal as ReservationRefusal
from services.stock_ledger.domain.reservation_events import Line
from services.stock_ledger.domain.stock_commands import (
    Deliver,
    HandOver,
    Movement,
    Pick,
    PutBack,
    Ship,
    Short,
    TakeBack,
)
from services.stock_ledger.domain.stock_item import STOCK, stock_key
from services.stock_ledger.entrypoints.catalog_subscriber import hear_catalog, prepare_catalog
from services.stock_ledger.read_models.entries import picked_for

GROUP = "stock_ledger"

type Batch[M] = Sequence[tuple[M, Envelope]]


def subscriptions(promises: Reservations) -> tuple[Subscription, ...]:
    """Return everything the service listens to."""
    orders = OrderSubscriber(promises)
    plans = PlanSubscriber(promises)
    goods = GoodsSubscriber(promises)
    return (
        listen(
            SourcingEvent,
            group=GROUP,
            is_urgent=True,
            hears=("plan_decided",),
            hear=plans.hear,
            prepare=plans.prepare,
        ),
        listen(
            OrderEvent,
            group=GROUP,
            hears=(
                *("order_accepted", "order_cancelled", "order_refused", "order_completed"),
                "groups_kept",
            ),
            hear=orders.hear,
            prepare=orders.prepare,
        ),
        listen(
            PickingEvent,
            group=GROUP,
            hears=("line_picked", "line_shorted", "line_put_back", "pick_completed"),
            hear=goods.hear_picking,
            prepare=goods.prepare_picking,
        ),
        listen(
            DeliveryEvent,
            group=GROUP,
            hears=("handed_over", "handed_to_carrier", "delivered"),
            hear=goods.hear_delivery,
            prepare=goods.prepare_delivery,
        ),
        listen(
            ReturnsEvent,
            group=GROUP,
            hears=("return_inspected",),
            hear=hear_returns,
            prepare=prepare_returns,
        ),
        listen(
            CatalogEvent,
            group=GROUP,
            hears=("product_upserted",),
            hear=hear_catalog,
            prepare=prepare_catalog,
        ),
    )


class PlanSubscriber:
    """Holds the plans of a batch, each whole or not at all, first come first served."""

    def __init__(self, promises: Reservations) -> None:
        self._promises = promises

    async def prepare(self, batch: Batch[SourcingEvent], work: Work) -> None:
        await load_plans(
            work,
            {
                event.plan_decided.order_id: [
                    *_lines_of(event.plan_decided.groups),
                    *_lines_of(event.plan_decided.replaces),
                ]
                for event, envelope in batch
                if event.WhichOneof("event") == "plan_decided" and _is_ours(envelope, work)
            },
        )

    async def hear(self, event: SourcingEvent, _envelope: Envelope, work: Work) -> None:
        match event.WhichOneof("event"):
            case "plan_decided":
                plan = event.plan_decided
                if plan.replaces:
                    await move_plan(
                        *(work, plan.order_id, plan.revision),
                        *(_lines_of(plan.replaces), _lines_of(plan.groups)),
                    )
                    return
                await self._promises.reserve_plan(
                    work, plan.order_id, plan.revision, _lines_of(plan.groups)
                )
            case "plan_rejected" | None:
                pass  # nothing was held for it; or an event newer than this service


class OrderSubscriber:
    """Confirms what an accepted order holds, and gives back what an ended one has."""

    def __init__(self, promises: Reservations) -> None:
        self._promises = promises

    async def prepare(self, batch: Batch[OrderEvent], work: Work) -> None:
        order_ids = []
        for event, envelope in batch:
            if not _is_ours(envelope, work):
                continue
            match event.WhichOneof("event"):
                case "order_accepted":
                    order_ids.append(event.order_accepted.order_id)
                case "order_cancelled":
                    order_ids.append(event.order_cancelled.order_id)
                case "order_refused":
                    order_ids.append(event.order_refused.order_id)
                case "order_completed":
                    order_ids.append(event.order_completed.order_id)
                case "groups_kept":
                    order_ids.append(event.groups_kept.order_id)
                case _:
                    pass  # moves no stock
        if order_ids:
            await load_reserved(work, order_ids)

    async def hear(self, event: OrderEvent, _envelope: Envelope, work: Work) -> None:
        match event.WhichOneof("event"):
            case "order_accepted":
                try:
                    await self._promises.confirm(work, event.order_accepted.order_id, refuse=False)
                except Rejected as refusal:
                    # It was released or closed in the meantime: whoever did that has told.
                    if refusal.reason is not ReservationRefusal.STEP_CONFLICT:
                        raise
            case "order_cancelled":
                await self._promises.end(work, event.order_cancelled.order_id, "cancelled")
            case "order_refused":
                await self._promises.end(work, event.order_refused.order_id, "refused")
            case "order_completed":
                await self._promises.complete(work, event.order_completed.order_id)
            case "groups_kept":
                told = event.groups_kept
                await give_up(
                    *(work, told.order_id, told.plan_revision, _lines_of(told.declined)),
                    _kept(told),
                )
            case _:
                pass  # moves no stock, or is newer than this service


def _kept(told: GroupsKept) -> Kept:
    picked = set(told.picked_group_ids)
    awaited = [group for group in told.kept if group.group_id not in picked]
    return Kept(_lines_of(told.kept), _lines_of(awaited), picked_for)


class GoodsSubscriber:
    """Moves what is picked for an order, and what leaves the site for it.

    Nobody picks for an order that is not accepted. Where its acceptance is still to be heard, the
    hold becomes an allocation now: it can no longer run out below goods that are in a tote or gone,
    and the acceptance finds nothing to allocate a second time.
    """

    def __init__(self, promises: Reservations) -> None:
        self._promises = promises

    async def prepare_picking(self, batch: Batch[PickingEvent], work: Work) -> None:
        keys, order_ids = set(), set()
        for event, envelope in batch:
            match event.WhichOneof("event") if _is_ours(envelope, work) else None:
                case "line_picked":
                    keys.add(stock_key(event.line_picked.site_id, event.line_picked.sku))
                    order_ids.add(event.line_picked.order_id)
                case "line_shorted":
                    keys.add(stock_key(event.line_shorted.site_id, event.line_shorted.sku))
                    order_ids.add(event.line_shorted.order_id)
                case "line_put_back":
                    keys.add(stock_key(event.line_put_back.site_id, event.line_put_back.sku))
                case "pick_completed" if lighter := _lighter(event.pick_completed):
                    keys |= {stock_key(line.site_id, line.sku) for line in lighter}
                    order_ids.add(event.pick_completed.order_id)
                case _:
                    pass  # moves no stock
        await work.load(STOCK, keys)
        await work.load(RESERVATION, order_ids)

    async def hear_picking(self, event: PickingEvent, envelope: Envelope, work: Work) -> None:
        report = (envelope.event_id, envelope.recorded_at)
        match event.WhichOneof("event"):
            case "line_picked":
                picked = event.line_picked
                await _post(
                    work,
                    stock_key(picked.site_id, picked.sku),
                    Pick(picked.order_id, picked.quantity, *report),
                )
                # Afterwards: what is in the tote already need not be free.
                await self._promises.confirm_begun(work, picked.order_id)
            case "line_shorted":
                short = event.line_shorted
                is_damaged = short.reason == SHORT_REASON_DAMAGED
                await self._promises.confirm_begun(work, short.order_id)
                await _post(
                    work,
                    stock_key(short.site_id, short.sku),
                    Short(short.order_id, short.quantity, is_damaged, *report),
                )
            case "line_put_back":
                back = event.line_put_back
                await _post(
                    work,
                    stock_key(back.site_id, back.sku),
                    PutBack(back.order_id, back.quantity, *report),
                )
            case "pick_completed":
                done = event.pick_completed
                if lighter := _lighter(done):
                    await self._promises.confirm_begun(work, done.order_id)
                    await leave(work, done.order_id, done.group_id, lighter)
            case _:
                pass  # moves no stock, or is newer than this service

    async def prepare_delivery(self, batch: Batch[DeliveryEvent], work: Work) -> None:
        keys, order_ids = set(), set()
        for event, envelope in batch:
            told = _movement(event) if _is_ours(envelope, work) else None
            if told is not None:
                keys |= _keys(told.source_site_id, told.lines)
                order_ids.add(told.order_id)
        await work.load(STOCK, keys)
        await work.load(RESERVATION, order_ids)

    async def hear_delivery(self, event: DeliveryEvent, envelope: Envelope, work: Work) -> None:
        told = _movement(event)
        if told is None:
            return
        await self._promises.confirm_begun(work, told.order_id)
        for sku, quantity in sorted(_by_sku(told.lines).items()):
            of = (told.order_id, quantity, envelope.event_id, envelope.recorded_at)
            move: HandOver | Ship | Deliver
            match told:
                case HandedOver():
                    move = HandOver(*of, may_be_over=True)
                case HandedToCarrier():
                    move = Ship(*of, may_be_over=True)
                case Delivered():
                    move = Deliver(*of)
            await _post(work, stock_key(told.source_site_id, sku), move)


def _lighter(done: PickCompleted) -> list[Line]:
    """Return what of a group nobody needs any more: its goods weigh less than was ordered."""
    return [
        Line(done.site_id, line.sku, line.lighter_quantity)
        for line in done.lines
        if line.lighter_quantity > 0
    ]


def _movement(event: DeliveryEvent) -> HandedOver | HandedToCarrier | Delivered | None:
    match event.WhichOneof("event"):
        case "handed_over":
            return event.handed_over
        case "handed_to_carrier":
            return event.handed_to_carrier
        case "delivered":
            return event.delivered
        case _:
            return None  # moves no stock, or is newer than this service


async def prepare_returns(batch: Batch[ReturnsEvent], work: Work) -> None:
    keys = set()
    for event, envelope in batch:
        if event.WhichOneof("event") == "return_inspected" and _is_ours(envelope, work):
            inspected = event.return_inspected
            keys |= {stock_key(inspected.site_id, line.sku) for line in inspected.lines}
    await work.load(STOCK, keys)


async def hear_returns(event: ReturnsEvent, envelope: Envelope, work: Work) -> None:
    if event.WhichOneof("event") != "return_inspected":
        return  # moves no stock, or is newer than this service
    inspected = event.return_inspected
    for n, line in enumerate(inspected.lines):
        if line.disposition not in (DISPOSITION_RESTOCK, DISPOSITION_WRITE_OFF):
            raise ValueError(f"line {line.line_id} of {inspected.return_id} has no disposition")
        await _post(
            work,
            stock_key(inspected.site_id, line.sku),
            TakeBack(
                line.quantity,
                is_sellable=line.disposition == DISPOSITION_RESTOCK,
                source_id=f"{envelope.event_id}.{n}",
                occurred_at=envelope.recorded_at,
            ),
        )


async def _post(work: Work, key: str, movement: Movement) -> None:
    """Post what may take free below zero, or bring it back."""
    entries = await work.handle(STOCK, key, movement_by(movement, work.now))
    await watch(work, {key: entries})


def _is_ours(envelope: Envelope, work: Work) -> bool:
    """Say whether a bulk read may include it: it reads for one tenant, others are read singly."""
    return envelope.tenant == work.cause.tenant


def _lines_of(groups: Iterable[Group]) -> list[Line]:
    return [
        Line(group.source_site_id, line.sku, line.quantity)
        for group in groups
        for line in group.lines
    ]


def _by_sku(lines: Iterable[GroupLine]) -> dict[str, int]:
    quantities: dict[str, int] = defaultdict(int)
    for line in lines:
        if line.quantity:
            quantities[line.sku] += line.quantity
    return quantities


def _keys(site_id: str, lines: Iterable[GroupLine]) -> set[str]:
    return {stock_key(site_id, line.sku) for line in lines}
