"""The picking service, put together."""

from oms.picking.v1.picking_service_pb2_grpc import add_PickingServiceServicer_to_server

from services.kernel.main import Kernel, Service
from services.picking.adapters.event_codec import CODEC
from services.picking.adapters.publications import publish
from services.picking.application.handlers import PickingHandlers
from services.picking.entrypoints.grpc_server import SCOPES, PickingGrpc
from services.picking.entrypoints.subscribers import subscriptions
from services.picking.read_models import products, task_queue
from services.picking.settings import PickingSettings


def build(kernel: Kernel) -> Service:
    settings = PickingSettings()
    handlers = PickingHandlers(
        kernel.runner,
        tasks_to_claim=task_queue.to_claim,
        weight_variable_skus=products.weight_variable,
        tolerance_percent=settings.over_pick_tolerance_percent,
    )
    servicer = PickingGrpc(handlers, kernel.reader)
    return Service(
        name="picking",
        codec=CODEC,
        publish=publish,
        read_models=(task_queue.TASK_QUEUE,),
        subscriptions=subscriptions(),
        grpc=(lambda server: add_PickingServiceServicer_to_server(servicer, server),),
        scopes=SCOPES,
    )
