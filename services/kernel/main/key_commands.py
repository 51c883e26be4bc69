"""``oms keys``: who may call, for which tenant, and what for."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from services.kernel.adapters.api_keys import PostgresApiKeys
from services.kernel.adapters.database import Database, Limits
from services.kernel.application.clock import SystemClock
from services.kernel.domain.errors import Invalid
from services.kernel.main.console import (
    EXIT_FAILED,
    EXIT_USAGE,
    AsJson,
    complain,
    errors,
    print_line,
    print_rows,
)
from services.kernel.main.embedded import ALL_SCOPES, api_keys, open_databases
from services.kernel.settings import EdgeSettings, KernelSettings

app = typer.Typer(no_args_is_help=True, help="API keys of tenants and their platforms.")

_MOST_DAYS = 3_650
_MOST_SHOWN = 1_000

Tenant = Annotated[str, typer.Argument(help="whose data the key opens")]


@app.command("issue")
def issue(
    tenant: Tenant,
    scope: Annotated[
        list[str],
        typer.Option(
            "--scope", help="what it allows, once for each: docs/operations.md lists them"
        ),
    ],
    days: Annotated[
        int | None, typer.Option(min=1, max=_MOST_DAYS, help="until it expires; else never")
    ] = None,
) -> None:
    """Make a key and print it, this once: only its hash is kept. Two may live side by side."""
    if unknown := sorted(set(scope) - set(ALL_SCOPES)):
        complain(f"no scope {unknown[0]!r}; there are {', '.join(sorted(ALL_SCOPES))}")
        raise typer.Exit(EXIT_USAGE)

    async def work(keys: PostgresApiKeys, clock: SystemClock) -> str:
        expires_at = clock.now() + timedelta(days=days) if days else None
        issued = await keys.issue(tenant, scope, expires_at)
        errors.print(f"key {issued.key.key_id} of {tenant}; keep it now, it is shown this once")
        return issued.token

    print_line(_with_keys(work))


@app.command("list")
def list_(tenant: Tenant, as_json: AsJson = False) -> None:
    """Show the keys of a tenant, without their secrets."""

    def told(at: datetime | None) -> str | None:
        if at is None:
            return None
        # Eighty columns are all that many have; the key's id must stay in one piece.
        return at.isoformat(timespec="seconds") if as_json else f"{at.astimezone(UTC):%Y-%m-%d}"

    async def work(keys: PostgresApiKeys, _: SystemClock) -> list[dict[str, Any]]:
        return [
            {
                "key_id": one.key.key_id,
                "scopes": " ".join(sorted(one.key.scopes)),
                "created_at": told(one.created_at),
                "expires_at": told(one.expires_at),
                "revoked_at": told(one.revoked_at),
            }
            for one in await keys.of_tenant(tenant, _MOST_SHOWN)
        ]

    print_rows(_with_keys(work), as_json=as_json, title=f"keys of {tenant}")


@app.command("revoke")
def revoke(tenant: Tenant, key_id: Annotated[str, typer.Argument(help="as listed")]) -> None:
    """Withdraw a key for good; running processes refuse it within a minute."""

    async def work(keys: PostgresApiKeys, _: SystemClock) -> bool:
        return await keys.revoke(tenant, key_id)

    if not _with_keys(work):
        complain(f"{tenant} has no key {key_id} that is not revoked")
        raise typer.Exit(EXIT_FAILED)
    errors.print(f"key {key_id} of {tenant} is revoked")


def key_to_call_with(settings: KernelSettings) -> str:
    """Return the API key of whoever typed the command: his own, else the demo's."""
    if own := settings.api_key.get_secret_value():
        return own
    file = settings.data_home / "demo.key"
    if not file.exists():
        complain(
            f"nothing has run here yet ({file} is missing): start it with `make run` or `oms up`,"
            " or set OMS_API_KEY to a key (`oms keys issue` makes one)"
        )
        raise typer.Exit(EXIT_USAGE)
    return file.read_text().strip()


def _with_keys[T](use: Callable[[PostgresApiKeys, SystemClock], Awaitable[T]]) -> T:
    async def work() -> T:
        settings, edge, clock = KernelSettings(), EdgeSettings(), SystemClock()
        async with open_databases(settings, lambda _: None) as opened:
            limits = Limits(1, settings.acquire_s, settings.statement_s)
            database = await Database.open(opened.app_dsns["access"], limits)
            try:
                return await use(api_keys(database.sql, edge, opened.secrets), clock)
            finally:
                await database.close()

    try:
        return asyncio.run(work())
    except Invalid as error:
        complain(error)
        raise typer.Exit(EXIT_USAGE) from None
