"""One service's database: its pool, its tables, and the role that may only append."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from services.kernel.application.runner import Overloaded

APPLICATION_ROLE = "oms_app"
_APPEND_LOCK = 7235001  # as in the migrations
_ROLE_LOCK = 7235004
_PASSWORD = re.compile(r"[A-Za-z0-9_-]{16,128}")
# Part of a statement's limit within which a server that is well answers.
_SWIFT = 0.2


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on the database, for every service alike.

    Attributes:
        pool_size: Connections per service.
        acquire_s: Longest wait for a connection.
        statement_s: Longest statement.
    """

    pool_size: int = 6
    acquire_s: float = 2.0
    statement_s: float = 5.0


class TookTooLong(Overloaded):
    """A statement ran into its limit: the server is overrun, or too much was asked of it."""


class Database:
    """A pool whose every wait has a limit.

    asyncpg's own ``acquire`` waits for ever by default, so nothing else may call it.
    """

    def __init__(self, pool: asyncpg.Pool, limits: Limits) -> None:
        self._pool = pool
        self.limits = limits

    @classmethod
    async def open(cls, dsn: str, limits: Limits, *, is_lazy: bool = False) -> "Database":
        """Connect as the application role.

        Args:
            dsn: With the role's login.
            limits: Bounds.
            is_lazy: Commits return before they are on disk. Only for work that follows from
                what is on disk already, and that is done again after a power cut.

        Raises:
            Overloaded: The server cannot be reached.
        """
        try:
            pool = await asyncpg.create_pool(
                dsn,
                min_size=1,
                max_size=limits.pool_size,
                timeout=limits.acquire_s,
                command_timeout=limits.statement_s,
                max_inactive_connection_lifetime=0,
                reset=leave_session,
                server_settings={
                    "jit": "off",
                    "synchronous_commit": "off" if is_lazy else "on",
                    "statement_timeout": str(int(limits.statement_s * 1000)),
                    "idle_in_transaction_session_timeout": str(int(limits.statement_s * 2000)),
                },
            )
        except (OSError, asyncpg.PostgresError) as error:
            raise Overloaded(f"database unreachable: {error}", 1000) from error
        return cls(pool, limits)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["asyncpg.pool.PoolConnectionProxy"]:
        """Lend a connection.

        Raises:
            TookTooLong: A statement of the block ran into its limit.
            Overloaded: None was free within the limit, the server is away, or it went away during
                the block; whether the last statement was carried out is then unknown.
        """
        try:
            connection = await self._pool.acquire(timeout=self.limits.acquire_s)
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise Overloaded(f"no database connection: {error!r}", 500) from error
        try:
            try:
                yield connection
            finally:
                await self._pool.release(connection, timeout=self.limits.acquire_s)
        except Exception as error:
            if isinstance(error, Overloaded) or not is_outage(error):
                raise
            if took_too_long(error):
                raise TookTooLong(
                    f"a statement took longer than {self.limits.statement_s:g} s: if that cannot be"
                    f" helped, allow more by OMS_STATEMENT_S ({error!r})",
                    500,
                ) from error
            raise Overloaded(f"the database went away: {error!r}", 500) from error

    async def close(self) -> None:
        """Close every connection, by force when they do not come back in time."""
        try:
            await asyncio.wait_for(self._pool.close(), self.limits.statement_s)
        except TimeoutError:
            self._pool.terminate()

    async def overran(self, error: BaseException) -> bool:
        """Tell whether the database would have been there, had less been asked of it."""
        return took_too_long(error) and await self.is_swift()

    async def is_swift(self) -> bool:
        """Tell whether who wants to write to the log need not wait long for it.

        Then what took too long did so by itself.
        """
        try:
            async with asyncio.timeout(self.limits.statement_s * _SWIFT):
                await self.sql.execute(
                    "SELECT pg_advisory_xact_lock($1), pg_current_xact_id()", _APPEND_LOCK
                )
        except Exception as error:
            if not is_outage(error):
                raise
            return False
        return True

    @property
    def sql(self) -> "PooledSql":
        """The tables, outside of any transaction."""
        return PooledSql(self)


