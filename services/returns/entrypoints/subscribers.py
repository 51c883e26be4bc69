"""What returns hears: what the customer really has, what was captured for it, and the sites."""

from collections.abc import Sequence

from oms.catalog.v1.catalog_events_pb2 import CatalogEvent
from oms.order.v1.order_events_pb2 import GroupCompleted, OrderEvent

from services.kernel.application.feeds import Envelope, Subscription
from services.kernel.application.work import Work
from services.kernel.entrypoints.listen import listen
from services.returns.domain.returnable import RETURNABLE
from services.returns.domain.returnable_commands import Command, RecordCapture, RecordDelivery
from services.returns.domain.returnable_events import DeliveredPart
from services.returns.read_models import known_sites


def subscriptions() -> tuple[Subscription, ...]:
    """Return the feeds that returns listens to."""
    return (
        listen(
            OrderEvent,
            group="returns",
            hears=("group_completed", "payment_captured"),
            hear=hear,
            prepare=prepare,
        ),
        listen(
            CatalogEvent,
            group="returns",
            hears=("site_upserted",),
            hear=_hear_catalog,
            prepare=_prepare_catalog,
        ),
    )


async def prepare(batch: Sequence[tuple[OrderEvent, Envelope]], work: Work) -> None:
    """Read the streams of the batch in one query; those of another tenant are read one by one."""
    keys = {
        order_id
        for event, envelope in batch
        if envelope.tenant == work.cause.tenant
        for order_id, _ in _commands(event, envelope)
    }
    if keys:
        await work.load(RETURNABLE, keys)


async def hear(event: OrderEvent, envelope: Envelope, work: Work) -> None:
    """Keep what was delivered and captured; neither command is ever refused."""
    for order_id, command in _commands(event, envelope):
        await work.handle(RETURNABLE, order_id, command)


async def _prepare_catalog(batch: Sequence[tuple[CatalogEvent, Envelope]], work: Work) -> None:
    sites = {
        (envelope.tenant, event.site_upserted.site.site_id)
        for event, envelope in batch
        if event.WhichOneof("event") == "site_upserted"
    }
    await known_sites.remember(sites, work.sql)


async def _hear_catalog(event: CatalogEvent, envelope: Envelope, work: Work) -> None:
    """Everything is written for the whole batch at once, in ``_prepare_catalog``."""


def _commands(event: OrderEvent, envelope: Envelope) -> list[tuple[str, Command]]:
    match event.WhichOneof("event"):
        case "group_completed":
            return _delivery(event.group_completed, envelope)
        case "payment_captured":
            captured = event.payment_captured
            command = RecordCapture(envelope.event_id, captured.amount.amount_minor)
            return [(captured.order_id, command)]
        case _:
            return []  # the rest of an order's life, and event types newer than this consumer


def _delivery(completed: GroupCompleted, envelope: Envelope) -> list[tuple[str, Command]]:
    parts = tuple(
        DeliveredPart(line.line_id, line.sku, line.quantity, line.net_minor)
        for line in completed.delivered
        if line.quantity > 0
    )
    if not parts:
        return []  # everything was shorted: nothing can come back
    command = RecordDelivery(completed.group_id, completed.currency, envelope.recorded_at, parts)
    return [(completed.order_id, command)]
