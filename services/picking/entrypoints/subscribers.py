"""What picking hears: groups to pick, groups that others pick, cancellations, and products."""

from collections.abc import Sequence
from datetime import UTC

from oms.catalog.v1.catalog_events_pb2 import CatalogEvent, Product
from oms.common.v1 import common_pb2
from oms.order.v1.order_events_pb2 import GroupStepStarted, OrderEvent

from services.kernel.application.feeds import Envelope, Subscription
from services.kernel.application.work import Work
from services.kernel.entrypoints.listen import listen
from services.picking.domain.pick_task import PICK_TASK
from services.picking.domain.pick_task_commands import CancelTask, ReleaseTask
from services.picking.domain.pick_task_events import TaskLine
from services.picking.read_models import products, tasks_of_orders


def subscriptions() -> tuple[Subscription, ...]:
    return (
        listen(
            OrderEvent,
            group="picking",
            hears=("group_step_started", "order_cancelled", "groups_replaced"),
            hear=_hear_order,
            prepare=_prepare_orders,
        ),
        listen(
            CatalogEvent,
            group="picking",
            hears=("product_upserted",),
            hear=_hear_catalog,
            prepare=_prepare_catalog,
        ),
    )


async def _prepare_orders(batch: Sequence[tuple[OrderEvent, Envelope]], work: Work) -> None:
    """Note which task belongs to which order, and read the streams of the batch, in bulk."""
    tasks = [
        (envelope.tenant, started.order_id, started.group.group_id)
        for event, envelope in batch
        if (started := _to_pick(event)) is not None
    ]
    await tasks_of_orders.remember(tasks, work.sql)
    tenant = work.cause.tenant  # others of the batch are read one by one
    await work.load(PICK_TASK, {task_id for of, _, task_id in tasks if of == tenant})


async def _hear_order(event: OrderEvent, envelope: Envelope, work: Work) -> None:
    if (started := _to_pick(event)) is not None:
        group = started.group
        await work.handle(
            PICK_TASK,
            group.group_id,
            ReleaseTask(
                order_id=started.order_id,
                site_id=group.source_site_id,
                lines=tuple(
                    TaskLine(line.line_id, line.sku, line.quantity) for line in group.lines
                ),
                promised_at=group.promised_at.ToDatetime(UTC)
                if group.HasField("promised_at")
                else None,
            ),
        )
    elif event.WhichOneof("event") == "order_cancelled":
        # Tasks only: an order that was cancelled before any step has none.
        for task_id in await tasks_of_orders.of_order(
            work.sql, tenant=envelope.tenant, order_id=event.order_cancelled.order_id
        ):
            await work.handle(PICK_TASK, task_id, CancelTask())
    elif event.WhichOneof("event") == "groups_replaced":
        # Others pick it; what was picked here in the meantime is put back, as for a cancellation.
        for task_id in event.groups_replaced.replaced_group_ids:
            await work.handle(PICK_TASK, task_id, CancelTask())


def _to_pick(event: OrderEvent) -> GroupStepStarted | None:
    """Return the step that asks for picking, if the event is one."""
    if event.WhichOneof("event") != "group_step_started":
        return None
    started = event.group_step_started
    return started if started.step.completes_on == common_pb2.MILESTONE_PICKED else None


async def _prepare_catalog(batch: Sequence[tuple[CatalogEvent, Envelope]], work: Work) -> None:
    await products.remember(
        [
            _row(event.product_upserted.product, envelope)
            for event, envelope in batch
            if event.WhichOneof("event") == "product_upserted"
        ],
        work.sql,
    )


def _row(product: Product, envelope: Envelope) -> products.ProductRow:
    return products.ProductRow(
        tenant=envelope.tenant,
        sku=product.sku,
        name=product.name,
        name_fr=product.localized_name.fr,
        name_en=product.localized_name.en,
        category_path=tuple(product.category_path),
        temperature=product.temperature,
        unit=product.unit,
        barcode=product.barcode,
        is_weight_variable=product.is_weight_variable,
        version=envelope.stream_version,
    )


async def _hear_catalog(event: CatalogEvent, envelope: Envelope, work: Work) -> None:
    """Everything is written for the whole batch at once, in ``_prepare_catalog``."""
