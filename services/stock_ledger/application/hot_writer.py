"""The one who writes hot products: takes what waits, decides it in memory, appends it as one.

While a round is on its way to the disk the next one gathers. There is no timer: one caller alone is
a round of his own, a thousand make rounds as large as they may be. Everybody is answered after the
commit of his round, so what he hears is on disk.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from zlib import crc32

from services.kernel.application.ownership import PARTITIONS, Ownership
from services.kernel.application.runner import ConcurrentAppend, Overloaded, QueueFull, Runner
from services.kernel.application.work import Work
from services.kernel.domain.messages import Cause
from services.stock_ledger.application.batch_reservations import Answer, Round, Wanted
from services.stock_ledger.application.many_holds import ManyHolds

_RETRY_AFTER_MS = 100


@dataclass(frozen=True, slots=True)
class HotLimits:
    """Bounds of the writer.

    Attributes:
        round_lines: Most lines in one round; a larger call goes alone.
        waiting_lines: Most lines waiting; a call beyond is shed.
    """

    round_lines: int = 512
    waiting_lines: int = 8_192


class Watch(Protocol):
    """Sees how busy the writer is."""

    def waiting(self, lines: int) -> None:
        """So many lines wait now."""

    def shed(self) -> None:
        """A call was sent away."""

    def written(self, lines: int, tries: int, took_s: float) -> None:
        """A round is on disk, or has failed, after so many tries."""


@dataclass(slots=True)
class _Call:
    cause: Cause
    wanted: Sequence[Wanted]
    lines: int
    answer: "asyncio.Future[list[Answer]]"


class HotWriter:
    """Gathers the reservations of many calls into rounds; one round is decided at a time.

    It works for as long as anybody waits, and needs neither start nor stop.

    Args:
        runner: Runs each round as one unit of work; the state of hot items is in its cache.
        holds: The use case.
        ownership: The first fence between processes.
        round_id: Makes an id that no other round has, of any process.
        limits: Bounds.
        watch: Is told what happens.
    """

    def __init__(
        self,
        runner: Runner,
        holds: ManyHolds,
        ownership: Ownership,
        round_id: Callable[[], str],
        limits: HotLimits,
        watch: Watch,
    ) -> None:
        self._runner = runner
        self._holds = holds
        self._ownership = ownership
        self._round_id = round_id
        self._limits = limits
        self._watch = watch
        self._waiting: deque[_Call] = deque()
        self._waiting_lines = 0
        self._writing: asyncio.Task[None] | None = None

    async def reserve(self, cause: Cause, wanted: Sequence[Wanted]) -> list[Answer]:
        """Hold for each, independently of the others; return once it is on disk.

        Raises:
            QueueFull: Too much waits already; nothing was recorded.
            Overloaded: The database is away. Repeated with the same ids it counts once.
            ConcurrentAppend: Others wrote the same items all the time; nothing was recorded.
        """
        lines = sum([len(one.needs) for one in wanted])
        if self._waiting and self._waiting_lines + lines > self._limits.waiting_lines:
            self._watch.shed()
            raise QueueFull("too many reservations wait", _RETRY_AFTER_MS)
        call = _Call(cause, wanted, lines, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        self._waiting_lines += lines
        self._watch.waiting(self._waiting_lines)
        if self._writing is None:
            # In a context of its own: a round is nobody's call.
            self._writing = asyncio.create_task(
                self._write(), name="hot writer", context=contextvars.Context()
            )
        return await call.answer

    async def _write(self) -> None:
        try:
            while self._waiting:
                # Those who come in the same breath share the round.
                await asyncio.sleep(0)
                if calls := self._take():
                    await self._answer(calls)
        finally:
            self._writing = None
            while self._waiting:  # only when it was cancelled
                call = self._waiting.popleft()
                _fail([call], Overloaded("shutting down", 1000))
            self._waiting_lines = 0
            self._watch.waiting(0)

    def _take(self) -> list[_Call]:
        """Return the calls of the next round, all of one tenant; others keep their places."""
        calls: list[_Call] = []
        others: list[_Call] = []
        lines = 0
        while self._waiting and (not calls or lines < self._limits.round_lines):
            call = self._waiting.popleft()
            if call.answer.done():  # its caller went away before its turn
                self._waiting_lines -= call.lines
            elif calls and (
                call.cause.tenant != calls[0].cause.tenant
                or lines + call.lines > self._limits.round_lines
            ):
                others.append(call)
            else:
                calls.append(call)
                lines += call.lines
                self._waiting_lines -= call.lines
        self._waiting.extendleft(reversed(others))
        self._watch.waiting(self._waiting_lines)
        return calls

    async def _answer(self, calls: Sequence[_Call]) -> None:
        try:
            answers = await self._decided(calls)
        except asyncio.CancelledError:
            _fail(calls, Overloaded("shutting down", 1000))
            raise
        except (Overloaded, ConcurrentAppend) as error:
            _fail(calls, error)
        except Exception as error:  # noqa: BLE001 - told to whoever asked for it
            if len(calls) == 1:
                _fail(calls, error)
                return
            for call in calls:  # one of them is at fault: no other may suffer for it
                await self._answer([call])
        else:
            start = 0
            for call in calls:
                if not call.answer.done():
                    call.answer.set_result(answers[start : start + len(call.wanted)])
                start += len(call.wanted)

    async def _decided(self, calls: Sequence[_Call]) -> list[Answer]:
        tenant, round_id = calls[0].cause.tenant, self._round_id()
        asked = Round(
            Cause(tenant, round_id, round_id), [(call.cause, call.wanted) for call in calls]
        )
        keys = {key for call in calls for wanted in call.wanted for key, _ in wanted.needs}
        is_owner = await self._ownership.owns({partition(tenant, key) for key in keys})
        tries = 0

        async def use_case(work: Work) -> list[Answer]:
            nonlocal tries
            tries += 1
            is_first = tries == 1
            # Who lost a race does not trust what he remembers.
            return await self._holds.hold(
                work, asked, is_owner=is_owner and is_first, is_first=is_first
            )

        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            return await self._runner.execute(asked.cause, use_case)
        finally:
            lines = sum([call.lines for call in calls])
            self._watch.written(lines, tries, loop.time() - began_s)


def partition(tenant: str, key: str) -> int:
    """Return which partition a stock item belongs to."""
    return crc32(f"{tenant}/{key}".encode()) % PARTITIONS


def _fail(calls: Sequence[_Call], error: Exception) -> None:
    for call in calls:
        if not call.answer.done():
            call.answer.set_exception(error)
