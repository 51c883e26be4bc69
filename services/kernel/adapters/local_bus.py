"""The bus within one process: the relay hands its batches straight to the subscribers."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Sequence

from services.kernel.adapters.consumer import Consumer
from services.kernel.application.feeds import Envelope
from services.kernel.application.pace import Pace

_QUEUE_BATCHES = 8
_BATCH_MESSAGES = 500
# The bus has no partitions; watermarks are kept under this one.
LOCAL_PARTITION = 0


class LocalBus:
    """Delivers at least once: what was handed over and lost with the process is read again.

    The relay begins at the lowest watermark of the feed's subscribers, and each of them passes
    over what it has had. A full queue holds the relay back.
    """

    def __init__(self) -> None:
        self._queues: dict[str, list[tuple[Consumer, asyncio.Queue[Sequence[Envelope]]]]] = (
            defaultdict(list)
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._busy: set[Consumer] = set()

    def attach(self, consumer: Consumer) -> None:
        """Deliver the consumer's feed to it; before ``start``."""
        self._queues[consumer.topic].append((consumer, asyncio.Queue(_QUEUE_BATCHES)))

    async def start(self) -> None:
        for subscribers in self._queues.values():
            for consumer, queue in subscribers:
                await consumer.assign(LOCAL_PARTITION)
                self._tasks.append(
                    asyncio.create_task(
                        self._deliver(consumer, queue), name=f"{consumer.group} {consumer.topic}"
                    )
                )

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def start_position(self, topic: str, published_to: int) -> int:
        marks = [consumer.watermark(LOCAL_PARTITION) for consumer, _ in self._queues[topic]]
        return min(marks, default=published_to)

    async def publish(self, topic: str, envelopes: Sequence[Envelope]) -> None:
        for consumer, queue in self._queues[topic]:
            if (
                queue.empty()
                and consumer not in self._busy
                and not consumer.is_interested(envelopes)
            ):
                consumer.pass_over(LOCAL_PARTITION, envelopes[-1].position)
            else:
                await queue.put(envelopes)

    def is_idle(self) -> bool:
        """Tell whether nothing waits and nothing is being handled."""
        return not self._busy and self.depth() == 0

    def depth(self) -> int:
        """Return how many batches wait."""
        return sum(queue.qsize() for queues in self._queues.values() for _, queue in queues)

    async def _deliver(
        self, consumer: Consumer, queue: "asyncio.Queue[Sequence[Envelope]]"
    ) -> None:
        pace = Pace(consumer.round_s)
        while True:
            batch: list[Envelope] = []
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(consumer.redrive_poll_s):
                    batch += await queue.get()
                    self._busy.add(consumer)
            if batch:
                await pace.wait()
            while not queue.empty() and len(batch) < _BATCH_MESSAGES:
                batch += queue.get_nowait()
            for start in range(0, len(batch), _BATCH_MESSAGES):
                await consumer.consume(LOCAL_PARTITION, batch[start : start + _BATCH_MESSAGES])
            self._busy.discard(consumer)
            await consumer.note_watermarks()
            await consumer.redrive()
