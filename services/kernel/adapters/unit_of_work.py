"""The unit of work that use cases and subscribers share: decide now, append at the end."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from services.kernel.adapters.closed_books import closed_states
from services.kernel.adapters.event_codec import EventCodec
from services.kernel.adapters.event_log import Appended, NewEvent, append, encode_cause, load_states
from services.kernel.adapters.first_events import first_events
from services.kernel.adapters.timer_changes import TimerChanges
from services.kernel.application.runner import ConcurrentAppend
from services.kernel.application.state_cache import StateCache
from services.kernel.application.work import Send, Sql, Versioned
from services.kernel.domain.decider import Kind
from services.kernel.domain.errors import Rejected
from services.kernel.domain.ids import derive
from services.kernel.domain.messages import Cause, stream_id
from services.kernel.domain.process import ProcessKind

type Evolve = Callable[[Any, Any], Any]


def _nobody() -> Cause:
    return Cause("", "")


class UnitOfWork:
    """Implements ``Work``; the runner and the consumer decide where its events go.

    Args:
        sql: The service's tables; the transaction of the unit where there is one.
        codec: The service's stored names.
        cache: Read for states; the owner of the unit fills it after the commit.
        now: When the unit began.
        is_sole_writer: Whether no other process appends to this database. If not, a refusal or a
            silence that rests on a cached state is decided again on what the log says.
    """

    def __init__(
        self, sql: Sql, codec: EventCodec, cache: StateCache, now: datetime, *, is_sole_writer: bool
    ) -> None:
        self._sql = sql
        self._codec = codec
        self._cache = cache
        self._generation = cache.generation
        self._now = now
        self._is_sole_writer = is_sole_writer
        self._known: dict[str, Versioned[Any]] = {}
        self._read_here: set[str] = set()
        self._touched: dict[str, int] = {}
        self._cause: Cause | None = None
        self._because: Callable[[], Cause] = _nobody
        self._cause_bytes = b""
        self._ordinal = 0
        self.events: list[NewEvent] = []
        self.timers = TimerChanges()

    @property
    def sql(self) -> Sql:
        return self._sql

    @property
    def cause(self) -> Cause:
        if self._cause is None:
            self._cause = self._because()
        return self._cause

    @property
    def now(self) -> datetime:
        return self._now

    @property
    def is_outdated(self) -> bool:
        """Whether the states it may have relied on were dropped since it began."""
        return self._generation != self._cache.generation

    def begin(self, cause: Cause) -> None:
        """Say on whose behalf the commands that follow are handled."""
        self._cause = cause
        self._cause_bytes = b""
        self._ordinal = 0

    def begin_because(self, because: Callable[[], Cause]) -> None:
        """Do the same with a cause that is made when it is asked for: most messages need none."""
        self._cause = None
        self._because = because
        self._cause_bytes = b""
        self._ordinal = 0

    async def state[C, S, E](self, kind: Kind[C, S, E], key: str) -> Versioned[S]:
        stream = stream_id(self.cause.tenant, kind.category, key)
        return await self._state(stream, kind.decider.initial, kind.decider.evolve)

    def expect_new[C, S, E](self, kind: Kind[C, S, E], key: str) -> None:
        stream = stream_id(self.cause.tenant, kind.category, key)
        if self._known.get(stream) is None and self._cache.get(stream) is None:
            self._known[stream] = Versioned(kind.decider.initial, 0)

    def at_hand[C, S, E](
        self, kind: Kind[C, S, E], keys: Iterable[str]
    ) -> Mapping[str, Versioned[S]]:
        prefix = stream_id(self.cause.tenant, kind.category, "")
        known, cached = self._known.get, self._cache.get
        found: dict[str, Versioned[S]] = {}
        for key in keys:
            stream = prefix + key
            state = known(stream) or cached(stream)
            if state is not None:
                found[key] = state
        return found

    def begin_streams[C, S, E](
        self, kind: Kind[C, S, E], begun: Sequence[tuple[Cause, Sequence[tuple[str, C]]]]
    ) -> None:
        for cause, commands in begun:
            self.begin(cause)
            self.events += first_events(self._codec, kind, cause, commands)

    async def load[C, S, E](self, kind: Kind[C, S, E], keys: Iterable[str]) -> None:
        tenant = self.cause.tenant
        await self.load_streams(
            {stream_id(tenant, kind.category, key) for key in keys},
            kind.decider.initial,
            kind.decider.evolve,
        )

    async def load_streams(self, streams: Iterable[str], initial: Any, evolve: Evolve) -> None:
        """Read the streams that are neither known to the unit nor cached."""
        missing = {
            stream: (initial, evolve)
            for stream in streams
            if stream not in self._known and self._cache.get(stream) is None
        }
        if missing:
            closed = await closed_states(self._sql, self._codec, missing)
            self._known |= await load_states(self._sql, self._codec, missing, closed)
            self._read_here |= missing.keys()

    async def read_on[C, S, E](self, kind: Kind[C, S, E], keys: Iterable[str]) -> None:
        if self._is_sole_writer:
            await self.load(kind, keys)
            return
        decider = kind.decider
        streams = [stream_id(self.cause.tenant, kind.category, key) for key in keys]
        behind = [
            stream
            for stream in streams
            if stream not in self._read_here and stream not in self._touched
        ]
        await self._read_on(behind, decider.initial, decider.evolve)

    async def handle[C, S, E](self, kind: Kind[C, S, E], key: str, command: C) -> Sequence[E]:
        stream = stream_id(self.cause.tenant, kind.category, key)
        decider = kind.decider
        known = await self._state(stream, decider.initial, decider.evolve)
        try:
            events = decider.decide(command, known.state)
        except Rejected:
            fresh = await self._afresh(stream, known, decider.initial, decider.evolve)
            if fresh is None:
                raise
            known, events = fresh, decider.decide(command, fresh.state)
        if not events:
            fresh = await self._afresh(stream, known, decider.initial, decider.evolve)
            if fresh is not None:
                known, events = fresh, decider.decide(command, fresh.state)
        self._record(stream, known, events, decider.evolve)
        return events

    async def hear[M, S, C](
        self, kind: ProcessKind[M, S, C], key: str, message: M, send: Send[C]
    ) -> None:
        stream = stream_id(self.cause.tenant, kind.category, key)
        process = kind.process
        known = await self._state(stream, process.initial, process.evolve)
        commands = process.react(message, known.state)
        self._record(stream, known, [message], process.evolve)
        for command in commands:
            await send(self, command)

    async def set_timer(self, timer_id: str, due_at: datetime, name: str, key: str) -> None:
        self.timers.set(self.cause, timer_id, due_at, name, key)

    async def cancel_timer(self, timer_id: str) -> None:
        self.timers.cancel(self.cause, timer_id)

    async def write(self, sql: Any) -> Appended | None:
        """Write timers and events, as part of the transaction that ``sql`` is in.

        Returns:
            Where the events are in the log; None without events.

        Raises:
            ConcurrentAppend: Another appended meanwhile, or what the unit relied on was dropped;
                the transaction must not commit.
        """
        if self.is_outdated:
            raise ConcurrentAppend("the database was lost meanwhile")
        await self.timers.write(sql)
        if not self.events:
            return None
        answer = await append(sql, [self.events])
        if answer.refused:
            raise ConcurrentAppend(self.events[0].stream)
        return answer

    def keep(self) -> None:
        """Cache the states that this unit knows; called after its commit."""
        if self.is_outdated:
            return
        for stream, state in self._known.items():
            self._cache.put(stream, state)

    def is_overtaken(self) -> bool:
        """Say whether this process knows that the append would be refused."""
        get = self._cache.get
        return any(
            (cached := get(stream)) is not None and cached.version > version
            for stream, version in self._touched.items()
        )

    def forget(self) -> None:
        """Drop the states that this unit relied on; called when it lost a race.

        A state that is newer than what it relied on is the winner's, and is kept.
        """
        for stream, version in self._touched.items():
            cached = self._cache.get(stream)
            if cached is not None and cached.version <= version:
                self._cache.drop(stream)

    async def _state(self, stream: str, initial: Any, evolve: Evolve) -> Versioned[Any]:
        known = self._known.get(stream) or self._cache.get(stream)
        if known is None:
            await self.load_streams([stream], initial, evolve)
            known = self._known[stream]
        return known

    async def _afresh(
        self, stream: str, known: Versioned[Any], initial: Any, evolve: Evolve
    ) -> Versioned[Any] | None:
        """Return the state that the log holds, if ``known`` may be behind it; else nothing."""
        if self._is_sole_writer or stream in self._read_here or stream in self._touched:
            return None
        await self._read_on([stream], initial, evolve)
        fresh = self._known[stream]
        return fresh if fresh.version != known.version else None

    async def _read_on(self, streams: Sequence[str], initial: Any, evolve: Evolve) -> None:
        """Read what follows the states at hand: of a long stream the few newest events."""
        if not streams:
            return
        at_hand = {s: self._known.get(s) or self._cache.get(s) for s in streams}
        unknown = [stream for stream, state in at_hand.items() if state is None]
        at_hand |= await closed_states(self._sql, self._codec, unknown)
        self._known |= await load_states(
            self._sql,
            self._codec,
            dict.fromkeys(streams, (initial, evolve)),
            {stream: state for stream, state in at_hand.items() if state is not None},
        )
        self._read_here |= set(streams)
        if not self.is_outdated:  # read from the log, so true whatever becomes of this unit
            for stream in streams:
                self._cache.put(stream, self._known[stream])

    def _record(
        self, stream: str, known: Versioned[Any], events: Sequence[Any], evolve: Evolve
    ) -> None:
        if not events:
            return
        state, version = known.state, known.version
        cause = self.cause
        if not self._cause_bytes:  # most messages come to nothing: encoded when one does not
            self._cause_bytes = encode_cause(cause)
        for event in events:
            version += 1
            topic, data = self._codec.encode(event)
            state = evolve(state, event)
            self.events.append(
                NewEvent(
                    *(
                        stream,
                        version,
                        topic,
                        data,
                        derive(cause.tenant, cause.command_id, self._ordinal),
                    ),
                    *(self._cause_bytes, cause, event),
                )
            )
            self._ordinal += 1
        self._known[stream] = Versioned(state, version)
        self._touched.setdefault(stream, known.version)
