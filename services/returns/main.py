"""Returns, put together. Production and tests call ``build`` with different parts."""

from datetime import timedelta

from oms.returns.v1.returns_service_pb2_grpc import add_ReturnsServiceServicer_to_server

from services.kernel.main import Kernel, Service
from services.returns.adapters.event_codec import CODEC
from services.returns.adapters.publications import publish
from services.returns.application.handlers import Policy, ReturnsHandlers
from services.returns.entrypoints.grpc_server import SCOPES, ReturnsGrpc
from services.returns.entrypoints.subscribers import subscriptions
from services.returns.read_models.known_sites import is_known
from services.returns.read_models.return_cases import RETURN_CASES
from services.returns.read_models.returnable_lines import RETURNABLE_LINES
from services.returns.settings import ReturnsSettings


def build(kernel: Kernel) -> Service:
    """Put returns together."""
    settings = ReturnsSettings()
    window = timedelta(days=settings.window_days)
    handlers = ReturnsHandlers(
        kernel.runner, Policy(window, settings.clerk_limit_percent), is_known
    )
    servicer = ReturnsGrpc(handlers, kernel.reader, window)
    return Service(
        name="returns",
        codec=CODEC,
        publish=publish,
        read_models=(RETURN_CASES, RETURNABLE_LINES),
        subscriptions=subscriptions(),
        grpc=(lambda server: add_ReturnsServiceServicer_to_server(servicer, server),),
        scopes=SCOPES,
    )
