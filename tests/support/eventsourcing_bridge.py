"""A synchronous bridge to the store: our appender behind the recorder's interface of a library.

Reading is what we ship for analysts (``EventLogRecorder``); writing goes through the ``Appender``
on a loop of its own, as every command of ours does.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from threading import Thread
from typing import Any, override
from urllib.parse import urlsplit

import asyncpg
from eventsourcing.persistence import IntegrityError, StoredEvent
from eventsourcing.postgres import PostgresDatastore

from services.kernel.adapters.appender import Appender, AppenderLimits
from services.kernel.adapters.database import Database, Limits
from services.kernel.adapters.event_log import NewEvent, encode_cause
from services.kernel.adapters.eventsourcing_recorder import EventLogRecorder
from services.kernel.application.runner import ConcurrentAppend
from services.kernel.domain.ids import derive
from services.kernel.domain.messages import Cause

_ENDS_WITHIN_S = 30.0


def address(dsn: str) -> dict[str, str]:
    """Return where one of our databases is, in the library's words."""
    place = urlsplit(dsn)
    query = dict(pair.split("=", 1) for pair in place.query.split("&") if pair)
    return {
        "dbname": place.path.removeprefix("/"),
        "host": query.get("host", place.hostname or ""),
        "port": str(place.port or query.get("port", "5432")),
        "user": place.username or "",
        "password": place.password or "",
    }


def datastore(dsn: str) -> PostgresDatastore:
    """Return the library's connection pool on one of our databases."""
    place = address(dsn)
    return PostgresDatastore(
        place["dbname"],
        place["host"],
        place["port"],
        place["user"],
        place["password"],
        pool_size=2,
        max_overflow=20,
        originator_id_type="text",
    )


class StoreThread:
    """Our appender on an event loop in a thread of its own, until closed.

    Args:
        dsn: A migrated database, as the application role.
    """

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.datastore = datastore(dsn)
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._database = self.run(Database.open(dsn, Limits(pool_size=4)))
        self._appender = Appender(self._database, AppenderLimits(), lambda *_: None)
        self.run(self._start())

    def run[T](self, work: Coroutine[Any, Any, T]) -> T:
        """Do it on the loop and wait for what comes of it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_ENDS_WITHIN_S)

    def append(self, events: Sequence[NewEvent]) -> list[int]:
        """Append as one command; return the positions taken."""
        self.run(self._appender.append(events))
        rows = self.run(
            self._database.sql.fetch(
                "SELECT notification_id FROM events WHERE event_id = ANY($1::uuid[])"
                " ORDER BY notification_id",
                [event.event_id for event in events],
            )
        )
        return [row[0] for row in rows]

    def close(self) -> None:
        self.run(self._appender.stop())
        self.run(self._database.close())
        self.datastore.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_ENDS_WITHIN_S)
        self._loop.close()

    async def _start(self) -> None:
        self._appender.start()


class StoreRecorder(EventLogRecorder):
    """The library's application recorder, on our appender and table."""

    def __init__(self, store: StoreThread) -> None:
        super().__init__(store.datastore)
        self._store = store

    @override
    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        if not stored_events:
            return []
        try:
            return self._store.append([_new(event) for event in stored_events])
        except (ConcurrentAppend, asyncpg.UniqueViolationError) as lost:
            # The second: one command that takes a version twice, which no unit of work ever makes.
            raise IntegrityError(str(lost)) from lost


class StoreAggregateRecorder(StoreRecorder):
    """The same where nobody asks for positions."""

    @override
    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> None:
        super().insert_events(stored_events)


def _new(event: StoredEvent) -> NewEvent:
    stream = str(event.originator_id)
    command = f"{stream}/{event.originator_version}"
    return NewEvent(
        stream=stream,
        version=event.originator_version,
        topic=event.topic,
        state=event.state,
        event_id=derive(stream, event.originator_version, event.topic),
        cause=encode_cause(Cause("demo", command)),
    )
