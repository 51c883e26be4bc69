"""``oms parked``: messages that could not be handled."""

import dataclasses
import json
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import typer

from services.kernel.main import KernelSettings, inspection
from services.kernel.main.collector import run
from services.kernel.main.console import (
    EXIT_USAGE,
    AsJson,
    complain,
    errors,
    print_line,
    print_rows,
)

app = typer.Typer(no_args_is_help=True, help="Messages that could not be handled.")


@app.command("list")
def parked_list(
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100, as_json: AsJson = False
) -> None:
    """List what is parked, with its reason."""
    rows = _inspect(lambda opened: inspection.parked_messages(opened, limit))
    print_rows([dataclasses.asdict(row) for row in rows], as_json=as_json, title="parked")


@app.command("show")
def parked_show(stream: Annotated[str, typer.Argument(help="as listed")]) -> None:
    """Print the parked messages of a stream as they were received, as JSON lines."""
    found = _inspect(lambda opened: inspection.parked_envelopes(opened, stream))
    _parked_at_all(len(found), stream)
    for envelope in found:
        row = dataclasses.asdict(envelope) | {"value": envelope.value.hex()}
        print_line(json.dumps(row, default=str))


@app.command("redrive")
def parked_redrive(
    stream: Annotated[str, typer.Argument(help="as listed, or `all`")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only say what would be tried")
    ] = False,
) -> None:
    """Ask the running services to try parked messages again, in their order."""
    if dry_run:
        rows = _inspect(lambda opened: inspection.parked_messages(opened, 10_000))
        count = sum(1 for row in rows if stream in ("all", row.stream))
        _parked_at_all(count, stream)
        errors.print(f"{count} messages would be tried again")
        return
    count = _inspect(lambda opened: inspection.redrive(opened, stream))
    _parked_at_all(count, stream)
    errors.print(f"{count} messages will be tried again within a second or two")


@app.command("drop")
def parked_drop(
    stream: Annotated[str, typer.Argument(help="as listed")],
    first: Annotated[
        bool, typer.Option("--first", help="only the message that the others wait behind")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Give up the parked messages of a stream for good; later ones are handled again."""
    what = "the first parked message" if first else "every parked message"
    if not yes:
        typer.confirm(f"give up {what} of {stream}?", abort=True)
    dropped = _inspect(lambda opened: inspection.drop(opened, stream, first_only=first))
    _parked_at_all(dropped, stream)
    errors.print(f"{dropped} messages dropped")


def _parked_at_all(count: int, stream: str) -> None:
    """End with the code of usage where a stream is named of which nothing is parked."""
    if not count and stream != "all":
        complain(f"nothing is parked of {stream!r}: see `oms parked list`")
        raise typer.Exit(EXIT_USAGE)


def _inspect[T](query: Callable[[inspection.Inspection], Coroutine[Any, Any, T]]) -> T:
    async def work() -> T:
        async with inspection.inspecting(KernelSettings(), lambda _: None) as opened:
            return await query(opened)

    return run(work())
