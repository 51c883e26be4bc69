"""The same promise on PostgreSQL, as the application role."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.kernel.adapters.api_keys import PostgresApiKeys
from services.kernel.adapters.database import Database, Limits
from services.kernel.application.authenticator import ApiKeys
from tests.support.api_keys_suite import ApiKeysSuite, MovableClock
from tests.support.stack import a_database

MIGRATIONS = Path("services/kernel/migrations_access")

pytestmark = pytest.mark.stack


class TestPostgresApiKeys(ApiKeysSuite):
    @pytest.fixture
    async def keys(self, clock: MovableClock, postgres_dsn: str) -> AsyncIterator[ApiKeys]:
        dsn = await a_database(postgres_dsn, MIGRATIONS, event_store=False)
        database = await Database.open(dsn, Limits())
        yield PostgresApiKeys(
            database.sql, pepper=b"0123456789abcdef", environment="test", clock=clock
        )
        await database.close()
