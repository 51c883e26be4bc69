"""A unit of work over dictionaries: enough of ``Work`` for the use cases of this service."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from services.kernel.application.work import Send, Sql, Versioned
from services.kernel.domain.decider import Kind
from services.kernel.domain.messages import Cause
from services.kernel.domain.process import ProcessKind
from services.stock_ledger.domain.reservation_events import Line

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class LedgerInMemory:
    """Implements ``Work``; every unit is kept unless ``back_to`` says otherwise."""

    def __init__(self) -> None:
        self.streams: dict[str, tuple[Any, ...]] = {}
        self.states: dict[str, Versioned[Any]] = {}
        self.timers: dict[str, datetime] = {}
        self.at = NOON
        self.command_id = "command"

    def mark(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, datetime]]:
        return dict(self.streams), dict(self.states), dict(self.timers)

    def back_to(self, mark: tuple[dict[str, Any], dict[str, Any], dict[str, datetime]]) -> None:
        self.streams, self.states, self.timers = mark

    @property
    def sql(self) -> Sql:
        """No tables; only handed on to ports, which here do not look."""
        return cast("Sql", None)

    @property
    def cause(self) -> Cause:
        return Cause("demo", self.command_id)

    @property
    def now(self) -> datetime:
        return self.at

    async def state[C, S, E](self, kind: Kind[C, S, E], key: str) -> Versioned[S]:
        return self._now(kind, key)

    def _now[C, S, E](self, kind: Kind[C, S, E], key: str) -> Versioned[S]:
        return self.states.get(f"{kind.category}-{key}") or Versioned(kind.decider.initial, 0)

    def expect_new[C, S, E](self, kind: Kind[C, S, E], key: str) -> None:
        """Everything is at hand."""

    async def load[C, S, E](self, kind: Kind[C, S, E], keys: Iterable[str]) -> None:
        """Everything is at hand."""

    def at_hand[C, S, E](
        self, kind: Kind[C, S, E], keys: Iterable[str]
    ) -> Mapping[str, Versioned[S]]:
        states = {key: self.states.get(f"{kind.category}-{key}") for key in keys}
        return {key: state for key, state in states.items() if state is not None}

    def begin_streams[C, S, E](
        self, kind: Kind[C, S, E], begun: Sequence[tuple[Cause, Sequence[tuple[str, C]]]]
    ) -> None:
        for _, commands in begun:
            for key, command in commands:
                known = self._now(kind, key)
                self._keep(kind, key, known, kind.decider.decide(command, known.state))

    async def read_on[C, S, E](self, kind: Kind[C, S, E], keys: Iterable[str]) -> None:
        """Nobody else writes."""

    def begin(self, cause: Cause) -> None:
        """Who asked is not looked at."""

    async def handle[C, S, E](self, kind: Kind[C, S, E], key: str, command: C) -> Sequence[E]:
        known = self._now(kind, key)
        events = kind.decider.decide(command, known.state)
        self._keep(kind, key, known, events)
        return events

    def _keep[C, S, E](
        self, kind: Kind[C, S, E], key: str, known: Versioned[S], events: Sequence[E]
    ) -> None:
        stream = f"{kind.category}-{key}"
        state = known.state
        for event in events:
            state = kind.decider.evolve(state, event)
        if events:
            self.streams[stream] = (*self.streams.get(stream, ()), *events)
            self.states[stream] = Versioned(state, known.version + len(events))

    async def hear[M, S, C](
        self, kind: ProcessKind[M, S, C], key: str, message: M, send: Send[C]
    ) -> None:
        raise AssertionError("this service has no process")

    async def set_timer(self, timer_id: str, due_at: datetime, name: str, key: str) -> None:
        self.timers[timer_id] = due_at

    async def cancel_timer(self, timer_id: str) -> None:
        self.timers.pop(timer_id, None)


async def nowhere(sql: Sql, tenant: str, wanted: Sequence[Line]) -> Sequence[Mapping[str, str]]:
    """No other site has anything."""
    return []
