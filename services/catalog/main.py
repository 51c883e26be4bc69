"""The catalog service, put together."""

from oms.catalog.v1.catalog_service_pb2_grpc import add_CatalogServiceServicer_to_server

from services.catalog.adapters import wire
from services.catalog.adapters.event_codec import CODEC
from services.catalog.adapters.publications import publish
from services.catalog.application.handlers import CatalogHandlers
from services.catalog.entrypoints.answers import Show
from services.catalog.entrypoints.grpc_server import SCOPES, CatalogGrpc
from services.catalog.read_models.circles import CIRCLES
from services.catalog.read_models.modes import MODES
from services.catalog.read_models.products import PRODUCTS
from services.catalog.read_models.sites import SITES
from services.kernel.main import Kernel, Service


def build(kernel: Kernel) -> Service:
    show = Show(wire.product, wire.site, wire.extended_site, wire.sales_zone, wire.mode)
    servicer = CatalogGrpc(CatalogHandlers(kernel.runner), kernel.reader, show)
    return Service(
        name="catalog",
        codec=CODEC,
        publish=publish,
        read_models=(PRODUCTS, SITES, CIRCLES, MODES),
        grpc=(lambda server: add_CatalogServiceServicer_to_server(servicer, server),),
        scopes=SCOPES,
    )
