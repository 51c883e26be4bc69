"""``oms stock``: the ledger's books, for those who keep and those who check them."""

import asyncio
import importlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from services.kernel.adapters.database import Database
from services.kernel.application.clock import SystemClock
from services.kernel.domain.errors import NotFound
from services.kernel.main import KernelSettings, inspection
from services.kernel.main.console import EXIT_USAGE, bar, complain, errors, print_line

app = typer.Typer(no_args_is_help=True, help="The stock ledger's books.")
proof = typer.Typer(no_args_is_help=True, help="Proof that nothing in the log was changed.")
app.add_typer(proof, name="proof")

_SERVICE = "stock_ledger"
Tenant = Annotated[str, typer.Option(help="whose entries may be read")]


@proof.command("seal")
def seal(
    today: Annotated[
        bool, typer.Option("--today", help="seal what today has so far as well")
    ] = False,
) -> None:
    """Seal every day that is over; the running system does so by itself, some minutes late."""
    seals: Any = importlib.import_module("services.stock_ledger.adapters.seals")

    async def work(database: Database) -> Any:
        now = SystemClock().now()
        until = now if today else seals.days_over(now)
        more = True
        while more:
            async with database.connection() as connection, connection.transaction():
                more = await seals.seal_page(connection, until)
        return await seals.seals(database.sql)

    known = _on_the_ledger(work)
    for each in known[-1:]:
        errors.print(f"{each.size} rows are sealed, the last of {each.day}: {each.root.hex()}")
    if not known:
        errors.print("no day is over yet: --today seals what there is")


@proof.command("log")
def log(folder: Annotated[Path, typer.Argument()], tenant: Tenant = "demo") -> None:
    """Write the sealed log, its seals and their proofs into FOLDER, for the verifier in docs/proof.

    Keep a copy of seals.jsonl elsewhere: against it, whatever is changed later shows.
    """
    files: Any = importlib.import_module("services.stock_ledger.adapters.proof_files")
    folder.mkdir(parents=True, exist_ok=True)
    with bar("writing the log") as progress:
        count = _on_the_ledger(lambda db: files.write_log(db.sql, folder, tenant, progress))
    errors.print(f"{count} rows are in {folder}")


@proof.command("entry")
def entry(
    site_id: str,
    sku: str,
    version: Annotated[int, typer.Argument(min=1)],
    tenant: Tenant = "demo",
) -> None:
    """Print the proof that one entry of a product at a site is part of the sealed log."""
    files: Any = importlib.import_module("services.stock_ledger.adapters.proof_files")
    found = _on_the_ledger(lambda db: files.entry_proof(db.sql, tenant, site_id, sku, version))
    print_line(json.dumps(found, ensure_ascii=False))


def _on_the_ledger[T](use: Callable[[Database], Awaitable[T]]) -> T:
    async def work() -> T:
        async with inspection.inspecting(KernelSettings(), lambda _: None) as opened:
            return await use(opened.hosts[_SERVICE].database)

    try:
        return asyncio.run(work())
    except NotFound as error:
        complain(error)
        raise typer.Exit(EXIT_USAGE) from None
