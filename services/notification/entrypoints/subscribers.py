"""What notification hears: the life of an order, and names of products.

What is worth a message is queued, not sent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from oms.catalog.v1.catalog_events_pb2 import CatalogEvent
from oms.common.v1 import common_pb2 as common
from oms.order.v1.order_events_pb2 import OrderEvent

from services.kernel.application.feeds import Envelope, Subscription
from services.kernel.application.work import Work
from services.kernel.domain.ids import derive
from services.kernel.entrypoints.listen import listen
from services.notification.application.queue import Queued, enqueue, text_queued
from services.notification.domain.message import MESSAGE, Occasion, QueueMessage, Text
from services.notification.domain.occasions import (
    NO_NAME,
    Fact,
    LineShorted,
    OrderCancelled,
    OrderRefunded,
    OrderRefused,
    Step,
    StepCompleted,
    StepStarted,
    StepType,
    saying_of,
)
from services.notification.read_models.product_names import (
    NamedProduct,
    Product,
    names_of,
    remember,
)

_TYPES = {
    common.STEP_TYPE_SYSTEM: StepType.SYSTEM,
    common.STEP_TYPE_WORK: StepType.WORK,
    common.STEP_TYPE_WAIT: StepType.WAIT,
    common.STEP_TYPE_HANDOVER: StepType.HANDOVER,
    common.STEP_TYPE_TRANSPORT: StepType.TRANSPORT,
}
_VISIBLE = frozenset({common.VISIBILITY_LABEL, common.VISIBILITY_LABEL_AND_TIME})


def subscriptions() -> tuple[Subscription, ...]:
    """Return the feeds that notification listens to."""
    return (
        listen(
            OrderEvent,
            group="notification",
            hears=(
                "group_step_started",
                "group_step_completed",
                "group_line_shorted",
                "order_refused",
                "order_cancelled",
                "order_refunded",
            ),
            hear=hear,
            prepare=prepare,
        ),
        listen(
            CatalogEvent,
            group="notification",
            hears=("product_upserted",),
            hear=_hear_catalog,
            prepare=_prepare_catalog,
        ),
    )


async def prepare(batch: Sequence[tuple[OrderEvent, Envelope]], work: Work) -> None:
    """Queue the deliveries of the batch in one statement, and read its streams in one query."""
    names = await names_of(
        {
            (envelope.tenant, event.group_line_shorted.sku)
            for event, envelope in batch
            if event.WhichOneof("event") == "group_line_shorted"
        },
        work.sql,
    )
    messages = [
        queued for event, envelope in batch if (queued := queued_of(event, envelope, names))
    ]
    await enqueue(messages, work.now, work.sql)
    own = [queued.message_id for queued in messages if queued.tenant == work.cause.tenant]
    if own:
        await work.load(MESSAGE, own)


async def hear(event: OrderEvent, envelope: Envelope, work: Work) -> None:
    """Record that the message is queued; never refused."""
    queued = queued_of(event, envelope, {})
    if queued is None:
        return
    message = queued.message
    if message.occasion is Occasion.SHORTED:
        # Its words hang on names, which may have changed since: what goes out is what is recorded.
        text = await text_queued(queued.tenant, queued.message_id, work.sql)
        message = replace(message, text=text or message.text)
    await work.handle(MESSAGE, queued.message_id, message)


async def _prepare_catalog(batch: Sequence[tuple[CatalogEvent, Envelope]], work: Work) -> None:
    products = [
        (event.product_upserted.product, envelope)
        for event, envelope in batch
        if event.WhichOneof("event") == "product_upserted"
    ]
    await remember(
        [
            NamedProduct(
                envelope.tenant,
                product.sku,
                product.name,
                Text(product.localized_name.fr, product.localized_name.en),
                envelope.stream_version,
            )
            for product, envelope in products
        ],
        work.sql,
    )


async def _hear_catalog(event: CatalogEvent, envelope: Envelope, work: Work) -> None:
    """Everything is written for the whole batch at once, in ``_prepare_catalog``."""


def queued_of(
    event: OrderEvent, envelope: Envelope, names: Mapping[Product, Text]
) -> Queued | None:
    """Return the message that an event gives occasion to, if any. Same event, same id."""
    case = event.WhichOneof("event")
    fact = _fact(event, envelope.tenant, names)
    saying = saying_of(fact) if fact is not None else None
    if case is None or saying is None:
        return None
    return Queued(
        tenant=envelope.tenant,
        message_id=derive("message", envelope.event_id),
        sequence=envelope.stream_version,
        message=QueueMessage(
            order_id=getattr(event, case).order_id,
            group_id=saying.group_id,
            step_id=saying.step_id,
            occasion=saying.occasion,
            text=saying.text,
            occurred_at=envelope.recorded_at,
        ),
    )


def _fact(  # noqa: PLR0911 - one case, one answer
    event: OrderEvent, tenant: str, names: Mapping[Product, Text]
) -> Fact | None:
    match event.WhichOneof("event"):
        case "group_step_started":
            started = event.group_step_started
            return StepStarted(started.group.group_id, _step(started.step))
        case "group_step_completed":
            completed = event.group_step_completed
            return StepCompleted(completed.group_id, _step(completed.step))
        case "group_line_shorted":
            shorted = event.group_line_shorted
            name = names.get((tenant, shorted.sku), NO_NAME)
            return LineShorted(shorted.group_id, shorted.sku, shorted.picked_quantity, name)
        case "order_refused":
            return OrderRefused()
        case "order_cancelled":
            return OrderCancelled()
        case "order_refunded":
            amount = event.order_refunded.amount
            return OrderRefunded(amount.amount_minor, amount.currency)
        case _:
            return None  # nothing a consumer sees, or an event type newer than this consumer


def _step(step: common.Step) -> Step:
    step_type = _TYPES.get(step.type)
    return Step(
        step.step_id,
        step_type or StepType.SYSTEM,
        # A step type newer than this consumer: silence rather than a word at the wrong time.
        is_visible=step.visibility in _VISIBLE and step_type is not None,
        label=Text(step.label.fr, step.label.en),
    )
