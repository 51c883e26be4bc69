"""What callers and consumers are told when the database goes away in the middle of something."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from services.kernel.adapters.consumer import Consumer
from services.kernel.adapters.database import Database, Limits
from services.kernel.adapters.local_bus import LocalBus
from services.kernel.adapters.watermarks import Part, Watermarks
from services.kernel.application.feeds import Envelope
from services.kernel.application.runner import Overloaded
from tests.support.stack import a_database, eventually, execute


async def test_a_statement_that_loses_its_connection_says_try_again(postgres_dsn: str) -> None:
    dsn = await a_database(postgres_dsn)
    database = await Database.open(dsn, Limits())
    try:
        waiting = asyncio.create_task(database.sql.fetchval("SELECT pg_sleep(20)"))
        backend: list[Any] = []

        async def is_running() -> bool:
            backend[:] = await execute(
                postgres_dsn,
                "SELECT pid FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(20)'",
            )
            return bool(backend)

        await eventually(is_running)
        await execute(postgres_dsn, "SELECT pg_terminate_backend($1)", backend[0]["pid"])
        with pytest.raises(Overloaded):
            await waiting
        assert await database.sql.fetchval("SELECT 1") == 1
    finally:
        await database.close()


class _Stumbling(Consumer):
    """Fails twice in a way that it has no answer to."""

    def __init__(self) -> None:
        self.topic = self.group = "toy"
        self.redrive_poll_s = 0.05
        self.is_urgent = True
        self.failures = 2
        self.heard: list[int] = []
        self.watermarks = Watermarks("toy", "toy", cast("Database", None), note_every_s=1.0)

    async def assign(self, partition: int) -> int:
        return -1

    async def consume(self, part: Part) -> None:
        if self.failures:
            self.failures -= 1
            raise Overloaded("while a message was parked", 100)
        self.heard += [envelope.position for envelope in part.envelopes]

    def is_interested(self, envelopes: Sequence[Envelope]) -> bool:
        return True

    async def redrive(self) -> None:
        return


async def test_a_consumer_that_stumbles_goes_on_listening() -> None:
    consumer, bus = _Stumbling(), LocalBus()
    bus.attach(consumer)
    await bus.start()
    try:
        await bus.publish("toy", [_envelope(1)])
        await bus.publish("toy", [_envelope(2)])
        await eventually(lambda: consumer.heard == [1, 2])
    finally:
        await bus.stop()


def _envelope(position: int) -> Envelope:
    return Envelope(
        topic="toy",
        key="demo/toy-1",
        value=b"",
        event_id=f"event-{position}",
        type="toy.Happened",
        tenant="demo",
        stream_version=position,
        position=position,
        recorded_at=datetime(2026, 1, 1, tzinfo=UTC),
        causation_id="",
        correlation_id="",
        traceparent="",
    )
