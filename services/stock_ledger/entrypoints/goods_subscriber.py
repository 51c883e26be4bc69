"""The ledger hears where goods went: picked, handed over, brought back."""

from oms.delivery.v1.delivery_events_pb2 import (
    Delivered,
    DeliveryEvent,
    HandedOver,
    HandedToCarrier,
)
from oms.picking.v1.picking_events_pb2 import SHORT_REASON_DAMAGED, PickCompleted, PickingEvent
from oms.returns.v1.returns_events_pb2 import (
    DISPOSITION_RESTOCK,
    DISPOSITION_WRITE_OFF,
    ReturnsEvent,
)

from services.kernel.application.feeds import Envelope
from services.kernel.application.work import Work
from services.stock_ledger.application.handlers import Reservations
from services.stock_ledger.application.moving import leave
from services.stock_ledger.domain.reservation import RESERVATION
from services.stock_ledger.domain.reservation_events import Line
from services.stock_ledger.domain.stock_commands import (
    Deliver,
    HandOver,
    Pick,
    PutBack,
    Ship,
    Short,
    TakeBack,
)
from services.stock_ledger.domain.stock_item import STOCK, stock_key
from services.stock_ledger.entrypoints.heard_lines import Batch, by_sku, is_ours, keys_of, post


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
            match event.WhichOneof("event") if is_ours(envelope, work) else None:
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
                await post(
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
                await post(
                    work,
                    stock_key(short.site_id, short.sku),
                    Short(short.order_id, short.quantity, is_damaged, *report),
                )
            case "line_put_back":
                back = event.line_put_back
                await post(
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
            told = _movement(event) if is_ours(envelope, work) else None
            if told is not None:
                keys |= keys_of(told.source_site_id, told.lines)
                order_ids.add(told.order_id)
        await work.load(STOCK, keys)
        await work.load(RESERVATION, order_ids)

    async def hear_delivery(self, event: DeliveryEvent, envelope: Envelope, work: Work) -> None:
        told = _movement(event)
        if told is None:
            return
        await self._promises.confirm_begun(work, told.order_id)
        for sku, quantity in sorted(by_sku(told.lines).items()):
            of = (told.order_id, quantity, envelope.event_id, envelope.recorded_at)
            move: HandOver | Ship | Deliver
            match told:
                case HandedOver():
                    move = HandOver(*of, may_be_over=True)
                case HandedToCarrier():
                    move = Ship(*of, may_be_over=True)
                case Delivered():
                    move = Deliver(*of)
            await post(work, stock_key(told.source_site_id, sku), move)


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
        if event.WhichOneof("event") == "return_inspected" and is_ours(envelope, work):
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
        await post(
            work,
            stock_key(inspected.site_id, line.sku),
            TakeBack(
                line.quantity,
                is_sellable=line.disposition == DISPOSITION_RESTOCK,
                source_id=f"{envelope.event_id}.{n}",
                occurred_at=envelope.recorded_at,
            ),
        )
