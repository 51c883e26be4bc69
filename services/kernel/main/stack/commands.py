"""``oms stack up|down|status|logs|hold|release``: for a person, and with ``--json`` for a script.

Exit codes: 0 done, 1 it failed or something of the stack is not ready, 2 not understood.
"""

import asyncio
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from services.kernel.adapters.bounded_logs import grown, last_lines
from services.kernel.adapters.json_lines import log_json
from services.kernel.main.console import (
    EXIT_FAILED,
    EXIT_USAGE,
    AsJson,
    complain,
    errors,
    print_line,
    print_rows,
)
from services.kernel.main.stack import state as states
from services.kernel.main.stack.foundations import stop_left_postgres
from services.kernel.main.stack.keeper import keep
from services.kernel.main.stack.lag import lags
from services.kernel.main.stack.plan import WrongPlan, parse_copies
from services.kernel.main.stack.state import StackState, StateFile, clear_leftovers
from services.kernel.main.stack.watching import follow, last_words, watch_end
from services.kernel.settings import EdgeSettings, KernelSettings, StackSettings

_FOLLOW_S = 0.3

stack_app = typer.Typer(
    no_args_is_help=True, help="The whole system as processes on a Kafka broker."
)


@stack_app.command()
def up(
    workers: Annotated[
        str, typer.Option(help="several workers of a service: stock_ledger=3,order=2")
    ] = "",
    as_json: AsJson = False,  # noqa: FBT002 - an option
) -> None:
    """Start everything in the background; return when all of it is ready."""
    settings = KernelSettings()
    file = StateFile(settings.data_home)
    before = file.read()
    if before is not None and before.is_kept():
        complain(
            f"the stack runs already (keeper {before.pid}, {before.phase}): see"
            " `oms stack status`, or stop it by `oms stack down`"
        )
        raise typer.Exit(EXIT_FAILED)
    try:
        parse_copies(workers or StackSettings().workers)
    except WrongPlan as error:
        complain(error)
        raise typer.Exit(EXIT_USAGE) from None
    for name in clear_leftovers(file):
        errors.print(f"· {name} ran on without its keeper: stopped", markup=False)
    file.forget()
    log = file.log_of("keeper")
    said_before = log.stat().st_size if log.exists() else 0
    keeper = _start_keeper(file, workers)
    try:
        state = follow(file, keeper)
    except KeyboardInterrupt:
        errors.print(
            "\nit goes on starting in the background: see `oms stack status`, or stop it by"
            " `oms stack down`",
            highlight=False,
        )
        raise
    if as_json:
        _print_json(state)
    if state.phase != states.UP:
        complain(f"the stack did not start: {state.problem or last_words(log, said_before)}")
        raise typer.Exit(EXIT_FAILED)
    if not as_json:
        gateway = state.processes["gateway"]
        errors.print(
            f"\nSo'OMS is up, {len(state.processes)} processes.\n"
            f"  HTTP     {gateway.http}/   API key in {settings.data_home}/demo.key\n"
            f"  broker   {state.broker}\n"
            f"  more     oms stack status, oms stack logs NAME, oms stack down",
            highlight=False,
        )


@stack_app.command()
def down(as_json: AsJson = False) -> None:  # noqa: FBT002 - an option
    """Stop everything, doors first; what has begun is finished."""
    file = StateFile(KernelSettings().data_home)
    state = file.read()
    if state is None or not state.is_kept():
        left = clear_leftovers(file) + asyncio.run(stop_left_postgres(state, file))
        for name in left:
            errors.print(f"· {name} ran on without its keeper: stopped", markup=False)
        if not left:
            errors.print("nothing runs")
        return
    os.kill(state.pid, signal.SIGTERM)
    state, ended = watch_end(file, state)
    if as_json:
        _print_json(state)
    killed = [p.name for p in state.processes.values() if p.detail == "had to be killed"]
    if not ended or killed or state.phase != states.DOWN:
        complain(f"not an orderly end: {', '.join(killed) or state.problem or state.phase}")
        raise typer.Exit(EXIT_FAILED)


