"""A unit of work: read states, decide, record. All of it is kept, or nothing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from services.kernel.domain.decider import Kind
from services.kernel.domain.messages import Cause
from services.kernel.domain.process import ProcessKind


class Sql(Protocol):
    """What a use case or a read model may ask of its service's own database (PostgreSQL, $1)."""

    async def execute(self, query: str, *args: Any) -> str: ...
    async def executemany(self, query: str, args: Iterable[Sequence[Any]]) -> None: ...
    async def fetch(self, query: str, *args: Any) -> list[Any]: ...
    async def fetchrow(self, query: str, *args: Any) -> Any: ...
    async def fetchval(self, query: str, *args: Any) -> Any: ...


@dataclass(slots=True)
class Versioned[State]:
    """A state and the number of events it is folded from. Never changed once made."""

    state: State
    version: int


class Work(Protocol):
    """One unit of work in one service's database.

    Several commands may be handled in one unit: their events are appended together, all or
    nothing, when the unit ends; a later command of the unit sees what an earlier one decided.
    A lost race repeats the whole unit, so a unit must have no effect outside of ``self``.
    """

    @property
    def sql(self) -> Sql:
        """The service's own tables. Inside a subscriber: the transaction of its batch."""

    @property
    def cause(self) -> Cause:
        """Why this unit runs; carries the tenant."""

    @property
    def now(self) -> datetime:
        """The time at which the unit began, aware, UTC. The same on a repeat of the unit."""

    def begin(self, cause: Cause) -> None:
        """Say on whose behalf the commands that follow are handled; of the same tenant.

        For a unit that carries out what several callers asked for. Ids of events follow from the
        command id and the order of the events since, so no two causes of a unit share one.
        """

    async def state[C, S, E](self, kind: Kind[C, S, E], key: str) -> Versioned[S]:
        """Return the state of stream ``{tenant}/{kind.category}-{key}``."""

    def expect_new[C, S, E](self, kind: Kind[C, S, E], key: str) -> None:
        """Take a stream as not begun, without reading it, unless it is known already.

        A wrong guess is refused like any lost race, and the unit runs again: a use case guesses on
        its first run only.
        """

    def at_hand[C, S, E](
        self, kind: Kind[C, S, E], keys: Iterable[str]
    ) -> Mapping[str, Versioned[S]]:
        """Return what is known of these streams without reading; it may be behind the log."""

    def begin_streams[C, S, E](
        self, kind: Kind[C, S, E], begun: Sequence[tuple[Cause, Sequence[tuple[str, C]]]]
    ) -> None:
        """Begin many streams: each with its first command, key and command grouped by cause.

        For crowds of streams that are begun now and looked at much later, if ever: their states
        are not kept, neither by this unit nor by whoever remembers states for the next one. A
        cause stands for these streams only; a stream that has begun already is a lost race.
        """

    async def load[C, S, E](self, kind: Kind[C, S, E], keys: Iterable[str]) -> None:
        """Read many streams in one query, so that ``state`` and ``handle`` find them at hand."""

    async def read_on[C, S, E](self, kind: Kind[C, S, E], keys: Iterable[str]) -> None:
        """Bring what is at hand of these streams up to the log: another process may write too."""

    async def handle[C, S, E](self, kind: Kind[C, S, E], key: str, command: C) -> Sequence[E]:
        """Decide ``command`` on the stream; return the events, which the unit will append.

        Raises:
            Rejected: A rule forbids the command. Nothing of *this command* is kept; the unit
                may go on with others.
        """

    async def hear[M, S, C](
        self, kind: ProcessKind[M, S, C], key: str, message: M, send: "Send[C]"
    ) -> None:
        """Record ``message`` in the process stream; pass each command it calls for to ``send``."""

    async def set_timer(self, timer_id: str, due_at: datetime, name: str, key: str) -> None:
        """Ask to be woken: handler ``name`` runs with ``key`` once ``due_at`` is past.

        Setting the same ``timer_id`` again moves it. Kept with the unit, or not at all.
        """

    async def cancel_timer(self, timer_id: str) -> None:
        """Withdraw a timer; silent when it has fired or never was."""


class Send[Command](Protocol):
    """Carries out one command that a process calls for, within the same unit of work."""

    async def __call__(self, work: Work, command: Command, /) -> None: ...
