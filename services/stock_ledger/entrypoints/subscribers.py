"""What the stock ledger hears: plans to hold, orders that end, and goods that move.

The feeds race each other; the rules cope with that (see domain/stock_item.py). What reaches this
service twice is passed over by the kernel's watermark, and by the source id of each movement.
"""

from oms.catalog.v1.catalog_events_pb2 import CatalogEvent
from oms.delivery.v1.delivery_events_pb2 import DeliveryEvent
from oms.order.v1.order_events_pb2 import OrderEvent
from oms.picking.v1.picking_events_pb2 import PickingEvent
from oms.returns.v1.returns_events_pb2 import ReturnsEvent
from oms.sourcing.v1.sourcing_events_pb2 import SourcingEvent

from services.kernel.application.feeds import Subscription
from services.kernel.entrypoints.listen import listen
from services.stock_ledger.application.handlers import Reservations
from services.stock_ledger.entrypoints.catalog_subscriber import hear_catalog, prepare_catalog
from services.stock_ledger.entrypoints.goods_subscriber import (
    GoodsSubscriber,
    hear_returns,
    prepare_returns,
)
from services.stock_ledger.entrypoints.order_subscriber import OrderSubscriber
from services.stock_ledger.entrypoints.plan_subscriber import PlanSubscriber

GROUP = "stock_ledger"


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
