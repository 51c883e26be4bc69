"""What is remembered of balances is what the table says, and nothing that it said before."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from services.kernel.domain.messages import Cause, Recorded
from services.stock_ledger.domain.entry import Buckets, EntryPosted
from services.stock_ledger.read_models.availability import Level
from services.stock_ledger.read_models.known_levels import RENEWED_AFTER_S, KnownLevels

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
CAUSE = Cause("acme", "c1", "x", "test", "")


class Table:
    """The read model's table: counts its queries, and may be slow or broken."""

    def __init__(self) -> None:
        self.free: dict[tuple[str, str, str], int] = {}
        self.queries: list[int] = []
        self.hold: asyncio.Event | None = None
        self.error: Exception | None = None
        self.at_s = 0.0

    async def fetch(self, _query: str, *columns: Any) -> list[Any]:
        places = list(zip(*columns, strict=True))
        self.queries.append(len(places))
        rows = [
            (*place, self.free[place], 0, 0, 0, self.free[place], 1, AT)
            for place in places
            if place in self.free
        ]
        if self.hold is not None:
            await self.hold.wait()
        if self.error is not None:
            raise self.error
        return rows


def known(table: Table, most: int = 100) -> KnownLevels[int]:
    sql: Any = table
    shown: Callable[[Level], int] = lambda level: level.free  # noqa: E731 - one expression
    return KnownLevels(lambda: sql, shown, lambda: table.at_s, most)


def entry(site_id: str, sku: str, free: int, tenant: str = "acme") -> Recorded[Any]:
    posted = EntryPosted("hold", (), Buckets(free=free), 1, AT, "", "", None)
    stream = f"{tenant}/stock-{site_id}|{sku}"
    return Recorded(stream, 2, 2, posted, "e2", AT, CAUSE)


async def test_a_second_question_needs_no_query_where_commits_are_told() -> None:
    table = Table()
    table.free["acme", "paris", "tea"] = 7
    levels = known(table)
    levels.begin()

    assert await levels.of_pairs("acme", [("paris", "tea"), ("lyon", "tea")]) == [7, 0]
    assert await levels.of_pairs("acme", [("lyon", "tea"), ("paris", "tea")]) == [0, 7]

    assert table.queries == [2]


async def test_a_process_that_does_not_fill_the_table_remembers_nothing() -> None:
    table = Table()
    levels = known(table)

    assert await levels.of_pairs("acme", [("paris", "tea")]) == [0]
    table.free["acme", "paris", "tea"] = 7

    assert await levels.of_pairs("acme", [("paris", "tea")]) == [7]


async def test_what_is_asked_at_the_same_time_is_one_query() -> None:
    table = Table()
    table.free["acme", "paris", "p3"] = 3
    levels = known(table)

    answers = await asyncio.gather(
        *(levels.of_pairs("acme", [("paris", f"p{n}"), ("paris", "p3")]) for n in range(50))
    )

    assert [answer[1] for answer in answers] == [3] * 50
    assert table.queries == [50]


async def test_a_commit_changes_what_is_remembered() -> None:
    table = Table()
    levels = known(table)
    levels.begin()
    await levels.of_pairs("acme", [("paris", "tea"), ("paris", "jam")])

    levels.committed([entry("paris", "tea", 4), entry("paris", "tea", 3), entry("nice", "tea", 9)])

    assert await levels.of_pairs("acme", [("paris", "tea"), ("paris", "jam")]) == [3, 0]


async def test_a_commit_during_the_query_is_not_lost() -> None:
    table = Table()
    table.hold = asyncio.Event()
    levels = known(table)
    levels.begin()
    asking = asyncio.create_task(levels.of_pairs("acme", [("paris", "tea")]))
    while not table.queries:
        await asyncio.sleep(0)

    levels.committed([entry("paris", "tea", 5)])  # after the query has read 0
    table.hold.set()

    assert await asking == [5]
    assert await levels.of_pairs("acme", [("paris", "tea")]) == [5]
    assert table.queries == [1]


