"""Reads an event table of ours with the Python package ``eventsourcing``, and never writes.

For analysts and tools; no service imports it. It needs the extra ``analyst`` (``eventsourcing``
with ``psycopg``). A stock application or projection of the package is pointed here by its own
settings, see docs/eventsourcing.md:

    PERSISTENCE_MODULE=eventsourcing.postgres
    APPLICATION_RECORDER_TOPIC=services.kernel.adapters.eventsourcing_recorder:EventLogRecorder
    ORIGINATOR_ID_TYPE=text
    CREATE_TABLE=no
"""

from collections.abc import Sequence
from threading import Event
from typing import Any, override

from eventsourcing.persistence import (
    ApplicationRecorder,
    Notification,
    NotSupportedError,
    StoredEvent,
    Subscription,
)
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

_TABLE = "events"
_PAGE_EVENTS = 500
_POLL_S = 0.1


class EventLogRecorder(PostgresApplicationRecorder):
    """The package's own reading statements on our table; everything that writes is refused.

    Args:
        datastore: Made with ``originator_id_type="text"``: streams have names.
        events_table_name: What the package would call its table; ours is ``events``.
    """

    def __init__(self, datastore: PostgresDatastore, *, events_table_name: str = _TABLE) -> None:
        del events_table_name
        super().__init__(datastore, events_table_name=_TABLE)

    @override
    def create_table(self) -> None:
        """Refuse: the tables are made by ``oms migrate``."""
        raise NotSupportedError("the event table is made by `oms migrate`: set CREATE_TABLE=no")

    @override
    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        """Refuse: events are decided by their service, and only there."""
        raise NotSupportedError(
            "an event log is read here, never written: send a command to the service that owns it"
        )

    @override
    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> Subscription[ApplicationRecorder]:
        """Follow the log from after ``gt`` on; misses nothing, ends when it is stopped."""
        return PollingSubscription(self, gt, topics)


class PollingSubscription(Subscription[ApplicationRecorder]):
    """Follows the log by ``position > last``, a page at a time.

    The package waits for ``NOTIFY``, which our appender does not send: it costs every commit a
    queue that the whole server shares. Commit order is position order, so looking is enough.
    """

    def __init__(
        self, recorder: ApplicationRecorder, gt: int | None = None, topics: Sequence[str] = ()
    ) -> None:
        super().__init__(recorder, gt, topics)
        self._page: Sequence[Notification] = ()
        self._next = 0
        self._stopped = Event()

    @override
    def stop(self) -> None:
        super().stop()
        self._stopped.set()

    @override
    def __next__(self) -> Notification:
        while not self._stopped.is_set():
            if self._next < len(self._page):
                notification = self._page[self._next]
                self._next += 1
                self._last_notification_id = notification.id
                return notification
            self._page, self._next = self._following(), 0
            if not self._page:
                self._stopped.wait(_POLL_S)
        raise StopIteration

    def _following(self) -> Sequence[Notification]:
        return self._recorder.select_notifications(
            start=self._last_notification_id or 0,
            limit=_PAGE_EVENTS,
            topics=self._topics,
            inclusive_of_start=False,
        )
