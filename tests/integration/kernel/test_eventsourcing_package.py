"""The store works with the package ``eventsourcing``: its shipped cases, and its readers.

The cases are the package's own, unchanged (docs/adr/0024 says what was done for them). Streams have
names, so ids are text; some cases number a stream from 0, which our table refuses, so the database
of this module goes without that one check, and a test of ours says what the check does.
"""

import asyncio
import json
import os
import re
import secrets
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from eventsourcing.application import Application
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.persistence import IntegrityError, NotSupportedError, StoredEvent, Tracking
from eventsourcing.popo import POPOTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from eventsourcing.tests.persistence import (
    AggregateRecorderTestCase,
    ApplicationRecorderTestCase,
    NonInterleavingNotificationIDsBaseCase,
)
from eventsourcing.utils import register_topic

from services.kernel.adapters.database import with_database, with_login
from services.kernel.adapters.eventsourcing_recorder import EventLogRecorder
from services.kernel.application.work import Work
from tests.support import toy
from tests.support.eventsourcing_bridge import (
    StoreAggregateRecorder,
    StoreRecorder,
    StoreThread,
    address,
    datastore,
)
from tests.support.stack import Stack, a_cause, a_database, execute, running

pytestmark = pytest.mark.stack

ROOT = Path(__file__).parents[3]
ANALYST_PASSWORD = "reads-only-0123456789"  # noqa: S105 - of a server that lives for one run
EVENTS = 1_500


@pytest.fixture
def store(postgres_dsn: str) -> Iterator[StoreThread]:
    opened = StoreThread(asyncio.run(a_database(postgres_dsn)))
    yield opened
    opened.close()


@pytest.fixture
def any_number(store: StoreThread, postgres_dsn: str) -> StoreThread:
    """The same, where a stream may be numbered from 0."""
    owner = with_database(postgres_dsn, address(store.dsn)["dbname"])
    asyncio.run(
        execute(owner, "ALTER TABLE events DROP CONSTRAINT events_originator_version_check")
    )
    return store


class _OnOurStore:
    """Streams have names."""

    store: StoreThread

    @pytest.fixture(autouse=True)
    def _store(self, any_number: StoreThread) -> None:
        self.store = any_number

    def new_originator_id(self) -> str:
        return f"demo/case-{secrets.token_hex(8)}"


class TestAggregateRecorder(_OnOurStore, AggregateRecorderTestCase):
    def create_recorder(self) -> StoreAggregateRecorder:
        return StoreAggregateRecorder(self.store)


class TestApplicationRecorder(_OnOurStore, ApplicationRecorderTestCase[StoreRecorder]):
    def create_recorder(self) -> StoreRecorder:
        return StoreRecorder(self.store)

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestNonInterleavingNotificationIDs(_OnOurStore, NonInterleavingNotificationIDsBaseCase):
    def create_recorder(self) -> StoreRecorder:
        return StoreRecorder(self.store)


def test_streams_are_numbered_from_one(store: StoreThread) -> None:
    with pytest.raises(Exception, match="events_originator_version_check"):
        StoreRecorder(store).insert_events([StoredEvent("demo/case-a", 0, "topic", b"{}")])


def test_a_version_may_not_be_taken_twice(store: StoreThread) -> None:
    recorder = StoreRecorder(store)
    assert recorder.insert_events([StoredEvent("demo/case-a", 1, "first", b"{}")]) == [1]
    with pytest.raises(IntegrityError):
        recorder.insert_events([StoredEvent("demo/case-a", 1, "second", b"{}")])


# What an analyst writes: his own classes for the events he cares for, under their stored names.
@dataclass(frozen=True)
class Added:
    originator_id: str
    originator_version: int
    amount: int


class Counters(Application[str]):
    """A stock application over our log."""

    name = "counters"


