"""Following a log to which others write too: nothing is passed over."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from services.kernel.adapters import event_log
from services.kernel.adapters.database import Database, Limits
from services.kernel.adapters.event_log import NewEvent, encode_cause
from services.kernel.adapters.tail import Tail
from services.kernel.application.pace import Pace
from services.kernel.domain.ids import derive
from services.kernel.domain.messages import Cause, Recorded
from tests.support import toy
from tests.support.stack import a_database, eventually

pytestmark = pytest.mark.stack


class Relay:
    """Notes what it is given to publish."""

    name = "relay"

    def __init__(self) -> None:
        self.pace = Pace(0.0)
        self.published: list[int] = []

    def is_at(self, position: int) -> bool:
        return self.published[-1] == position

    async def start_position(self) -> int:
        return 0

    def note_lag(self, events: int) -> None:
        """Nobody looks."""

    async def follow(self, batch: Sequence[Recorded[Any]]) -> None:
        self.published += [recorded.position for recorded in batch]


def some_events(writer: str, count: int) -> list[NewEvent]:
    return [
        NewEvent(
            stream=f"demo/counter-{writer}-{n}",
            version=1,
            topic="counter.added.v1",
            state=b'{"amount":1}',
            event_id=derive(writer, n),
            cause=encode_cause(Cause("demo", writer)),
            why=Cause("demo", writer),
        )
        for n in range(count)
    ]


async def test_what_another_process_wrote_in_between_is_published_in_its_place(
    postgres_dsn: str,
) -> None:
    """This process offers its own commits, which do not join on; the gap is read, never skipped."""
    dsn = await a_database(postgres_dsn)
    database = await Database.open(dsn, Limits(pool_size=2))
    relay = Relay()
    tail = Tail(database, dsn, toy.CODEC, [relay], poll_s=30)
    tail.start()
    try:
        first = some_events("ours", 2)
        answer = await event_log.append(database.sql, [first])
        tail.offer(first, answer.last_position, answer.at)
        await eventually(lambda: relay.published == [1, 2])
        for round_ in range(3):
            # Nobody here knows of these three.
            await event_log.append(database.sql, [some_events(f"theirs-{round_}", 3)])
            ours = some_events(f"ours-{round_}", 1)
            answer = await event_log.append(database.sql, [ours])
            tail.offer(ours, answer.last_position, answer.at)
            await eventually(partial(relay.is_at, answer.last_position))
        assert relay.published == list(range(1, 15))
    finally:
        await tail.stop()
        await database.close()


async def test_an_offer_from_ahead_waits_until_the_log_was_read_up_to_it(postgres_dsn: str) -> None:
    dsn = await a_database(postgres_dsn)
    database = await Database.open(dsn, Limits(pool_size=2))
    relay = Relay()
    tail = Tail(database, dsn, toy.CODEC, [relay], poll_s=0.05)
    tail.offer(some_events("never written", 1), 9, datetime(2026, 1, 1, tzinfo=UTC))
    tail.start()
    try:
        await event_log.append(database.sql, [some_events("theirs", 4)])
        await eventually(lambda: relay.published == [1, 2, 3, 4])
        await asyncio.sleep(0.2)
        assert relay.published == [1, 2, 3, 4]
    finally:
        await tail.stop()
        await database.close()


class Stubborn(Relay):
    """Fails in the moment of its cancellation, as a driver does whose connection breaks then."""

    def __init__(self) -> None:
        super().__init__()
        self.is_following = asyncio.Event()
        self.tries = 0

    async def follow(self, batch: Sequence[Recorded[Any]]) -> None:
        self.tries += 1
        self.is_following.set()
        try:
            await asyncio.sleep(3_600)
        except asyncio.CancelledError:
            raise ConnectionResetError("the server is gone") from None


async def test_a_follower_that_fails_when_it_is_cancelled_holds_up_no_stop(
    postgres_dsn: str,
) -> None:
    """A stop that never ended would leave the log unfollowed after the server's return."""
    dsn = await a_database(postgres_dsn)
    database = await Database.open(dsn, Limits(pool_size=2))
    stubborn = Stubborn()
    tail = Tail(database, dsn, toy.CODEC, [stubborn], poll_s=0.05)
    tail.start()
    try:
        await event_log.append(database.sql, [some_events("theirs", 1)])
        async with asyncio.timeout(20):
            await stubborn.is_following.wait()
        async with asyncio.timeout(10):
            await tail.stop()
        assert stubborn.tries == 1
    finally:
        await database.close()


