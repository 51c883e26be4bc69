"""Server-sent events: an order's timeline, resumable with Last-Event-ID, and other watches."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, override

import msgspec
from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from oms.order.v1 import order_service_pb2 as wire
from starlette.types import Receive, Scope, Send

from services.gateway.entrypoints.http.contracts import ORDER
from services.gateway.entrypoints.http.document import described
from services.gateway.entrypoints.http.incoming import Metadata, incoming
from services.gateway.entrypoints.http.parameters import LastEventId, OrderId
from services.gateway.entrypoints.http.problems import Problem, problem
from services.gateway.entrypoints.http.remote import Remote
from services.gateway.entrypoints.http.resource import Resource
from services.gateway.entrypoints.http.routes import Face
from services.gateway.entrypoints.http.wire import to_json

MAX_STREAMS = 500  # a server of the services takes 512
MAX_OF_ONE = 300
MAX_SECONDS = 240  # then the client resumes by itself: EventSource does
HEARTBEAT_S = 15.0
RETRY_MS = 2_000
_WAITING_ANSWERS = 2  # a watch tells what is true when it may, so a slow reader misses nothing
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_ORDER = "/v1/orders/{order_id}"
_WHO = ("authorization", "x-oms-tenant")

_log = logging.getLogger("oms.gateway")

type View = wire.TimelineView.ValueType


class Streams:
    """How many streams are open in this process.

    Args:
        most: More are refused.
        most_of_one: The same for one key, or for one tenant's pages, so that others have room.
    """

    def __init__(self, most: int = MAX_STREAMS, most_of_one: int = MAX_OF_ONE) -> None:
        self.open = 0
        self._most = most
        self._most_of_one = most_of_one
        self._open_of: Counter[Metadata] = Counter()
        self._ending = asyncio.Event()

    def end(self) -> None:
        """End every stream: the clients resume elsewhere, and the server may stop."""
        self._ending.set()

    async def timeline(
        self,
        remote: Remote,
        metadata: Metadata,
        watched: wire.WatchTimelineRequest,
        tell: Callable[[wire.WatchTimelineResponse], bytes],
    ) -> Response:
        """Return the live timeline of an order, each answer told as ``tell`` does.

        Raises:
            Problem: There is no such order for this caller, or too many streams are open.
        """
        # Asked first, because once the stream has begun there is no status left to say no with.
        first = wire.GetTimelineRequest(order_id=watched.order_id, view=watched.view, page_size=1)
        watched.max_seconds = MAX_SECONDS
        return await self.follow(
            remote,
            metadata,
            ORDER["WatchTimeline"],
            watched,
            tell,
            ORDER["GetTimeline"],
            first,
        )

    async def follow(
        self,
        remote: Remote,
        metadata: Metadata,
        watch: MethodDescriptor,
        watched: Message,
        tell: Callable[[Any], bytes],
        ask: MethodDescriptor,
        asked: Message,
    ) -> Response:
        """Return the answers of a streaming rpc as events, each told as ``tell`` does.

        Args:
            remote: The services.
            metadata: On whose behalf.
            watch: The streaming rpc.
            watched: Its request.
            tell: An answer to the bytes of an event.
            ask: Called before, to be refused with a status.
            asked: Its request.

        Raises:
            Problem: ``ask`` was refused, or too many streams are open.
        """
        who = tuple(pair for pair in metadata if pair[0] in _WHO)
        if self.open >= self._most or self._open_of[who] >= self._most_of_one:
            raise problem("TOO_MANY_STREAMS")
        # Taken before anything is waited for: many may come in the same moment.
        leave = self._entered(who)
        try:
            await remote.call(ask, asked, metadata, HEARTBEAT_S)
        except BaseException:
            leave()
            raise
        events = _events(remote, metadata, watch, watched, tell, self._ending)
        return _Followed(_until_left(events, leave), leave)

    def _entered(self, who: Metadata) -> Callable[[], None]:
        """Count a stream; return how it leaves, of which only the first time counts."""
        self.open += 1
        self._open_of[who] += 1
        is_there = True

        def leave() -> None:
            nonlocal is_there
            if not is_there:
                return
            is_there = False
            self.open -= 1
            self._open_of[who] -= 1
            if not self._open_of[who]:
                del self._open_of[who]

        return leave


class _Followed(StreamingResponse):
    """A stream that leaves its place also when its reader was gone before it began."""

    def __init__(self, events: AsyncIterator[bytes], leave: Callable[[], None]) -> None:
        super().__init__(events, headers=_HEADERS, media_type="text/event-stream")
        self._leave = leave

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave()


async def _until_left(
    events: AsyncGenerator[bytes], leave: Callable[[], None]
) -> AsyncIterator[bytes]:
    try:
        async with aclosing(events):
            async for event in events:
                yield event
    finally:
        leave()


async def _events(
    remote: Remote,
    metadata: Metadata,
    watch: MethodDescriptor,
    watched: Message,
    tell: Callable[[Any], bytes],
    ending: asyncio.Event,
) -> AsyncGenerator[bytes]:
    """Yield the bytes of the stream; a slow reader slows the service down, not our memory."""
    told: asyncio.Queue[Any] = asyncio.Queue(_WAITING_ANSWERS)

    async def listen() -> None:
        stream = remote.stream(watch, watched, metadata, MAX_SECONDS + HEARTBEAT_S)
        try:
            # Closed here: a reader who leaves while much waits must not leave the call behind.
            async with aclosing(stream) as answers:
                async for answer in answers:
                    await told.put(answer)
        except Problem as found:  # too late for a status: the client resumes and gets one then
            _log.info("a stream ended early: %s %s", found.reason, found.detail)
        except Exception:  # noqa: BLE001 - the reader must not wait for what never comes
            _log.exception("a stream broke off")
        await told.put(None)

    async def end() -> None:
        await ending.wait()
        await told.put(None)

    tasks = [asyncio.create_task(listen()), asyncio.create_task(end())]
    try:
        yield f"retry: {RETRY_MS}\n\n".encode()
        while True:
            try:
                answer = await asyncio.wait_for(told.get(), HEARTBEAT_S)
            except TimeoutError:
                yield b": still here\n\n"
                continue
            if answer is None:
                return
            yield tell(answer)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def event_bytes(answer: wire.WatchTimelineResponse) -> bytes:
    """Return one event; a heartbeat is a comment that moves the id on."""
    if not answer.HasField("entry"):
        return f": still here\nid: {answer.version}\n\n".encode()
    entry = to_json(answer.entry)
    data = msgspec.json.encode(entry).decode()
    return f"id: {answer.version}\nevent: {entry['kind']}\ndata: {data}\n\n".encode()


def changed_bytes(answer: wire.WatchTimelineResponse) -> bytes:
    """Return an event that says only that something changed: the page reads itself again."""
    if not answer.HasField("entry"):
        return event_bytes(answer)
    return f"id: {answer.version}\nevent: changed\ndata: {answer.version}\n\n".encode()


def stream_resource(face: Face, streams: Streams) -> Resource:
    """Return the routes of the streams."""
    resource = Resource("orders", face)

    def follow(path: str, view: View, summary: str) -> None:
        @resource.get(
            path,
            summary=summary,
            **described(
                ORDER["WatchTimeline"], answer={"type": "string"}, media_type="text/event-stream"
            ),
        )
        async def stream(
            request: Request, order_id: OrderId, last_event_id: LastEventId
        ) -> Response:
            watched = wire.WatchTimelineRequest(
                order_id=order_id, view=view, after_version=last_event_id
            )
            metadata = incoming(request.scope).metadata()
            return await streams.timeline(face.remote, metadata, watched, event_bytes)

    follow(f"{_ORDER}/events/stream", wire.TIMELINE_VIEW_BANNER, "Follow everything, live")
    follow(
        f"{_ORDER}/tracking/stream",
        wire.TIMELINE_VIEW_CONSUMER,
        "Follow what the consumer sees, live",
    )
    return resource
