"""Bringing the tables of one database up to date."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import asyncpg

from services.kernel.adapters.database import APPLICATION_ROLE

_MIGRATION_LOCK = 7235000
_KERNEL_MIGRATIONS = Path(__file__).parent.parent / "migrations"
_FILE_NAME = re.compile(r"\d{4}_[a-z0-9_]+\.sql")

# What every service grants to the role it runs under. Events may be added and read, never changed.
_GRANTS = f"""
GRANT USAGE ON SCHEMA public TO {APPLICATION_ROLE};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {APPLICATION_ROLE};
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {APPLICATION_ROLE};
REVOKE ALL ON migrations FROM {APPLICATION_ROLE};
GRANT SELECT ON migrations TO {APPLICATION_ROLE};
"""
_EVENTS_GRANT = f"""
REVOKE UPDATE, DELETE, TRUNCATE ON events FROM {APPLICATION_ROLE};
"""


async def migrate(dsn: str, folders: Sequence[Path], *, event_store: bool = True) -> list[str]:
    """Apply the migrations that lack, each in one transaction, oldest first; return their names.

    Args:
        dsn: The service's database, as its owner.
        folders: Where the service's ``0001_….sql`` files lie.
        event_store: Whether the kernel's own tables belong here.

    Raises:
        MigrationError: A file that was applied has changed since, or one is badly named.
    """
    sources = [("kernel", _KERNEL_MIGRATIONS)] if event_store else []
    sources += [("service", folder) for folder in folders if folder.is_dir()]
    applied: list[str] = []
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        await connection.execute("SET lock_timeout = '10s'")
        await connection.execute("SELECT pg_advisory_lock($1)", _MIGRATION_LOCK)
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations (name text PRIMARY KEY, digest text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT clock_timestamp())"
        )
        known = {
            row["name"]: row["digest"]
            for row in await connection.fetch("SELECT name, digest FROM migrations")
        }
        for source, folder in sources:
            for file in sorted(folder.glob("*.sql")):
                if _FILE_NAME.fullmatch(file.name) is None:
                    raise MigrationError(f"{file.name}: name it 0001_what_it_does.sql")
                name, text = f"{source}/{file.name}", file.read_text()
                digest = hashlib.sha256(text.encode()).hexdigest()
                if known.get(name, digest) != digest:
                    raise MigrationError(
                        f"{name} was applied and has changed since: add a new file instead"
                    )
                if name in known:
                    continue
                async with connection.transaction():
                    await connection.execute(text)
                    await connection.execute(
                        "INSERT INTO migrations (name, digest) VALUES ($1, $2)", name, digest
                    )
                applied.append(name)
        if applied:
            await connection.execute(_GRANTS)
            if event_store:
                await connection.execute(_EVENTS_GRANT)
    finally:
        await connection.close()
    return applied


class MigrationError(RuntimeError):
    """The tables cannot be brought up to date."""
