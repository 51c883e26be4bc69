"""What commands print: data to standard output, everything else to standard error."""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Protocol

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

# A table whose columns would be narrower on average is not printed as one.
_LEAST_COLUMN = 12

EXIT_FAILED = 1
EXIT_USAGE = 2

errors = Console(stderr=True, soft_wrap=True)
AsJson = Annotated[bool, typer.Option("--json", help="print data as JSON lines")]


class ProgressBar(Protocol):
    """Told how far something is."""

    def __call__(self, done: int, total: int, name: str = ...) -> None: ...


def say(message: str) -> None:
    errors.print(f"[dim]·[/dim] {message}")


def complain(message: object) -> None:
    """Say why a command ends without having done its work."""
    errors.print(f"oms: {message}", markup=False, highlight=False)


@contextlib.contextmanager
def bar(title: str) -> Iterator[ProgressBar]:
    """Show progress on a terminal; elsewhere say once what is being done."""
    if not errors.is_terminal:
        say(title)
    shown = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=errors, disable=not errors.is_terminal,
    )  # fmt: skip
    with shown:
        task = shown.add_task(title, total=None)

        def at(done: int, total: int, name: str = title) -> None:
            shown.update(task, completed=done, total=total, description=name)

        yield at


@contextlib.contextmanager
def steps(title: str) -> Iterator[Callable[[str, int, int], None]]:
    """Show progress through named steps on a terminal; elsewhere name each as it begins."""
    begun: set[str] = set()
    with bar(title) as progress:

        def at(name: str, done: int, total: int) -> None:
            if name not in begun and not errors.is_terminal:
                say(f"{title} {name}")
            begun.add(name)
            progress(done, total, f"{title} {name}")

        yield at


def print_rows(rows: Sequence[Mapping[str, Any]], *, as_json: bool, title: str) -> None:
    if as_json:
        for row in rows:
            print_line(json.dumps(row, default=str))
        return
    if not rows:
        errors.print(f"{title}: none")
        return
    console = Console()
    if console.width < _LEAST_COLUMN * len(rows[0]):
        _print_blocks(rows, console, title)
        return
    # What is copied from here into the next command stays in one piece.
    table = Table(
        *(
            Column(name, overflow="fold", no_wrap=name == "name" or name.endswith("_id"))
            for name in rows[0]
        ),
        title=title,
    )
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    console.print(table)


def _print_blocks(rows: Sequence[Mapping[str, Any]], console: Console, title: str) -> None:
    """Print a line per field: in columns this narrow no word would stay whole."""
    widest = max(map(len, rows[0]))
    for number, row in enumerate(rows, start=1):
        lines = [f"{title} {number} of {len(rows)}"]
        lines += [
            f"  {name:<{widest}}  {value}" for name, value in row.items() if value not in (None, "")
        ]
        console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def print_line(line: str) -> None:
    """Print a line that a reader behind a pipe sees at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def leave_pipe() -> None:
    """End quietly when whoever reads has gone, as `head` does."""
    # Python would try to flush what nobody will read.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
