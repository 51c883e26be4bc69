"""The composition root: services are put together here, and nowhere else."""

from services.kernel.main.host import ServiceHost
from services.kernel.main.runtime import SERVICES, Runtime, prepare_databases
from services.kernel.main.service import Build, Check, Kernel, Publish, Service, Wake, builder
from services.kernel.settings import BusSettings, EdgeSettings, KernelSettings

__all__ = [
    "SERVICES",
    "Build",
    "BusSettings",
    "Check",
    "EdgeSettings",
    "Kernel",
    "KernelSettings",
    "Publish",
    "Runtime",
    "Service",
    "ServiceHost",
    "Wake",
    "builder",
    "prepare_databases",
]
