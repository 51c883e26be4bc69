"""Who owns a partition while connections come and go: one, and never nobody for long."""

import pytest

from services.kernel.adapters.database import Limits
from services.kernel.adapters.ownership import LockedOwnership
from services.kernel.application.runner import Overloaded
from tests.support.stack import a_database

pytestmark = pytest.mark.stack


async def test_one_owns_a_partition_until_it_gives_it_back(postgres_dsn: str) -> None:
    dsn = await a_database(postgres_dsn)
    one, two = LockedOwnership(dsn, Limits()), LockedOwnership(dsn, Limits())
    try:
        assert await one.owns([1, 2])
        assert await two.owns([3])
        assert not await two.owns([2, 3])
        assert not await one.owns([3])
    finally:
        one.close()
        two.close()


async def test_after_a_question_that_took_too_long_the_locks_are_had_again(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection that it forgot must not keep them from everybody."""
    dsn = await a_database(postgres_dsn)
    owner = LockedOwnership(dsn, Limits())
    try:
        assert await owner.owns([1])

        async def too_long(_: object) -> None:
            raise TimeoutError

        with monkeypatch.context() as patch:
            patch.setattr(owner, "_ask", too_long)
            with pytest.raises(Overloaded):
                await owner.owns([2])
        for _ in range(3):
            if await owner.owns([1, 2]):
                break
            owner._ask_at_s.clear()  # without waiting for a second
        assert await owner.owns([1, 2])
    finally:
        owner.close()