@pytest.mark.parametrize("is_followed_anew", [True, False])
async def test_what_was_read_before_the_server_was_lost_is_not_remembered(
    is_followed_anew: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    table = Table()
    table.hold = asyncio.Event()
    table.free["acme", "paris", "tea"] = 7
    levels = known(table)
    levels.begin()
    asking = asyncio.create_task(levels.of_pairs("acme", [("paris", "tea")]))
    while not table.queries:
        await asyncio.sleep(0)

    levels.end()
    if is_followed_anew:
        levels.begin()
    table.hold.set()
    await asking
    table.free["acme", "paris", "tea"] = 2

    assert await levels.of_pairs("acme", [("paris", "tea")]) == [2]


async def test_tenants_do_not_see_each_other() -> None:
    table = Table()
    table.free["acme", "paris", "tea"] = 7
    table.free["other", "paris", "tea"] = 1
    levels = known(table)
    levels.begin()

    both = await asyncio.gather(
        levels.of_pairs("acme", [("paris", "tea")]), levels.of_pairs("other", [("paris", "tea")])
    )
    levels.committed([entry("paris", "tea", 6)])

    assert list(both) == [[7], [1]]
    assert await levels.of_pairs("other", [("paris", "tea")]) == [1]
    assert await levels.of_pairs("acme", [("paris", "tea")]) == [6]
    assert await levels.of_pairs("nobody", [("paris", "tea")]) == [0]


async def test_what_is_remembered_is_renewed_after_a_while_and_bounded() -> None:
    table = Table()
    levels = known(table, most=10)
    levels.begin()
    await levels.of_pairs("acme", [("paris", "tea")])
    table.free["acme", "paris", "tea"] = 7  # a rebuild by another process, told to nobody

    table.at_s += RENEWED_AFTER_S
    await levels.of_pairs("acme", [("paris", "tea")])
    table.at_s += RENEWED_AFTER_S
    assert await levels.of_pairs("acme", [("paris", "tea")]) == [7]

    for n in range(100):
        await levels.of_pairs("acme", [("paris", f"p{n}")])
    assert len(levels) <= 20


async def test_a_failing_query_fails_those_who_wait_for_it_and_nobody_after() -> None:
    table = Table()
    table.error = RuntimeError("away")
    levels = known(table)
    levels.begin()

    failures = await asyncio.gather(
        *(levels.of_pairs("acme", [("paris", f"p{n}")]) for n in range(3)), return_exceptions=True
    )
    table.error = None

    assert [str(failure) for failure in failures] == ["away"] * 3
    assert await levels.of_pairs("acme", [("paris", "p1")]) == [0]


async def test_a_caller_who_gives_up_does_not_take_the_others_along() -> None:
    table = Table()
    table.hold = asyncio.Event()
    levels = known(table)
    gone = asyncio.create_task(levels.of_pairs("acme", [("paris", "tea")]))
    stays = asyncio.create_task(levels.of_pairs("acme", [("paris", "tea")]))
    while not table.queries:
        await asyncio.sleep(0)

    gone.cancel()
    table.hold.set()

    assert await stays == [0]


async def test_who_asks_again_in_the_breath_of_his_answer_is_answered() -> None:
    """Both queries that may run have ended, and nobody has heard of it yet."""
    table = Table()
    levels = known(table)
    table.hold = asyncio.Event()

    async def caller(*skus: str) -> None:
        for sku in skus:
            await levels.of_pairs("acme", [("paris", sku)])

    async def until(queries: int) -> None:
        async with asyncio.timeout(5):
            while len(table.queries) < queries:
                await asyncio.sleep(0)

    first = asyncio.create_task(caller("tea", "milk"))
    await until(1)
    second = asyncio.create_task(caller("bread"))
    await until(2)
    table.hold.set()
    async with asyncio.timeout(5):
        await asyncio.gather(first, second)
    assert len(table.queries) == 3
