"""Databases are made ready by whoever comes first, and by several at once."""

import asyncio
import secrets

import pytest

from services.kernel.adapters.database import ensure_database
from tests.support.stack import APP_PASSWORD

pytestmark = pytest.mark.stack


async def test_commands_that_begin_side_by_side_do_not_trip_over_the_role(
    postgres_dsn: str,
) -> None:
    name = f"t{secrets.token_hex(6)}"
    for _ in range(3):
        made = await asyncio.gather(
            *(ensure_database(postgres_dsn, name, APP_PASSWORD) for _ in range(8))
        )
        assert len(set(made)) == 1