async def leave_session(_: Any) -> None:
    """Take the place of asyncpg's reset, a round trip after every statement.

    Nothing here changes a session: no setting, no cursor, no lock, no listening. An open
    transaction is rolled back all the same.
    """


class PooledSql:
    """``Sql`` over a pool: each statement on a connection of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def execute(self, query: str, *args: Any) -> str:
        async with self._database.connection() as connection:
            return str(await connection.execute(query, *args))

    async def executemany(self, query: str, args: Iterable[Sequence[Any]]) -> None:
        async with self._database.connection() as connection:
            await connection.executemany(query, args)

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        async with self._database.connection() as connection:
            return list(await connection.fetch(query, *args))

    async def fetchrow(self, query: str, *args: Any) -> Any:
        async with self._database.connection() as connection:
            return await connection.fetchrow(query, *args)

    async def fetchval(self, query: str, *args: Any) -> Any:
        async with self._database.connection() as connection:
            return await connection.fetchval(query, *args)


def is_outage(error: BaseException) -> bool:
    """Tell a database that is away, full or overrun from a fault in what was asked of it."""
    return isinstance(
        error,
        Overloaded
        | OSError
        | TimeoutError
        | asyncpg.InterfaceError
        | asyncpg.InternalClientError
        | asyncpg.PostgresConnectionError
        | asyncpg.InsufficientResourcesError
        | asyncpg.OperatorInterventionError
        | asyncpg.TransactionRollbackError
        | asyncpg.LockNotAvailableError
        | asyncpg.ObjectNotInPrerequisiteStateError
        | asyncpg.PostgresSystemError,
    )


def took_too_long(error: BaseException) -> bool:
    """Tell an outage that may be the fault of what was asked: a statement that took too long."""
    return isinstance(error, TookTooLong | TimeoutError | asyncpg.QueryCanceledError)


async def ensure_database(admin_dsn: str, name: str, app_password: str) -> str:
    """Create database ``name`` and the application role where they lack; return its DSN.

    Args:
        admin_dsn: A role that may create databases and roles.
        name: Of the database.
        app_password: What the application role logs in with, letters, digits, ``-`` and ``_``.

    The database sorts text by bytes: stream ids are looked up, never shown in order.
    """
    connection = await asyncpg.connect(admin_dsn, timeout=10)
    try:
        # Two who alter one role at once are refused by the server, and commands run side by side.
        await connection.execute("SET lock_timeout = '10s'")
        await connection.execute("SELECT pg_advisory_lock($1)", _ROLE_LOCK)
        await connection.execute(
            f"DO $$ BEGIN CREATE ROLE {APPLICATION_ROLE} LOGIN; "
            "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        )
        # A role's password cannot be a parameter of the statement.
        if _PASSWORD.fullmatch(app_password) is None:
            raise ValueError("the application role's password holds a character it must not hold")
        await connection.execute(f"ALTER ROLE {APPLICATION_ROLE} PASSWORD '{app_password}'")
        await connection.execute("SELECT pg_advisory_unlock($1)", _ROLE_LOCK)
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            with contextlib.suppress(asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
                await connection.execute(
                    f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'"
                )
    finally:
        await connection.close()
    return with_database(admin_dsn, name)


def with_database(dsn: str, name: str) -> str:
    """Return the DSN of another database on the same server."""
    parts = urlsplit(dsn)
    return urlunsplit(parts._replace(path=f"/{name}"))


def with_login(dsn: str, user: str, password: str) -> str:
    """Return the DSN of another role on the same server."""
    parts = urlsplit(dsn)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{place}"))


def with_application(dsn: str, name: str) -> str:
    """Return the same DSN, saying who connects; one that says so itself is left alone."""
    parts = urlsplit(dsn)
    said = dict(parse_qsl(parts.query, keep_blank_values=True))
    return urlunsplit(parts._replace(query=urlencode({"application_name": name} | said)))
