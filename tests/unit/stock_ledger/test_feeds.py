"""Posting rows of feeds: each whole, in their source's order; a refused one stops no other."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from services.kernel.application.work import Sql
from services.stock_ledger.application.feeds import Inbound, Step, Told, post
from services.stock_ledger.application.images import Images
from services.stock_ledger.application.recording import record
from services.stock_ledger.domain.entry import Buckets, Cause, Report
from services.stock_ledger.domain.image import Basis, Seen
from services.stock_ledger.domain.inbound import INBOUND, Arrive
from services.stock_ledger.domain.postings import Post
from services.stock_ledger.domain.stock_commands import (
    Observe,
    Pick,
    PromiseOnline,
    Receive,
    SellAtTill,
)
from services.stock_ledger.domain.stock_item import STOCK, stock_key
from tests.unit.stock_ledger.ledger_in_memory import NOON, LedgerInMemory

MILK = stock_key("paris", "milk")


def at(minute: int) -> datetime:
    return NOON + timedelta(minutes=minute)


async def balance(work: LedgerInMemory) -> Buckets:
    return (await work.state(STOCK, MILK)).state.buckets


async def count_nine_at(work: LedgerInMemory, minute: int) -> None:
    async def past(
        sql: Sql, tenant: str, asked: Sequence[tuple[str, int, datetime]]
    ) -> Sequence[Buckets]:
        return [Buckets(free=10) for _ in asked]  # as before the sale

    count = Observe(Seen.STOCKTAKE, Basis.PHYSICAL, True, 9, "count", at(minute))  # noqa: FBT003
    [outcome] = await Images(past).post_images(work, [(MILK, count)])
    assert outcome.refusal is None


async def test_a_clock_that_is_ahead_keeps_its_sources_order() -> None:
    for is_feed in (True, False):
        work = LedgerInMemory()
        await record(work, [(MILK, Receive(10, "note", NOON))])
        work.at = at(10)
        if is_feed:
            told = Told(0, MILK, Cause.TILL_SALE, Report("ticket", 1, at(13)))
            assert (await post(work, [told])).recorded == 1
        else:
            await record(work, [(MILK, SellAtTill(1, "ticket", at(13)))])
        work.at = at(11)
        await count_nine_at(work, 14)
        assert await balance(work) == Buckets(free=9)


async def test_a_repeat_of_what_was_stamped_ahead_is_a_repeat_at_any_time() -> None:
    work = LedgerInMemory()
    work.at = at(10)
    rows: list[Told | Step] = [
        Told(0, MILK, Cause.TILL_SALE, Report("ticket", 1, at(13))),
        Step(1, MILK, (Pick("web-1", 2, "pick", at(13)),)),
    ]
    assert (await post(work, rows)).recorded == 2
    assert [entry.occurred_at for entry in work.streams[f"stock-{MILK}"]] == [at(10)] * 2
    for minute in (11, 60):
        work.at = at(minute)
        posted = await post(work, rows)
        assert (posted.recorded, posted.duplicates, posted.refused) == (0, 2, [])


async def test_the_same_id_of_another_time_is_told_to_be_something_else() -> None:
    work = LedgerInMemory()
    work.at = at(60)

    def rows(minute: int, *, is_timeless: bool = False) -> list[Told | Step]:
        ticket = Report("ticket", 1, at(minute))
        pick = Pick("web-1", 2, "pick", at(minute))
        return [
            Told(0, MILK, Cause.TILL_SALE, ticket, is_timeless=is_timeless),
            Step(1, MILK, (pick,), is_timeless=is_timeless),
        ]

    assert (await post(work, rows(10))).recorded == 2
    for minute in (9, 16, 60):
        posted = await post(work, rows(minute))
        assert [(n, reason) for n, reason, _ in posted.refused] == [
            (0, "IDEMPOTENCY_MISMATCH"),
            (1, "IDEMPOTENCY_MISMATCH"),
        ]
        assert "ticket was counted as of another time than" in posted.refused[0][2]
    again = await post(work, rows(60, is_timeless=True))  # whose source says no time
    assert (again.recorded, again.duplicates, again.refused) == (0, 2, [])
    twice = [*rows(10)[:1], Told(1, MILK, Cause.TILL_SALE, Report("ticket", 1, at(30)))]
    posted = await post(work, twice)
    assert (posted.duplicates, [n for n, _, _ in posted.refused]) == (1, [1])

    for minute, is_refused in ((10, False), (10, False), (40, True)):
        outcomes = await record(work, [(MILK, Receive(10, "note", at(minute)))])
        assert (outcomes[0].refusal is not None) == is_refused
    [known] = await record(work, [(MILK, Receive(10, "note", at(50)))], {0})
    assert (known.refusal, known.is_recorded) == (None, False)


async def test_an_image_that_is_sent_again_under_its_id_has_the_time_it_had() -> None:
    work = LedgerInMemory()
    work.at = at(60)
    await count_nine_at(work, 10)
    entries = work.streams
    await count_nine_at(work, 10)
    with pytest.raises(AssertionError, match="counted as of another time"):
        await count_nine_at(work, 40)
    assert work.streams == entries


async def test_what_arrives_for_a_reservation_is_posted_whole_or_not_at_all() -> None:
    work = LedgerInMemory()
    await record(work, [(MILK, SellAtTill(3, "ticket", NOON))])
    commands = (
        Post(Cause.TRANSFER_RECEIVED, (Report("came", 3, NOON),)),
        PromiseOnline(Cause.CONFIRM, "web-1", 3, "came~his", NOON),
    )
    row = Step(0, MILK, commands, Inbound(MILK, Arrive("D1", "came", 3)))
    posted = await post(work, [row])
    assert (posted.recorded, [reason for _, reason, _ in posted.refused]) == (0, ["OUT_OF_STOCK"])
    assert not posted.entries
    assert await balance(work) == Buckets(free=-3)
    assert (await work.state(INBOUND, MILK)).state.arrived.get("D1") is None

    await record(work, [(MILK, Receive(3, "note", NOON))])  # the same row, sent again
    assert (await post(work, [row])).recorded == 1
    assert await balance(work) == Buckets(allocated=3)
    assert (await work.state(INBOUND, MILK)).state.arrived.get("D1") == 3


async def test_a_refused_row_is_tried_once_more_after_the_others() -> None:
    work = LedgerInMemory()
    work.at = at(10)

    def told(index: int, cause: Cause, quantity: int) -> Told:
        return Told(index, MILK, cause, Report(f"{index}", quantity, at(index)))

    await post(work, [told(0, Cause.RETURN_QUARANTINE, 2)])
    released, returned = Cause.QUARANTINE_RELEASED, Cause.RETURN_QUARANTINE
    rows = [told(1, released, 2), told(2, returned, 5), told(3, released, 5)]
    posted = await post(work, [*rows, told(4, released, 1)])
    assert (posted.recorded, posted.duplicates) == (3, 0)
    assert [(index, reason) for index, reason, _ in posted.refused] == [(4, "OUT_OF_STOCK")]
    assert await balance(work) == Buckets(free=7)
