"""``oms``: the command line. Data goes to standard output, everything else to standard error."""

import gc
import os
import signal
import threading

# Nothing that is loaded is ever garbage: to look for it took an eighth of every start.
gc.disable()

# What follows takes a second to load. Whoever changes his mind meanwhile has begun nothing that
# would have to be ended, and wants no trace of where the loading was.
_IN_FRONT = threading.current_thread() is threading.main_thread()  # nobody else may set signals
_HANDLED = signal.signal(signal.SIGINT, signal.SIG_DFL) if _IN_FRONT else None

# PostgreSQL is started and stopped by forking, which gRPC remarks upon each time; it reads this
# when it is imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

import asyncio
import contextlib
import dataclasses
import importlib
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from services.kernel.adapters.bounded_logs import own_log
from services.kernel.adapters.json_lines import log_json
from services.kernel.adapters.telemetry import TELEMETRY
from services.kernel.domain.errors import NotFound
from services.kernel.main import (
    SERVICES,
    BusSettings,
    EdgeSettings,
    KernelSettings,
    analyst_commands,
    import_commands,
    inspection,
    key_commands,
    parked_commands,
    process_commands,
    stock_commands,
)
from services.kernel.main.buses import declare_feeds
from services.kernel.main.collector import calm_collector, run
from services.kernel.main.console import (
    EXIT_FAILED,
    EXIT_USAGE,
    AsJson,
    bar,
    complain,
    errors,
    print_line,
    print_rows,
    say,
    steps,
)
from services.kernel.main.embedded import (
    Embedded,
    open_databases,
    running,
)
from services.kernel.main.failures import sentence_of
from services.kernel.main.stack.commands import stack_app

calm_collector()
if _IN_FRONT:
    signal.signal(signal.SIGINT, _HANDLED)

_SEED = 20_260_101

app = typer.Typer(
    name="oms",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="So'OMS: an order management system for retail chains.",
)
app.add_typer(parked_commands.app, name="parked")
app.add_typer(analyst_commands.app)
app.add_typer(import_commands.app)
app.add_typer(process_commands.app)
app.add_typer(stack_app, name="stack")
app.add_typer(stock_commands.app, name="stock")
app.add_typer(key_commands.app, name="keys")

DEMO_DONE = "demo.done"


def main() -> None:
    """Run the command line; every failure that is not a bug ends in one sentence and a code."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(EXIT_FAILED)
    except Exception as error:
        sentence = sentence_of(error)
        if sentence is None:
            raise
        complain(sentence)
        sys.exit(EXIT_FAILED)


@app.command()
def up(
    demo_orders: Annotated[
        int, typer.Option(help="on the first start, load the demo chain and carry so many orders")
    ] = 0,
) -> None:
    """Run every service, the gateway and PostgreSQL in this process group, until stopped."""
    settings = KernelSettings()
    settings.data_home.mkdir(parents=True, exist_ok=True)
    log_json("oms", EdgeSettings().log_level, own_log(settings.data_home / "oms.log"))
    edge = EdgeSettings()
    TELEMETRY.start("so-oms", edge.otlp_endpoint, edge.otlp_every_s)
    try:
        run(_up(settings, demo_orders))
    finally:
        TELEMETRY.stop()


async def _up(settings: KernelSettings, demo_orders: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    async with running(settings, say) as embedded:
        calm_collector()
        key = await embedded.demo_key(settings.data_home)
        done = settings.data_home / DEMO_DONE
        if demo_orders and not done.exists():
            demo = asyncio.create_task(_demo(embedded.addresses.http, key, _SEED, demo_orders))
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait([demo, stopped], return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            if stop.is_set():
                demo.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await demo
            else:
                await demo
                done.touch()
        _announce(embedded, settings.data_home)
        await stop.wait()
        errors.print("stopping: no new work, what has begun is finished")


def _announce(embedded: Embedded, data_home: Path) -> None:
    at = embedded.addresses
    errors.print(
        f"""
[bold]So'OMS is up.[/bold]
  pages      {at.http}/
  HTTP API   {at.http}/v1   (to read and try at {at.http}/docs)
  gRPC       {at.grpc}   (reflection is on)
  health     {at.health}/ready   metrics {at.health}/metrics
  API key    in {data_home}/demo.key
  log        in {data_home}/oms.log
