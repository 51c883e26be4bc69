"""Fixtures, and nothing else."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.embedded import Embedded, embedded


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Embedded]:
    """One running system for all of these tests; each brings its own sites and products."""
    async with embedded(tmp_path_factory.mktemp("oms") / "home") as running:
        yield running
