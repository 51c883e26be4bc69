"""Domain events to stored bytes and back, under explicit versioned names."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from services.kernel.domain.errors import Invalid

# As JSON has it; not the words of somebody who writes of it, whose backslash is doubled.
_ZERO = b"\\u0000"
_ZERO_BYTE = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

type Upcast = Callable[[dict[str, Any]], dict[str, Any]]


class UnknownEventTypeError(LookupError):
    """A stored name that no class of this version knows: newer code wrote it."""


class EventCodec:
    """Maps stored type names (``order.placed.v1``) to frozen dataclasses.

    State is JSON, so that an analyst reads it without us. The class always has the shape of the
    newest version; an older version is brought up to it in steps, one ``Upcast`` per version.

    Args:
        types: Newest stored name of every event class: ``{"order.placed.v2": OrderPlaced}``.
        upcasts: For each older name still in some log, the step to the *next* version:
            ``{"order.placed.v1": add_currency}``; it maps the decoded fields of v1 to those of v2.

        states: Of each category of streams that grow long, the name of the format in which its
            state is kept, and its class. A changed class gets another name; states under the old
            one are then passed over, and folded anew.

    Raises:
        ValueError: A name has no version, a class has two names, or a step leads nowhere.
    """

    def __init__(
        self,
        types: Mapping[str, type[Any]],
        upcasts: Mapping[str, Upcast] | None = None,
        states: Mapping[str, tuple[str, type[Any]]] | None = None,
    ) -> None:
        self._state_formats = {category: name for category, (name, _) in (states or {}).items()}
        self._state_decoders: dict[str, Callable[[bytes], Any]] = {
            category: msgspec.json.Decoder(state_type).decode
            for category, (_, state_type) in (states or {}).items()
        }
        self._names = {event_type: name for name, event_type in types.items()}
        if len(self._names) != len(types):
            raise ValueError("an event class has two names")
        self._encode = msgspec.json.Encoder().encode
        self._decoders: dict[str, Callable[[bytes], Any]] = {
            name: msgspec.json.Decoder(event_type).decode for name, event_type in types.items()
        }
        for name in (*types, *(upcasts or {})):
            _next_version(name)
        self._fields = msgspec.json.Decoder(dict[str, Any]).decode
        for name in upcasts or {}:
            self._decoders[name] = self._upcasting(name, dict(types), dict(upcasts or {}))

    def name_of(self, event: object) -> str:
        """Return the stored name of an event."""
        return self._names[type(event)]

    def names(self) -> frozenset[str]:
        """Return every name that can be decoded, old versions included."""
        return frozenset(self._decoders)

    def encode(self, event: object) -> tuple[str, bytes]:
        """Return name and state.

        Raises:
            Invalid: A text holds a zero byte. An event takes one, and a table does not: it would
                stop every read model that shows it, for everybody.
        """
        state = self._encode(event)
        if _ZERO in state and _ZERO_BYTE.search(state):
            raise Invalid(("text", "holds a zero byte, which no table can keep: leave it out"))
        return self._names[type(event)], state

    def decode(self, name: str, state: bytes) -> Any:
        """Return the event.

        Raises:
            UnknownEventTypeError: The name is not known to this version of the service.
            msgspec.ValidationError: The state does not fit the class.
        """
        try:
            decoder = self._decoders[name]
        except KeyError:
            raise UnknownEventTypeError(name) from None
        return decoder(state)

    def state_format(self, category: str) -> str | None:
        """Return the name of the format in which states of a category are kept, if they are."""
        return self._state_formats.get(category)

    def encode_state(self, state: object) -> bytes:
        """Return a state as it is kept."""
        return self._encode(state)

    def decode_state(self, category: str, data: bytes) -> Any:
        """Return the state.

        Raises:
            msgspec.ValidationError: It does not fit the class.
        """
        return self._state_decoders[category](data)

    def _upcasting(
        self, name: str, types: dict[str, type[Any]], upcasts: dict[str, Upcast]
    ) -> Callable[[bytes], Any]:
        steps: list[Upcast] = []
        while name in upcasts:
            steps.append(upcasts[name])
            name = _next_version(name)
        if name not in types:
            raise ValueError(f"upcasting ends at {name}, which no class has")
        event_type = types[name]

        def decode(state: bytes) -> Any:
            fields = self._fields(state)
            for step in steps:
                fields = step(fields)
            return msgspec.convert(fields, event_type)

        return decode


def _next_version(name: str) -> str:
    stem, _, version = name.rpartition(".v")
    if not stem or not version.isdigit():
        raise ValueError(f"{name!r} does not end in a version such as '.v1'")
    return f"{stem}.v{int(version) + 1}"