class Held(Relay):
    """Cannot follow until it is let go, as a relay whose broker is away."""

    name = "held"

    def __init__(self) -> None:
        super().__init__()
        self.may_go_on = asyncio.Event()
        self.lag = 0

    def note_lag(self, events: int) -> None:
        self.lag = events

    async def follow(self, batch: Sequence[Recorded[Any]]) -> None:
        await self.may_go_on.wait()
        await super().follow(batch)


async def test_a_follower_that_does_not_move_holds_up_no_other_and_misses_nothing(
    postgres_dsn: str,
) -> None:
    """Read models are filled while the broker is away, however long."""
    dsn = await a_database(postgres_dsn)
    database = await Database.open(dsn, Limits(pool_size=2))
    held, free = Held(), Relay()
    tail = Tail(database, dsn, toy.CODEC, [held, free], poll_s=0.05)
    tail.start()

    async def write(writer: str, rounds: int) -> None:
        for n in range(rounds):
            await event_log.append(database.sql, [some_events(f"{writer}-{n}", 1_000)])

    try:
        await write("first", 9)
        await eventually(lambda: len(free.published) == 9_000)
        assert held.published == []
        assert held.lag >= 4_000  # whoever watches the relay's lag sees that it stands still
        held.may_go_on.set()
        await write("second", 3)
        await eventually(lambda: len(held.published) == len(free.published) == 12_000)
        # It keeps up again, by what this process offers and others write.
        await write("third", 1)
        await eventually(lambda: len(held.published) == len(free.published) == 13_000)
        assert held.published == free.published == list(range(1, 13_001))
        assert held.lag == 0
    finally:
        await tail.stop()
        await database.close()


async def test_who_leads_no_more_tells_no_lag_any_more(postgres_dsn: str) -> None:
    dsn = await a_database(postgres_dsn)
    database = await Database.open(dsn, Limits(pool_size=2))
    held = Held()
    tail = Tail(database, dsn, toy.CODEC, [held, Relay()], poll_s=0.05)
    tail.start()
    try:
        for n in range(9):
            await event_log.append(database.sql, [some_events(f"writer-{n}", 1_000)])
        await eventually(lambda: held.lag > 0)
    finally:
        await tail.stop()
        await database.close()
    assert held.lag == 0, "what waits is for the next leader to tell"


async def test_a_server_that_is_away_when_the_log_is_to_be_followed_is_told_as_lost(
    postgres_dsn: str,
) -> None:
    """It may have died between the reading of the watermarks and this: they are read again."""
    dsn = await a_database(postgres_dsn)
    database = await Database.open(dsn, Limits(pool_size=1))
    lost = asyncio.Event()
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    tail = Tail(database, nowhere, toy.CODEC, [Relay()], poll_s=0.05, lost=lost.set)
    tail.start()
    try:
        async with asyncio.timeout(5):
            await lost.wait()
    finally:
        await tail.stop()
        await database.close()


class Weak(Relay):
    """Does not manage more than a few events within the limit of a statement."""

    async def follow(self, batch: Sequence[Recorded[Any]]) -> None:
        if len(batch) > 100:
            raise TimeoutError
        await super().follow(batch)


async def test_a_batch_that_is_too_much_for_a_busy_server_is_followed_in_parts(
    postgres_dsn: str,
) -> None:
    """It looks like a server that is away; read models would stand still for ever."""
    dsn = await a_database(postgres_dsn)
    database = await Database.open(dsn, Limits(pool_size=2))
    weak = Weak()
    tail = Tail(database, dsn, toy.CODEC, [weak], poll_s=0.05)
    try:
        await event_log.append(database.sql, [some_events("all", 900)])
        tail.start()
        await eventually(lambda: len(weak.published) == 900, within_s=40)
        assert weak.published == list(range(1, 901))
    finally:
        await tail.stop()
        await database.close()
