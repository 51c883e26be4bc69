"""Opening feeds to read them: from the broker, or from the event stores where there is none."""

import asyncio
import contextlib
import importlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
from google.protobuf.message import DecodeError

from services.kernel.adapters.database import with_database
from services.kernel.adapters.embedded_postgres import EmbeddedPostgres
from services.kernel.adapters.feed_contracts import FeedContract, PublicEvent, contract_of, decoded
from services.kernel.adapters.store_reader import StoreReader, read_only
from services.kernel.application.clock import Clock
from services.kernel.application.feeds import Envelope
from services.kernel.application.reading import FeedReader, Period, Place, is_at
from services.kernel.application.tasks import end
from services.kernel.main.feed_directory import declared
from services.kernel.main.stack.state import StateFile
from services.kernel.settings import BusSettings, KernelSettings

type Unreadable = Callable[[str], None]

_BEGINNING = ("beginning", "0")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO = re.compile(r"(\d{1,6})([smhdw])")
_POLL_S = 0.2


class NothingToRead(Exception):
    """Why there is nothing that could be read, and how to mend it."""


def moment(text: str, clock: Clock) -> datetime | None:
    """Return the time that a person means; None for the beginning of everything.

    Args:
        text: ``beginning``, how long ago (``90s``, ``15m``, ``2h``, ``7d``), or an ISO 8601 time;
            without a zone it is UTC.
        clock: For how long ago.

    Raises:
        ValueError: It is none of these.
    """
    if text in _BEGINNING:
        return None
    if ago := _AGO.fullmatch(text):
        return clock.now() - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no time: `beginning`, how long ago such as 15m, 2h or 7d, or ISO 8601"
            " such as 2026-01-31T08:00+01:00"
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def bus_of(settings: KernelSettings) -> BusSettings:
    """Return how feeds travel: as the environment says, else as the stack of the folder does."""
    said = BusSettings()
    if "bus" in said.model_fields_set:
        return said
    state = StateFile(settings.data_home).read()
    if state is None or not state.is_kept():
        return said
    told = {name.removeprefix("OMS_").lower(): text for name, text in state.environment.items()}
    return BusSettings.model_validate(
        {name: told[name] for name in BusSettings.model_fields if name in told}
    )


@contextlib.asynccontextmanager
async def reading(
    topics: Sequence[str], period: Period, settings: KernelSettings, *, from_store: bool = False
) -> AsyncIterator[list[FeedReader]]:
    """Open feeds for the block: from the broker where there is one, else from the event stores.

    Args:
        topics: Which.
        period: Which events are wanted.
        settings: Where the stores are.
        from_store: From the event stores in any case.

    Raises:
        NothingToRead: Nothing has run here yet, or the broker does not answer.
    """
    bus = bus_of(settings)
    async with contextlib.AsyncExitStack() as stack:
        if bus.bus == "kafka" and not from_store:
            yield await _from_kafka(stack, topics, period, bus)
        else:
            dsn = await stack.enter_async_context(server(settings))
            yield [
                await store_reader(stack, settings, dsn, topic.split(".")[1], period)
                for topic in topics
            ]


@contextlib.asynccontextmanager
async def server(settings: KernelSettings, *, as_owner: bool = False) -> AsyncIterator[str]:
    """Lend the DSN of the server with the event stores; the embedded one runs for the block."""
    given = (not as_owner and settings.postgres_app_dsn) or settings.postgres_dsn
    if given:
        yield given
        return
    folder = settings.data_home.resolve() / "postgres"
    if not folder.exists():
        raise NothingToRead(
            f"nothing has run in {settings.data_home} yet: start it with `make run` or `oms up`,"
            " or set OMS_DATA_HOME, OMS_POSTGRES_DSN, or OMS_BUS=kafka"
        )
    embedded = EmbeddedPostgres(folder)
    try:
        yield await embedded.start()
    finally:
        embedded.stop()


