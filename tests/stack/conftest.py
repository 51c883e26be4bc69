"""Fixtures, and nothing else."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.on_stack import OnStack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OnStack]:
    """One running stack for all of these tests, with three workers for the ledger."""
    running = OnStack(tmp_path_factory.mktemp("stack") / "home", workers="stock_ledger=3")
    await running.start()
    try:
        yield running
    finally:
        await running.stop()
