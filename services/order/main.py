"""The order service, put together."""

from oms.order.v1.order_service_pb2_grpc import add_OrderServiceServicer_to_server

from services.kernel.main import Kernel, Service
from services.order.adapters.event_codec import CODEC
from services.order.adapters.publications import publish
from services.order.application.catalog_facts import CatalogFacts
from services.order.application.handlers import OrderHandlers
from services.order.entrypoints.grpc_server import SCOPES, OrderGrpc
from services.order.entrypoints.subscribers import subscriptions
from services.order.read_models.basket_view import BASKET_VIEW
from services.order.read_models.money_check import money_violations
from services.order.read_models.order_summary import ORDER_SUMMARY


def build(kernel: Kernel) -> Service:
    handlers = OrderHandlers(kernel.runner, CatalogFacts(kernel.reader.sql))
    servicer = OrderGrpc(handlers, kernel.reader)
    return Service(
        name="order",
        codec=CODEC,
        publish=publish,
        read_models=(ORDER_SUMMARY, BASKET_VIEW),
        subscriptions=subscriptions(),
        grpc=(lambda server: add_OrderServiceServicer_to_server(servicer, server),),
        scopes=SCOPES,
        is_watched=True,
        checks={"I5: refunded <= captured <= agreed": money_violations},
    )
