"""What the order service hears: what exists, what is planned and held, what is done."""

from oms.catalog.v1 import catalog_events_pb2 as catalog
from oms.delivery.v1.delivery_events_pb2 import DeliveryEvent
from oms.picking.v1 import picking_events_pb2 as picking
from oms.returns.v1.returns_events_pb2 import ReturnsEvent
from oms.sourcing.v1.sourcing_events_pb2 import SourcingEvent
from oms.stock_ledger.v1.stock_ledger_events_pb2 import StockLedgerEvent

from services.kernel.application.feeds import Subscription
from services.kernel.entrypoints.listen import listen
from services.order.entrypoints.catalog_subscriber import known_already, remember_catalog
from services.order.entrypoints.plan_subscriber import (
    hear_ledger,
    hear_sourcing,
    load_ledger,
    load_sourcing,
)
from services.order.entrypoints.progress_subscriber import (
    hear_delivery,
    hear_picking,
    hear_returns,
    load_delivery,
    load_picking,
)

GROUP = "order"


def subscriptions() -> tuple[Subscription, ...]:
    return (
        listen(
            catalog.CatalogEvent,
            group=GROUP,
            hears=("product_upserted", "site_upserted", "mode_published"),
            hear=known_already,
            prepare=remember_catalog,
        ),
        listen(
            SourcingEvent,
            group=GROUP,
            is_urgent=True,
            hears=("plan_decided", "plan_rejected"),
            hear=hear_sourcing,
            prepare=load_sourcing,
        ),
        listen(
            StockLedgerEvent,
            group=GROUP,
            is_urgent=True,
            hears=(
                *("reservation_held", "reservation_refused", "reservation_expired"),
                "reservation_moved",
            ),
            hear=hear_ledger,
            prepare=load_ledger,
        ),
        listen(
            picking.PickingEvent,
            group=GROUP,
            hears=("line_shorted", "pick_completed"),
            hear=hear_picking,
            prepare=load_picking,
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
            hear=hear_delivery,
            prepare=load_delivery,
        ),
        listen(ReturnsEvent, group=GROUP, hears=("refund_validated",), hear=hear_returns),
    )
