"""Running a use case as one unit of work: load, decide, append, and again when a race is lost."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from services.kernel.application.work import Sql, Work
from services.kernel.domain.messages import Cause, Recorded

type UseCase[T] = Callable[[Work], Awaitable[T]]


class ConcurrentAppend(Exception):
    """Another writer appended first, and again after every try. Retry with the same id."""


class Overloaded(Exception):
    """A bounded queue or pool is full, or the database is away. Nothing was recorded.

    Attributes:
        retry_after_ms: When to try again.
    """

    def __init__(self, what: str, retry_after_ms: int) -> None:
        super().__init__(what)
        self.retry_after_ms = retry_after_ms


class QueueFull(Overloaded):
    """More work came than the service may hold at once; the database is well."""


class Runner(Protocol):
    async def execute[T](self, cause: Cause, use_case: UseCase[T]) -> T:
        """Run ``use_case`` as one durable unit of work and return what it returns.

        When this returns, every event of the unit is on disk. Repeating a call with the same
        ``cause.command_id`` records nothing twice, whether or not the first one was answered.

        Raises:
            Rejected: A rule forbids it, or the command id was used for something else
                (``IDEMPOTENCY_MISMATCH``).
            ConcurrentAppend: Lost the race on every try.
            Overloaded: Shed; nothing was recorded.
        """


class Reader(Protocol):
    """Answers from the service's read models, and from its log."""

    @property
    def sql(self) -> Sql:
        """The service's tables, read outside of any unit of work; queries are bounded in time."""

    async def at_least(self, stream: str, version: int) -> None:
        """Return once the read models know event ``version`` of ``stream``: read your own writes.

        Raises:
            Overloaded: They did not within the time allowed.
        """

    async def recorded(self, stream: str, after_version: int, limit: int) -> list[Recorded[Any]]:
        """Return what was recorded in ``stream`` after a version, oldest first: no model of it."""

    async def changed(self, stream: str, after_version: int, timeout_s: float) -> int:
        """Return the version of ``stream`` once it is above ``after_version`` (0: not begun).

        Returns the present version, possibly ``after_version``, when the time is up. What changed
        may not be on disk yet; ``Runner.execute`` answers only when what it rests on is.
        """

    async def projected(self, timeout_s: float) -> None:
        """Return as soon as the read models have moved on, or when the time is up."""
