"""``oms import`` and ``oms stock import``: files of the catalog and of the stock feeds."""

import importlib
from pathlib import Path
from typing import Annotated, Any

import typer

from services.kernel.main import KernelSettings, key_commands, stock_commands
from services.kernel.main.collector import run
from services.kernel.main.console import EXIT_FAILED, EXIT_USAGE, bar, errors

app = typer.Typer()


@app.command("import")
def import_(
    what: Annotated[str, typer.Argument(help="products or sites")],
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
    quarantine: Annotated[
        Path | None, typer.Option(help="where bad rows go; default: beside the file")
    ] = None,
) -> None:
    """Bring a CSV or JSONL file of products or sites into the catalog of the running system."""
    if what not in ("products", "sites"):
        errors.print(f"oms: {what!r} cannot be imported: products or sites can")
        raise typer.Exit(EXIT_USAGE)
    settings = KernelSettings()
    key = key_commands.key_to_call_with(settings)
    bad_rows = quarantine or file.with_suffix(".quarantine.csv")
    importing = importlib.import_module("services.catalog.entrypoints.file_import")

    async def work() -> Any:
        async with importing.catalog(f"{settings.host}:{settings.grpc_port}") as stub:
            with bar(f"importing {file.name}") as progress:
                return await importing.import_file(
                    file,
                    what,
                    stub,
                    quarantine=bad_rows,
                    metadata=(("authorization", f"Bearer {key}"),),
                    progress=lambda done: progress(done, done),
                )

    try:
        report = run(work())
    except importing.WrongFile as error:
        errors.print(f"oms: {file}: {error}")
        raise typer.Exit(EXIT_USAGE) from None
    errors.print(
        f"{report.rows} rows: {report.changed} changed, {report.unchanged} known already,"
        f" {report.quarantined} in quarantine{f' ({bad_rows})' if report.quarantined else ''}"
    )
    if report.quarantined:
        raise typer.Exit(EXIT_FAILED)


@stock_commands.app.command("import")
def stock_import(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
    kind: Annotated[str, typer.Option(help="for example till_sale; see docs/feed-files.md")],
    quarantine: Annotated[
        Path | None, typer.Option(help="where bad rows go; default: beside the file")
    ] = None,
    codes: Annotated[
        Path | None,
        typer.Option(exists=True, help="CSV of code,id: GLN to site and GTIN to sku, for EDIFACT"),
    ] = None,
    at: Annotated[str, typer.Option(help="when rows happened that do not say, RFC 3339")] = "",
    available: Annotated[bool, typer.Option(help="an image counts what may be sold")] = False,
    picked_included: Annotated[
        bool, typer.Option(help="an image or count includes what is in totes")
    ] = True,
    zone: Annotated[
        str, typer.Option(help="of EDIFACT times without one, for example Europe/Paris")
    ] = "UTC",
    former_zone: Annotated[
        list[str] | None,
        typer.Option(help="in which they were read before, so that what comes again is known"),
    ] = None,
) -> None:
    """Bring a CSV, Parquet or EDIFACT file of a stock feed into the running system."""
    settings = KernelSettings()
    key = key_commands.key_to_call_with(settings)
    importing = importlib.import_module("services.stock_ledger.entrypoints.feed_files.command")

    async def work() -> str:
        with bar(f"importing {file.name}") as progress:
            told: str = await importing.run(
                importing.Asked(
                    *(file, kind, quarantine, codes, at, available, picked_included),
                    *(zone, tuple(former_zone or ())),
                ),
                f"{settings.host}:{settings.grpc_port}",
                key,
                lambda done, of: progress(done, of or done),
            )
            return told

    try:
        errors.print(run(work()))
    except importing.WrongFile as error:
        errors.print(f"oms: {file}: {error}", markup=False)
        raise typer.Exit(EXIT_USAGE) from None
    except importing.Stopped as error:
        errors.print(f"oms: {file}: {error}", markup=False)
        raise typer.Exit(EXIT_FAILED) from None
    except importing.PutAside as error:
        errors.print(str(error), markup=False)
        raise typer.Exit(EXIT_FAILED) from None
