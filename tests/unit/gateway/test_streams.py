"""A stream whose reader goes away leaves nothing behind."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, cast

import pytest
from oms.order.v1 import order_service_pb2 as wire
from starlette.requests import ClientDisconnect

from services.gateway.entrypoints.http.contracts import ORDER
from services.gateway.entrypoints.http.incoming import metadata
from services.gateway.entrypoints.http.problems import Problem, problem
from services.gateway.entrypoints.http.remote import Remote
from services.gateway.entrypoints.http.streams import Streams


class Talkative:
    """A service that has more to say than a stream keeps waiting."""

    def __init__(self) -> None:
        self.open = 0

    async def call(self, *_: Any) -> None:
        """Refuse nobody."""

    async def stream(self, *_: Any) -> AsyncIterator[int]:
        self.open += 1
        try:
            for n in range(1_000):
                yield n
            await asyncio.Event().wait()
        finally:
            self.open -= 1


class SlowToAnswer(Talkative):
    async def call(self, *_: Any) -> None:
        await asyncio.sleep(0.01)


class Refusing(Talkative):
    async def call(self, *_: Any) -> None:
        raise problem("STEP_CONFLICT")


async def followed(streams: Streams, tenant: str, service: Talkative) -> Any:
    return await streams.follow(
        cast("Remote", service),
        metadata("internal", "c-1", tenant=tenant),
        ORDER["WatchTimeline"],
        wire.WatchTimelineRequest(),
        lambda one: str(one).encode(),
        ORDER["GetTimeline"],
        wire.GetTimelineRequest(),
    )


async def opened(
    streams: Streams, tenant: str, service: Talkative | None = None
) -> AsyncGenerator[bytes]:
    answer = await followed(streams, tenant, service or Talkative())
    events: AsyncGenerator[bytes] = answer.body_iterator
    await anext(events)
    return events


async def test_one_tenants_readers_leave_room_for_others() -> None:
    streams = Streams(most=4, most_of_one=2)
    first, second = await opened(streams, "a"), await opened(streams, "a")
    with pytest.raises(Problem, match="TOO_MANY_STREAMS"):
        await opened(streams, "a")
    others = [await opened(streams, "b"), await opened(streams, "b")]
    with pytest.raises(Problem, match="TOO_MANY_STREAMS"):
        await opened(streams, "c")
    await first.aclose()
    again = await opened(streams, "a")
    for events in (second, again, *others):
        await events.aclose()
    assert streams.open == 0


async def test_who_comes_in_the_same_moment_is_counted_before_he_is_answered() -> None:
    streams = Streams(most=4, most_of_one=2)
    came = await asyncio.gather(
        *(opened(streams, "a", SlowToAnswer()) for _ in range(10)), return_exceptions=True
    )
    assert sum(isinstance(one, Problem) for one in came) == 8
    for one in came:
        if not isinstance(one, BaseException):
            await one.aclose()
    assert streams.open == 0


async def test_who_is_refused_leaves_his_place() -> None:
    streams = Streams(most=1)
    with pytest.raises(Problem, match="STEP_CONFLICT"):
        await opened(streams, "a", Refusing())
    assert streams.open == 0


async def test_who_is_gone_before_his_stream_begins_leaves_his_place() -> None:
    streams = Streams(most=1)
    answer: Any = await followed(streams, "a", Talkative())

    async def send(_: Any) -> None:
        raise OSError

    async def receive() -> Any:
        await asyncio.Event().wait()

    with pytest.raises(ClientDisconnect):
        await answer({"type": "http", "asgi": {"spec_version": "2.4"}}, receive, send)
    assert streams.open == 0


@pytest.mark.parametrize("pause_s", [0.0, 0.05])
async def test_a_reader_who_leaves_while_much_waits_ends_the_call(pause_s: float) -> None:
    service, streams = Talkative(), Streams()
    answer: Any = await streams.follow(
        cast("Remote", service),
        (),
        ORDER["WatchTimeline"],
        wire.WatchTimelineRequest(),
        lambda one: str(one).encode(),
        ORDER["GetTimeline"],
        wire.GetTimelineRequest(),
    )
    before = len(asyncio.all_tasks())
    events = answer.body_iterator
    assert [await anext(events), await anext(events)] == [b"retry: 2000\n\n", b"0"]
    await asyncio.sleep(pause_s)
    assert service.open == 1
    await events.aclose()
    await asyncio.sleep(0)
    assert (service.open, streams.open) == (0, 0)
    assert len(asyncio.all_tasks()) == before
