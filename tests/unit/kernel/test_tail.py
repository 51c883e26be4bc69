"""What `oms tail` shows: which events, in which order, in which words."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.message import Message
from oms.order.v1.order_events_pb2 import (
    Choice,
    OrderCompleted,
    OrderEvent,
    OrderLine,
    OrderPlaced,
)

from services.kernel.adapters.feed_contracts import PublicEvent, contract_of, decoded
from services.kernel.application.reading import Page, Place
from services.kernel.main.reading import events, merged, moment
from services.kernel.main.tail import Wanted, as_json, as_text, tail
from tests.support.feed_of import NOON, FeedOf, envelope

TOPIC = "oms.order.v1.events"


def completed(order_id: str) -> OrderEvent:
    return OrderEvent(order_completed=OrderCompleted(order_id=order_id))


def event(position: int, message: Message) -> PublicEvent:
    return decoded(contract_of(TOPIC), envelope(position, message))


async def all_of(reader: FeedOf, wanted: Wanted, **how: bool | int) -> list[PublicEvent]:
    found = tail(
        [reader],
        wanted,
        lambda _: None,
        limit=int(how.get("limit", 0)),
        from_now=bool(how.get("from_now")),
        follow=bool(how.get("follow")),
    )
    async with aclosing(found):
        return [one async for one in found]


async def test_it_shows_what_there_is_up_to_the_limit() -> None:
    reader = FeedOf([envelope(n, completed(f"O{n}")) for n in range(1, 6)])
    assert [one.envelope.position for one in await all_of(reader, Wanted())] == [1, 2, 3, 4, 5]
    shown = await all_of(reader, Wanted(), limit=3, follow=True)
    assert [one.envelope.position for one in shown] == [1, 2, 3]


async def test_it_goes_on_with_what_comes() -> None:
    reader = FeedOf([envelope(1, completed("O1"))])

    async def speak() -> None:
        await asyncio.sleep(0.05)
        reader.envelopes.append(envelope(2, completed("O2")))

    speaking = asyncio.create_task(speak())
    (one,) = await all_of(reader, Wanted(), limit=1, from_now=True, follow=True)
    assert one.envelope.position == 2
    await speaking


@pytest.mark.parametrize(
    ("wanted", "positions"),
    [
        (Wanted(order_id="O2"), [2]),
        (Wanted(order_id="O"), []),
        (Wanted(tenant="other"), [3]),
        (Wanted(names=("OrderPlaced",)), [4]),
        (Wanted(names=("OrderPlaced", "OrderCompleted"), tenant="demo"), [1, 2, 4]),
    ],
)
async def test_it_shows_what_is_wanted_and_nothing_else(
    wanted: Wanted, positions: list[int]
) -> None:
    reader = FeedOf(
        [
            envelope(1, completed("O1")),
            envelope(2, completed("O2")),
            envelope(3, completed("O3"), tenant="other"),
            envelope(4, OrderEvent(order_placed=OrderPlaced(order_id="O4", customer_id="O2"))),
        ]
    )
    assert [one.envelope.position for one in await all_of(reader, wanted)] == positions


async def test_one_order_comes_in_the_order_of_time_whatever_partition_its_events_lay_in() -> None:
    late_first = [(3, 30), (4, 40), (1, 10), (2, 20)]
    reader = FeedOf([envelope(n, completed("O1"), after_s=at) for n, at in late_first])
    wanted = Wanted(order_id="O1")
    assert [one.envelope.position for one in await all_of(reader, wanted)] == [1, 2, 3, 4]
    shown = await all_of(reader, wanted, limit=2)
    assert [one.envelope.position for one in shown] == [1, 2]


async def test_what_is_no_event_is_told_and_passed_over() -> None:
    broken = envelope(1, completed("O1"))
    broken.value = b"\xff\xff"
    reader = FeedOf([broken, envelope(2, completed("O2"))], ["partition 0, offset 7: no key"])
    told: list[str] = []
    found = [one async for one in events(reader, told.append)]
    assert [one.envelope.position for one in found if one] == [2]
    assert told[0] == f"{TOPIC}, partition 0, offset 7: no key"
    assert "demo/order-O1 version 1" in told[1]


async def test_feeds_are_merged_by_time_and_an_idle_one_is_not_waited_for() -> None:
    async def feed(*seconds: int) -> AsyncIterator[PublicEvent | None]:
        for n in seconds:
            one = envelope(n, completed(f"O{n}"), after_s=n)
            yield decoded(contract_of(TOPIC), one)

    async def idle() -> AsyncIterator[PublicEvent | None]:
        yield None
        await asyncio.sleep(3600)
        yield None

    found = merged([feed(1, 4, 5), idle(), feed(2, 3, 6)])
    seen = []
    async with asyncio.timeout(5), aclosing(found):
        async for one in found:
            seen.append(one.envelope.position)
            if len(seen) == 6:
                break
    assert seen == [1, 2, 3, 4, 5, 6]


class Hesitant(FeedOf):
    """A feed of a broker that is slow: its first pages are empty, though it has not ended."""

    empty_pages = 2

    async def read(self, place: Place, end: Place | None) -> Page:
        if self.empty_pages:
            self.empty_pages -= 1
            return Page([], place)
        return await super().read(place, end)


async def test_a_feed_that_is_read_to_its_end_is_waited_for_however_slow_it_is() -> None:
    slow = Hesitant([envelope(1, completed("O1"))])
    quick = FeedOf([envelope(2, completed("O2")), envelope(3, completed("O3"))])
    found = merged([events(quick, print), events(slow, print)])
    assert [event.envelope.position async for event in found] == [1, 2, 3]


async def test_a_feed_that_fails_is_not_passed_over() -> None:
    async def failing() -> AsyncIterator[PublicEvent | None]:
        yield event(1, completed("O1"))
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        _ = [one async for one in merged([failing()])]


PLACED = OrderEvent(
    order_placed=OrderPlaced(
        order_id="O1",
        lines=[OrderLine(line_id="1", quantity=2, choice=Choice(mode_id="click_and_collect"))],
        currency="EUR",
    )
)


def test_a_line_for_people_is_one_line() -> None:
    line = as_text(event(1, PLACED), None)
    assert line == (
        "2026-01-02 12:00:01.000  OrderPlaced            demo/order-O1  order_id=O1"
        " lines=[{line_id=1 quantity=2 choice={mode_id=click_and_collect}"
        " temperature=TEMPERATURE_CLASS_UNSPECIFIED}] currency=EUR"
    )
    assert as_text(event(1, PLACED), 40) == "2026-01-02 12:00:01.000  OrderPlaced   …"


def test_a_line_for_programs_has_numbers_and_times() -> None:
    row = json.loads(as_json(event(1, PLACED)))
    assert row["event"] == "OrderPlaced"
    assert row["recorded_at"] == "2026-01-02T12:00:01+00:00"
    assert row["payload"]["lines"][0]["quantity"] == 2
    assert row["payload"]["placed_at"] is None


def test_an_event_that_is_newer_than_this_program_is_shown_as_such() -> None:
    newer = envelope(1, PLACED)
    newer.type, newer.value = "oms.order.v1.OrderDreamt", b"\x9a\x06\x02\x0a\x00"
    shown = decoded(contract_of(TOPIC), newer)
    assert "OrderDreamt" in as_text(shown, None)
    assert json.loads(as_json(shown))["payload"] is None


class Clock:
    def now(self) -> datetime:
        return NOON


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("beginning", None),
        ("90s", NOON - timedelta(seconds=90)),
        ("15m", NOON - timedelta(minutes=15)),
        ("7d", NOON - timedelta(days=7)),
        ("2026-01-01", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T08:00+01:00", datetime(2026, 1, 1, 7, tzinfo=UTC)),
    ],
)
def test_a_moment_is_what_people_write(text: str, at: datetime | None) -> None:
    assert moment(text, Clock()) == at


@pytest.mark.parametrize("text", ["yesterday", "15", "m", "15x", "2026-13-01"])
def test_a_moment_that_is_none_says_what_would_be(text: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        moment(text, Clock())
