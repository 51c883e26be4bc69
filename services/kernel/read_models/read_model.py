"""A read model: the tables that answer one question, and how events fill them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from services.kernel.application.work import Sql
from services.kernel.domain.messages import Recorded

type Project = Callable[[Sequence[Recorded[Any]], Sql], Awaitable[None]]


class Memory(Protocol):
    """What a process keeps in memory of a read model's tables while it fills them itself.

    Only the process that is the sole writer of its database is told; in every other one
    ``begin`` is never called, and the memory has to pass every question on to the tables.
    """

    def begin(self) -> None:
        """Forget everything: from now on every commit to the tables is told to ``committed``."""

    def committed(self, batch: Sequence[Recorded[Any]]) -> None:
        """Take these events: what ``project`` made of them has just been committed."""

    def end(self) -> None:
        """Forget everything: the tables may change, or go back, without a word."""


@dataclass(frozen=True, slots=True)
class ReadModel:
    """Fed by the service's own events, in the order of its log.

    Attributes:
        name: Unique within the service; holds the checkpoint, and names it in ``oms rebuild``.
        tables: Every table that ``project`` writes, unqualified, and that nothing else writes.
        project: Brings the tables up to date with a batch of events, oldest first. Uses
            unqualified table names only (a rebuild runs it beside the live tables), no clock,
            no randomness, and has no effect but its rows.
        memories: Told of every commit, where this process is the only one that fills the tables.
    """

    name: str
    tables: tuple[str, ...]
    project: Project
    memories: tuple[Memory, ...] = ()
