"""The sourcing service, put together. Production and tests call ``build``."""

from datetime import timedelta

from oms.sourcing.v1 import sourcing_service_pb2_grpc as rpc

from services.kernel.main import Kernel, Service
from services.sourcing.adapters.event_codec import CODEC
from services.sourcing.adapters.publications import publish
from services.sourcing.application.handlers import Decisions
from services.sourcing.application.spoken_for import SpokenFor
from services.sourcing.domain.policy import Policy
from services.sourcing.entrypoints.grpc_server import SCOPES, SourcingGrpc
from services.sourcing.entrypoints.subscribers import Subscribers
from services.sourcing.read_models.network_view import NetworkView, named_by_content
from services.sourcing.read_models.receipts import RECEIPTS
from services.sourcing.read_models.replay_check import replay_violations
from services.sourcing.settings import SourcingSettings


def build(kernel: Kernel) -> Service:
    """Return the service, wired to ``kernel`` and configured by ``OMS_SOURCING_*``."""
    settings = SourcingSettings()
    numbers = settings.model_dump(
        exclude={"policy_name", "spoken_for_seconds", "spoken_for_orders"}
    )
    policy = named_by_content(Policy(version=settings.policy_name, **numbers))
    networks = NetworkView(policy)
    spoken_for = SpokenFor(
        timedelta(seconds=settings.spoken_for_seconds), settings.spoken_for_orders
    )
    subscribers = Subscribers(Decisions(policy, spoken_for), networks)
    servicer = SourcingGrpc(kernel.reader, kernel.clock, networks, policy)
    return Service(
        name="sourcing",
        codec=CODEC,
        publish=publish,
        read_models=(RECEIPTS,),
        subscriptions=subscribers.all(),
        grpc=(lambda server: rpc.add_SourcingServiceServicer_to_server(servicer, server),),
        scopes=SCOPES,
        checks={"I8: a decision made again is the same": replay_violations},
    )
