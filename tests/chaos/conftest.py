"""Fixtures, and nothing else."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.embedded import Embedded
from tests.support.load import open_shop


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Embedded]:
    """A running system with a chain to order from; tests may kill it and start it again."""
    running = Embedded(tmp_path_factory.mktemp("oms") / "home")
    await running.start()
    try:
        async with running.api(retries=10) as api:
            await open_shop(api)
        yield running
    finally:
        await running.stop()
