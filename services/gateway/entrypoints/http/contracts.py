"""The services' contracts, as their generated code describes them."""

from google.protobuf.descriptor import MethodDescriptor
from oms.catalog.v1 import catalog_service_pb2
from oms.delivery.v1 import delivery_service_pb2
from oms.notification.v1 import notification_service_pb2
from oms.order.v1 import order_service_pb2
from oms.picking.v1 import picking_service_pb2
from oms.returns.v1 import returns_service_pb2
from oms.sourcing.v1 import sourcing_service_pb2
from oms.stock_ledger.v1 import (
    hot_stock_service_pb2,
    promise_service_pb2,
    stock_feed_service_pb2,
    stock_ledger_service_pb2,
)

CATALOG = catalog_service_pb2.DESCRIPTOR.services_by_name["CatalogService"].methods_by_name
DELIVERY = delivery_service_pb2.DESCRIPTOR.services_by_name["DeliveryService"].methods_by_name
NOTIFICATION = notification_service_pb2.DESCRIPTOR.services_by_name[
    "NotificationService"
].methods_by_name
ORDER = order_service_pb2.DESCRIPTOR.services_by_name["OrderService"].methods_by_name
PICKING = picking_service_pb2.DESCRIPTOR.services_by_name["PickingService"].methods_by_name
RETURNS = returns_service_pb2.DESCRIPTOR.services_by_name["ReturnsService"].methods_by_name
SOURCING = sourcing_service_pb2.DESCRIPTOR.services_by_name["SourcingService"].methods_by_name
STOCK = stock_ledger_service_pb2.DESCRIPTOR.services_by_name["StockLedgerService"].methods_by_name
FEEDS = stock_feed_service_pb2.DESCRIPTOR.services_by_name["StockFeedService"].methods_by_name
HOT_STOCK = hot_stock_service_pb2.DESCRIPTOR.services_by_name["HotStockService"].methods_by_name
PROMISES = promise_service_pb2.DESCRIPTOR.services_by_name["PromiseService"].methods_by_name

# What it takes to change something there. The services decide; here it is only known who need not
# be answered from memory.
_AREAS = {
    "catalog": "catalog",
    "delivery": "delivery",
    "notification": "notifications",
    "order": "orders",
    "picking": "picking",
    "returns": "returns",
    "sourcing": "sourcing",
    "stock_ledger": "stock",
}

ALL = (
    *(CATALOG, DELIVERY, NOTIFICATION, ORDER, PICKING, RETURNS, SOURCING),
    *(STOCK, FEEDS, HOT_STOCK, PROMISES),
)


def service_folder(method: MethodDescriptor) -> str:
    """Return which of our services has this rpc: ``order`` of ``oms.order.v1.OrderService``."""
    package: str = method.containing_service.file.package
    return package.split(".")[1]


def scope_to_change(method: MethodDescriptor) -> str:
    """Return the scope of an rpc that changes something."""
    return f"{_AREAS[service_folder(method)]}:write"
