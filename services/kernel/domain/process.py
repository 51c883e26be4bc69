"""A process: what one thing that happened makes us do next."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Process[Message, State, Command]:
    """A process manager: pure, and replayable from the messages it heard.

    Both functions get the state *before* the message. The runner records the message in the
    process's own stream and sends the commands with ids derived from the message's id, in one
    transaction; hearing a message twice is therefore harmless.

    Attributes:
        initial: State of a process that has heard nothing.
        react: Maps a message and the state before it to the commands it calls for.
        evolve: Maps the state and the message to the next state. Never raises.
    """

    initial: State
    react: Callable[[Message, State], Sequence[Command]]
    evolve: Callable[[State, Message], State]


@dataclass(frozen=True, slots=True)
class ProcessKind[Message, State, Command]:
    """A kind of process stream.

    Attributes:
        category: First part of the stream id, for example ``fulfilment``.
        process: The rule.
    """

    category: str
    process: Process[Message, State, Command]
