"""A read model: the tables that answer one question, and how events fill them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from services.kernel.application.work import Sql
from services.kernel.domain.messages import Recorded

type Project = Callable[[Sequence[Recorded[Any]], Sql], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ReadModel:
    """Fed by the service's own events, in the order of its log.

    Attributes:
        name: Unique within the service; holds the checkpoint, and names it in ``oms rebuild``.
        tables: Every table that ``project`` writes, unqualified, and that nothing else writes.
        project: Brings the tables up to date with a batch of events, oldest first. Uses
            unqualified table names only (a rebuild runs it beside the live tables), no clock,
            no randomness, and has no effect but its rows.
    """

    name: str
    tables: tuple[str, ...]
    project: Project