class Total(POPOTrackingRecorder):
    """A view that an analyst keeps in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def add(self, amount: int, tracking: Tracking) -> None:
        with self._database_lock:
            self._assert_tracking_uniqueness(tracking)
            self.total += amount
            self._insert_tracking(tracking)


class TotalProjection(Projection[Total]):
    """A stock projection."""

    topics = ("counter.added.v1",)

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        raise AssertionError(f"nobody asked for {domain_event}")

    @process_event.register
    def _(self, domain_event: Added, tracking: Tracking) -> None:
        self.view.add(domain_event.amount, tracking)


@pytest.fixture
async def counted(postgres_dsn: str) -> AsyncIterator[tuple[Stack, str]]:
    """A running service that has counted, and the DSN of a role that may only read its log."""
    register_topic("counter.added.v1", Added)
    async with running(postgres_dsn, {"order": toy.source}) as stack:
        name = await stack["order"].database.sql.fetchval("SELECT current_database()")
        owner = with_database(postgres_dsn, name)
        for statement in toy.TABLES.split(";"):
            await execute(owner, statement)
        await _make_analyst(owner)
        await _add(stack, EVENTS, "before")
        yield stack, with_login(owner, "analyst", ANALYST_PASSWORD)


async def _make_analyst(owner: str) -> None:
    for statement in (
        "DO $$ BEGIN CREATE ROLE analyst LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        f"ALTER ROLE analyst PASSWORD '{ANALYST_PASSWORD}'",
        "ALTER ROLE analyst SET default_transaction_read_only = on",
        "GRANT SELECT ON events TO analyst",
    ):
        await execute(owner, statement)


async def _add(stack: Stack, count: int, command: str) -> None:
    async def use_case(work: Work) -> None:
        for n in range(count):
            await work.handle(toy.COUNTER, f"k{n % 7}", toy.Add(1))

    await stack["order"].runner.execute(a_cause(command), use_case)


def _settings(dsn: str, name: str = "COUNTERS") -> dict[str, str]:
    return {
        f"{name}_PERSISTENCE_MODULE": "eventsourcing.postgres",
        f"{name}_APPLICATION_RECORDER_TOPIC": (
            "services.kernel.adapters.eventsourcing_recorder:EventLogRecorder"
        ),
        f"{name}_ORIGINATOR_ID_TYPE": "text",
        f"{name}_CREATE_TABLE": "no",
        **{f"{name}_POSTGRES_{part.upper()}": value for part, value in address(dsn).items()},
    }


async def test_a_stock_application_reads_our_log(counted: tuple[Stack, str]) -> None:
    _, dsn = counted

    def read() -> tuple[int, list[int], Any]:
        with Counters(env=_settings(dsn)) as app:
            section = app.notification_log.select(1, 10)
            stream = app.events.get("demo/counter-k1")
            return (
                app.recorder.max_notification_id() or 0,
                [notification.id for notification in section],
                next(iter(stream)),
            )

    head, ids, first = await asyncio.to_thread(read)
    assert head == EVENTS
    assert ids == list(range(1, 11))
    assert first == Added("demo/counter-k1", 1, 1)


async def test_a_stock_projection_follows_our_log_while_it_grows(
    counted: tuple[Stack, str],
) -> None:
    stack, dsn = counted
    runner: ProjectionRunner[Counters, Total] = await asyncio.to_thread(
        ProjectionRunner,
        application_class=Counters,
        projection_class=TotalProjection,
        view_class=Total,
        env=_settings(dsn),
    )
    with runner:
        await asyncio.to_thread(runner.wait, EVENTS, 20)
        assert runner.view.total == EVENTS
        await _add(stack, 30, "while it follows")
        await asyncio.to_thread(runner.wait, EVENTS + 30, 20)
        assert runner.view.total == EVENTS + 30


async def test_nothing_can_be_written_through_it(counted: tuple[Stack, str]) -> None:
    _, dsn = counted

    def attempt() -> None:
        with datastore(dsn) as opened:
            recorder = EventLogRecorder(opened)
            with pytest.raises(NotSupportedError, match="send a command"):
                recorder.insert_events([StoredEvent("demo/counter-a", 1, "counter.added.v1", b"")])
            with pytest.raises(NotSupportedError, match="oms migrate"):
                recorder.create_table()
            # And were it not for the recorder, the role could not either.
            with (
                pytest.raises(Exception, match=r"read-only|permission denied"),
                opened.transaction(commit=True) as cursor,
            ):
                cursor.execute("DELETE FROM events")

    await asyncio.to_thread(attempt)


async def test_a_subscription_ends_when_it_is_stopped(counted: tuple[Stack, str]) -> None:
    _, dsn = counted

    def follow() -> list[int]:
        with datastore(dsn) as opened:
            subscription = EventLogRecorder(opened).subscribe(gt=EVENTS - 2)
            seen: list[int] = []
            stopper = Thread(target=subscription.stop)
            with subscription:
                for notification in subscription:
                    seen.append(notification.id)
                    if notification.id == EVENTS:
                        stopper.start()
            stopper.join()
            return seen

    assert await asyncio.to_thread(follow) == [EVENTS - 1, EVENTS]


async def test_the_program_of_the_page_runs(postgres_dsn: str) -> None:
    dsn = await a_database(postgres_dsn)
    owner = with_database(postgres_dsn, address(dsn)["dbname"])
    captured = (ROOT / "tests/contract/golden/order/order.payment_captured.v1.json").read_bytes()
    store = await asyncio.to_thread(StoreThread, dsn)
    recorder = StoreRecorder(store)
    for n in range(3):
        event = StoredEvent(f"demo/order-O{n}", 1, "order.payment_captured.v1", captured)
        await asyncio.to_thread(recorder.insert_events, [event])
    await asyncio.to_thread(store.close)
    (program,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs/eventsourcing.md").read_text(), re.DOTALL
    )
    await _make_analyst(owner)
    analyst = with_login(owner, "analyst", ANALYST_PASSWORD)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program),
        cwd=ROOT,
        env=os.environ | {"ANALYST_PASSWORD": ANALYST_PASSWORD} | _settings(analyst, "ORDERS"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert out.decode().strip() == f"{{'EUR': {3 * json.loads(captured)['amount_minor']}}}"