async def store_reader(
    stack: contextlib.AsyncExitStack,
    settings: KernelSettings,
    dsn: str,
    service: str,
    period: Period,
) -> StoreReader:
    """Open the event store of one service until the stack ends."""
    name = f"{settings.database_prefix}{service}"
    try:
        connection = await read_only(with_database(dsn, name))
    except (OSError, asyncpg.PostgresError) as error:
        raise NothingToRead(f"database {name} cannot be read: {error}") from None
    stack.push_async_callback(connection.close)
    known = declared(service)
    return StoreReader(connection, known.topic, known.codec, known.publish, period)


async def _from_kafka(
    stack: contextlib.AsyncExitStack, topics: Sequence[str], period: Period, bus: BusSettings
) -> list[FeedReader]:
    # Only who uses Kafka pays for loading its client.
    options = importlib.import_module("services.kernel.adapters.kafka_options")
    kafka = importlib.import_module("services.kernel.adapters.kafka_reader")
    chosen = options.KafkaOptions(**bus.kafka_options())
    readers: list[FeedReader] = []
    for topic in topics:
        try:
            reader = await stack.enter_async_context(kafka.kafka_reader(chosen, topic, period))
        except kafka.NO_BROKER as error:
            raise NothingToRead(
                f"no broker answers at {bus.kafka_bootstrap_servers}: {error}"
            ) from None
        readers.append(reader)
    return readers


async def events(
    reader: FeedReader,
    unreadable: Unreadable,
    wants: Callable[[Envelope], bool] = lambda _: True,
    *,
    begins: Place | None = None,
    follow: bool = False,
) -> AsyncIterator[PublicEvent | None]:
    """Yield the events of a feed; who follows gets None when there is none at the moment.

    Args:
        reader: The feed.
        unreadable: Told of what is no event.
        wants: Which events are decoded at all.
        begins: Where to begin; None: with the period.
        follow: Never end.
    """
    contract = contract_of(reader.topic)
    place = await reader.beginning() if begins is None else begins
    ends = None if follow else await reader.end()
    while True:
        page = await reader.read(place, ends)
        for sentence in page.unreadable:
            unreadable(f"{reader.topic}, {sentence}")
        for envelope in page.envelopes:
            if wants(envelope):
                event = decoded_or_told(contract, envelope, unreadable)
                if event is not None:
                    yield event
        has_moved, place = page.place != place, page.place
        if ends is not None and is_at(place, ends):
            return
        if not has_moved:
            # What is read up to its end is waited for: there is more, it only takes its time.
            if follow:
                yield None
            await asyncio.sleep(_POLL_S)


async def merged(feeds: Sequence[AsyncIterator[PublicEvent | None]]) -> AsyncGenerator[PublicEvent]:
    """Yield the events of several feeds in the order of their times, as far as that is known.

    A feed that has said that there is nothing at the moment is not waited for.
    """
    heads: dict[int, PublicEvent] = {}
    idle: set[int] = set()
    asked: dict[asyncio.Task[PublicEvent | None], int] = {}
    open_feeds = dict(enumerate(feeds))
    try:
        while open_feeds or heads:
            for n in open_feeds.keys() - heads.keys() - set(asked.values()):
                asked[asyncio.create_task(_next(open_feeds[n]))] = n
            if heads and set(asked.values()) <= idle:
                n = min(heads, key=lambda n: (heads[n].envelope.recorded_at, n))
                yield heads.pop(n)
                continue
            done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                n = asked.pop(task)
                idle.discard(n)
                try:
                    event = task.result()
                except _Ended:
                    del open_feeds[n]
                else:
                    if event is None:
                        idle.add(n)
                    else:
                        heads[n] = event
    finally:
        await end(list(asked))


class _Ended(Exception):
    """A task cannot end with StopAsyncIteration."""


async def _next(feed: AsyncIterator[PublicEvent | None]) -> PublicEvent | None:
    async for event in feed:
        return event
    raise _Ended


def decoded_or_told(
    contract: FeedContract, envelope: Envelope, unreadable: Unreadable
) -> PublicEvent | None:
    """Decode an event; one that is none is told, and passed over."""
    try:
        return decoded(contract, envelope)
    except DecodeError as error:
        unreadable(f"{envelope.topic}, {envelope.key} version {envelope.stream_version}: {error}")
        return None