@stack_app.command()
def status(as_json: AsJson = False) -> None:  # noqa: FBT002 - an option
    """Say what runs: pids, addresses, health, lag; exit code 1 unless all of it is ready."""
    state = StateFile(KernelSettings().data_home).read()
    if state is None:
        errors.print("nothing has run here yet: `oms stack up` starts it")
        raise typer.Exit(EXIT_FAILED)
    if not state.is_kept():
        for process in state.processes.values():
            process.state = "orphaned" if process.is_alive() else states.DOWN
    behind = asyncio.run(lags(state))
    rows: list[dict[str, Any]] = [
        {
            "name": p.name,
            "state": p.state,
            "pid": p.pid if p.is_alive() else None,
            "at": p.http or p.grpc or (state.broker if p.kind == "broker" else ""),
            "health": p.health,
            "restarts": p.restarts,
            "lag": behind.get(p.name),
            "detail": p.detail,
        }
        for p in state.processes.values()
    ]
    phase = state.phase if state.is_kept() or state.phase == states.FAILED else states.DOWN
    if not as_json:  # eighty columns are all that many have
        for row in rows:
            del row["health"]
            row["at"] = row["at"].removeprefix("http://")
            row["detail"] = row["detail"] or ""
    print_rows(rows, as_json=as_json, title=f"the stack is {phase}")
    if state.problem:
        complain(state.problem)
    for caveat in state.caveats:
        errors.print(caveat, markup=False)
    if phase != states.UP or any(row["state"] != states.READY for row in rows):
        raise typer.Exit(EXIT_FAILED)


@stack_app.command()
def logs(
    name: Annotated[
        str, typer.Argument(help="for example order.work; `keeper` is the stack's own")
    ],
    lines: Annotated[int, typer.Option("-n", "--lines", min=1, max=100_000)] = 50,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="go on as it grows")] = False,  # noqa: FBT002
) -> None:
    """Print the last lines of a process's log."""
    file = StateFile(KernelSettings().data_home)
    log = _log_of(file, name)
    if not log.exists():
        known = ", ".join(sorted(path.stem for path in (file.folder / "logs").glob("*.log")))
        complain(f"no log of {name!r}: there are {known or 'none: nothing has run here yet'}")
        raise typer.Exit(EXIT_USAGE)
    with log.open("rb") as growing:
        growing.seek(0, os.SEEK_END)
        typer.echo("".join(last_lines(log, lines)), nl=False)
        while follow:
            typer.echo(grown(growing), nl=False)
            time.sleep(_FOLLOW_S)


@stack_app.command()
def hold(names: Annotated[list[str], typer.Argument(help="for example order.work broker")]) -> None:
    """Stop some processes, and leave them stopped until they are released."""
    file, known = _running()
    if unknown := sorted(set(names) - known):
        complain(f"nothing like {', '.join(unknown)}: there are {', '.join(sorted(known))}")
        raise typer.Exit(EXIT_USAGE)
    file.hold(file.held() | frozenset(names))


@stack_app.command()
def release(
    names: Annotated[list[str] | None, typer.Argument(help="without any: all")] = None,
) -> None:
    """Start again what was held."""
    file, _ = _running()
    file.hold(file.held() - frozenset(names) if names else frozenset())


@stack_app.command("keep", hidden=True)
def keep_() -> None:
    """Be the keeper; `oms stack up` starts this in the background."""
    log_json("stack", EdgeSettings().log_level)

    async def run() -> bool:
        stop = asyncio.Event()
        for name in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(name, stop.set)
        return await keep(stop)

    if not asyncio.run(run()):
        raise typer.Exit(EXIT_FAILED)


def _running() -> tuple[StateFile, set[str]]:
    """Return the state's file and the names of what may be held."""
    file = StateFile(KernelSettings().data_home)
    state = file.read()
    if state is None or not state.is_kept():
        complain("the stack does not run: `oms stack up` starts it")
        raise typer.Exit(EXIT_FAILED)
    ours = (p for p in state.processes.values() if p.detail != "given" and p.kind != "postgres")
    return file, {process.name for process in ours}


def _start_keeper(file: StateFile, workers: str) -> "subprocess.Popen[bytes]":
    log = file.log_of("keeper")
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **({"OMS_STACK_WORKERS": workers} if workers else {})}
    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "services.kernel", "stack", "keep"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


def _log_of(file: StateFile, name: str) -> Path:
    return file.folder / "broker/broker.log" if name == "broker" else file.log_of(name)


def _print_json(state: StackState) -> None:
    for process in state.processes.values():
        print_line(json.dumps(dataclasses.asdict(process)))
