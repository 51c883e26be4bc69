"""The one shape every business rule in this repository takes."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce


@dataclass(frozen=True, slots=True)
class Decider[Command, State, Event]:
    """A decision procedure over one stream: pure, total, replayable.

    Attributes:
        initial: State of a stream that has no events yet.
        decide: Maps a command and the current state to the events that record the
            decision. Returns an empty sequence when the state already satisfies the
            command, so repeating a command is harmless. Raises ``Rejected`` when a
            rule forbids it.
        evolve: Maps a state and one event to the next state. Never raises and never
            checks a rule: history is accepted as it was written.
    """

    initial: State
    decide: Callable[[Command, State], Sequence[Event]]
    evolve: Callable[[State, Event], State]

    def fold(self, events: Iterable[Event]) -> State:
        """Return the state a stream with these events, oldest first, is in."""
        return reduce(self.evolve, events, self.initial)


@dataclass(frozen=True, slots=True)
class Kind[Command, State, Event]:
    """A kind of stream: the category its ids begin with, and the rule that owns it.

    Attributes:
        category: First part of the stream id, for example ``order``; unique in a service.
        decider: The rule.
    """

    category: str
    decider: Decider[Command, State, Event]
