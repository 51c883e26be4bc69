"""``oms serve``, ``oms work`` and ``oms gateway``: one process of a system, for a supervisor."""

import asyncio
import faulthandler
import importlib
import signal
import sys
from typing import Annotated

import typer

from services.kernel.adapters.json_lines import log_json
from services.kernel.adapters.telemetry import TELEMETRY
from services.kernel.main import EdgeSettings
from services.kernel.main.collector import run
from services.kernel.main.console import EXIT_USAGE, errors, say

app = typer.Typer()


@app.command()
def serve(service: Annotated[str, typer.Argument(help="for example order")]) -> None:
    """Answer the gRPC calls of one service in this process, until stopped (needs OMS_BUS=kafka)."""
    _run_process("serve", service)


@app.command()
def work(service: Annotated[str, typer.Argument(help="for example order")]) -> None:
    """Hear, publish, project and fire timers for one service, until stopped (OMS_BUS=kafka)."""
    _run_process("work", service)


@app.command()
def gateway() -> None:
    """Answer HTTP in this process by calling the services (OMS_SERVICE_ADDRESSES)."""
    _run_process("gateway", "gateway")


def _run_process(kind: str, service: str) -> None:
    process = importlib.import_module("services.kernel.main.process")
    edge = EdgeSettings()
    log_json(f"{service}.{kind}", edge.log_level)
    # Whoever wonders why it hangs may ask, as `oms stack` does before it kills.
    faulthandler.register(signal.SIGUSR1, sys.__stderr__ or sys.stderr, all_threads=True)
    TELEMETRY.start(service, edge.otlp_endpoint, edge.otlp_every_s)

    async def serving() -> None:
        stop = asyncio.Event()
        for name in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(name, stop.set)
        if kind == "gateway":
            await process.serve_gateway(stop, say)
        elif kind == "serve":
            await process.serve_service(service, stop, say)
        else:
            await process.work_service(service, stop, say)

    try:
        run(serving())
    except process.Misconfigured as error:
        errors.print(f"oms: {error}", markup=False)
        raise typer.Exit(EXIT_USAGE) from None
    finally:
        TELEMETRY.stop()
