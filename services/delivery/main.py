"""The delivery service, put together."""

from oms.delivery.v1.delivery_service_pb2_grpc import add_DeliveryServiceServicer_to_server

from services.delivery.adapters.event_codec import CODEC
from services.delivery.adapters.pickup_codes import HmacPickupCodes
from services.delivery.adapters.publications import publish
from services.delivery.application.handlers import DeliveryHandlers
from services.delivery.entrypoints.grpc_server import SCOPES, DeliveryGrpc
from services.delivery.entrypoints.subscribers import subscriptions
from services.delivery.read_models.handovers import HANDOVERS
from services.delivery.read_models.shipments import SHIPMENTS
from services.delivery.settings import DeliverySettings
from services.kernel.main import Kernel, Service


def build(kernel: Kernel) -> Service:
    """Put delivery together.

    Raises:
        ValidationError: The secret of the pickup codes is missing or weak.
    """
    codes = HmacPickupCodes(DeliverySettings().secret())
    servicer = DeliveryGrpc(DeliveryHandlers(kernel.runner, codes), codes, kernel.reader)
    return Service(
        name="delivery",
        codec=CODEC,
        publish=publish,
        read_models=(HANDOVERS, SHIPMENTS),
        subscriptions=subscriptions(),
        grpc=(lambda server: add_DeliveryServiceServicer_to_server(servicer, server),),
        scopes=SCOPES,
    )
