"""The bus within one process: the relay hands its batches straight to the subscribers."""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from services.kernel.adapters.backlog import Backlog
from services.kernel.adapters.consumer import Consumer
from services.kernel.adapters.watermarks import Part
from services.kernel.application.feeds import Envelope
from services.kernel.application.pace import Pace
from services.kernel.application.tasks import end

_log = logging.getLogger(__name__)

_MOST_WAITING = 4_000
_BATCH_MESSAGES = 500
_URGENT_S, _UNHURRIED_S = 0.006, 0.02
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 5.0
# The bus has no partitions; watermarks are kept under this one.
LOCAL_PARTITION = 0


class LocalBus:
    """Delivers at least once: what was handed over and lost with the process is read again.

    The relay begins at the lowest watermark of the feed's subscribers, and each of them passes
    over what it has had. A full queue holds the relay back.
    """

    def __init__(self) -> None:
        self._queues: dict[str, list[tuple[Consumer, Backlog[Envelope]]]] = defaultdict(list)
        self._tasks: list[asyncio.Task[None]] = []
        self._busy: set[Consumer] = set()

    def attach(self, consumer: Consumer) -> None:
        """Deliver the consumer's feed to it; before ``start``."""
        self._queues[consumer.topic].append((consumer, Backlog[Envelope](_MOST_WAITING)))

    async def start(self) -> None:
        for subscribers in self._queues.values():
            for consumer, backlog in subscribers:
                await consumer.assign(LOCAL_PARTITION)
                self._tasks.append(
                    asyncio.create_task(
                        self._deliver(consumer, backlog), name=f"{consumer.group} {consumer.topic}"
                    )
                )

    def halt(self) -> None:
        """Deliver nothing more from this moment on."""
        for task in self._tasks:
            task.cancel()

    async def stop(self) -> None:
        """Stop, and forget what waits: it is read again."""
        self.halt()
        await end(self._tasks)
        self._tasks.clear()
        self._busy.clear()
        for subscribers in self._queues.values():
            for _, backlog in subscribers:
                backlog.clear()

    async def start_position(self, topic: str, published_to: int) -> int:
        marks = [consumer.watermarks[LOCAL_PARTITION] for consumer, _ in self._queues[topic]]
        return min(marks, default=published_to)

    def is_heard(self, topic: str) -> bool:
        return bool(self._queues[topic])

    async def publish(self, topic: str, envelopes: Sequence[Envelope]) -> None:
        for consumer, backlog in self._queues[topic]:
            if not backlog and consumer not in self._busy and not consumer.is_interested(envelopes):
                consumer.watermarks.pass_over(LOCAL_PARTITION, envelopes[-1].position)
            else:
                await backlog.put(envelopes)

    def is_idle(self) -> bool:
        """Tell whether nothing waits and nothing is being handled."""
        return not self._busy and self.depth() == 0

    def depth(self) -> int:
        """Return how many messages wait."""
        return sum(len(waiting) for queues in self._queues.values() for _, waiting in queues)

    async def _deliver(self, consumer: Consumer, backlog: Backlog[Envelope]) -> None:
        pace = Pace(_URGENT_S, rests=2) if consumer.is_urgent else Pace(_UNHURRIED_S, rests=3)
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(consumer.redrive_poll_s):
                    await backlog.wait()
            batch: list[Envelope] = []
            if backlog:
                if len(backlog) < _BATCH_MESSAGES:  # who is far behind does not rest
                    await pace.wait()
                batch = backlog.take(_BATCH_MESSAGES)
                self._busy.add(consumer)
            for start in range(0, len(batch), _BATCH_MESSAGES):
                part = Part(LOCAL_PARTITION, batch[start:][:_BATCH_MESSAGES])
                await _surely(consumer, consumer.consume, part)
            if batch:
                pace.ended()
            self._busy.discard(consumer)
            await _surely(consumer, consumer.watermarks.note)
            await _surely(consumer, consumer.redrive)


async def _surely(
    consumer: Consumer, work: Callable[..., Awaitable[None]], *arguments: Any
) -> None:
    """Do it again until it succeeds: a group that stopped listening would never be told.

    What the consumer has an answer to, it answers itself. Here arrives what hits those answers:
    the database going away while a message is parked, for example.
    """
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return await work(*arguments)
        except Exception:
            _log.exception("%s failed and goes on", consumer.group)
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
