"""The states of streams that were used last, so that a decision need not read them again."""

from collections import OrderedDict
from typing import Any

from services.kernel.application.work import Versioned


class StateCache:
    """A bounded map of stream id to the state after its newest event known here.

    An entry may be behind the log when another process writes to the stream. That is harmless:
    the append is refused by the expected version, the entry is dropped, and the unit runs again.

    Args:
        capacity: Most streams kept; the one unused longest goes first.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        # Grows when everything known is dropped; what was read before must not be relied on then.
        self.generation = 0
        self._states: OrderedDict[str, Versioned[Any]] = OrderedDict()

    def get(self, stream: str) -> Versioned[Any] | None:
        found = self._states.get(stream)
        if found is not None:
            self._states.move_to_end(stream)
        return found

    def put(self, stream: str, state: Versioned[Any]) -> None:
        """Keep ``state`` unless a newer one is known."""
        known = self._states.get(stream)
        if known is not None and known.version > state.version:
            return
        self._states[stream] = state
        self._states.move_to_end(stream)
        if len(self._states) > self._capacity:
            self._states.popitem(last=False)

    def drop(self, stream: str) -> None:
        self._states.pop(stream, None)

    def clear(self) -> None:
        self.generation += 1
        self._states.clear()

    def __len__(self) -> int:
        return len(self._states)