Ctrl-C stops it; what was acknowledged is on disk."""
    )


@app.command()
def demo(
    orders: Annotated[int, typer.Option(min=1, max=100_000, help="how many orders")] = 200,
    seed: Annotated[int, typer.Option(help="the same seed, the same chain and orders")] = _SEED,
    as_json: AsJson = False,
) -> None:
    """Load the demo chain into the running system and carry orders from basket to handover.

    The first orders of a seed are always the same: those of an earlier run are not placed again,
    but carried on where they stopped. More of them, or another seed, place new ones.
    """
    settings = KernelSettings()
    key = key_commands.key_to_call_with(settings)
    address = f"http://{settings.host}:{settings.http_port}"
    if not run(_demo(address, key, seed, orders, as_json=as_json)):
        raise typer.Exit(EXIT_FAILED)


async def _demo(address: str, key: str, seed: int, orders: int, *, as_json: bool = False) -> bool:
    """Load, carry and tell; return whether every order came to its end."""
    # The demo is a client like any other: it is found by name, and speaks HTTP only.
    client = importlib.import_module("services.demo.main")
    with bar("loading the demo chain") as progress:
        await client.load_chain(address, key, seed, lambda _, done, all_: progress(done, all_))
    with bar(f"carrying {orders} orders to their customers") as progress:
        summary = await client.run_orders(
            address, key, seed, orders, lambda _, done, all_: progress(done, all_)
        )
    if as_json:
        print_line(json.dumps(client.as_json(summary)))
    else:
        errors.print(client.render(summary))
    return bool(summary.is_clean)


@app.command()
def migrate() -> None:
    """Create the databases and topics that lack and bring every table up to date."""

    async def work() -> None:
        async with open_databases(KernelSettings(), say) as databases:
            for name in databases.app_dsns:
                errors.print(f"{name}: up to date")
        for topic in await declare_feeds(BusSettings(), SERVICES):
            errors.print(f"{topic}: created")

    run(work())


@app.command()
def rebuild(
    read_model: Annotated[str, typer.Argument(help="for example order.order_summary")],
) -> None:
    """Fill a read model anew beside the live one, then switch to it."""

    async def work() -> None:
        async with inspection.inspecting(KernelSettings(), say) as opened:
            with bar(f"rebuilding {read_model}") as progress:
                position = await inspection.rebuild_read_model(opened, read_model, progress)
            errors.print(f"{read_model} is rebuilt up to position {position}")

    try:
        run(work())
    except NotFound as error:
        errors.print(f"oms: {error}")
        raise typer.Exit(EXIT_USAGE) from None


@app.command()
def verify(
    as_json: AsJson = False,
    stock: Annotated[bool, typer.Option("--stock", help="the stock ledger only")] = False,
) -> None:
    """Check the invariants on everything that is stored; exit code 1 when one is broken."""
    findings: list[inspection.Finding] = []

    async def work() -> None:
        settings = KernelSettings()
        async with inspection.inspecting(settings, say) as opened:
            with steps("verifying") as progress:
                checks = inspection.verify(
                    opened,
                    progress,
                    ("stock_ledger",) if stock else SERVICES,
                    settings.heard_within_s,
                )
                findings.extend([finding async for finding in checks])

    run(work())
    broken = [finding for finding in findings if finding.violations]
    if as_json:
        print_rows([dataclasses.asdict(finding) for finding in findings], as_json=True, title="")
    else:
        for finding in findings:
            mark = "[red]broken[/red]" if finding.violations else "[green]holds[/green]"
            errors.print(f"{mark}  {finding.service}: {finding.invariant}", highlight=False)
            for sentence in (*finding.violations, *finding.remarks):
                errors.print(f"        {sentence}", markup=False, highlight=False)
        errors.print(f"{len(findings)} checks, {len(broken)} broken")
    if broken:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say what is reachable and what is misconfigured; exit code 1 when something is."""
    checks = importlib.import_module("services.kernel.main.doctor")
    rows = run(checks.examine(KernelSettings()))
    print_rows([dataclasses.asdict(row) for row in rows], as_json=as_json, title="doctor")
    if any(row.state == "broken" for row in rows):
        raise typer.Exit(EXIT_FAILED)


if __name__ == "__main__":
    main()
