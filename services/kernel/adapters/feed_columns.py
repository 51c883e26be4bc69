"""A feed as a table: the attributes of the envelope, and the fields of every event beside them.

The columns follow from the contract alone, so an export has the same whatever it contains:

* an event that consists of one message shows this message's fields;
* a field of a message within is called after both, unless it says so already: ``amount_currency``,
  but ``group_id`` for the ``group_id`` of ``group``;
* two events that call the same kind of thing by the same name share a column; if the kinds differ,
  each is called after its event;
* what repeats stays a list, of structs where its elements are messages.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from services.kernel.adapters.feed_contracts import FeedContract, PublicEvent

TIMESTAMP = "google.protobuf.Timestamp"
_SCALARS = {
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_FLOAT: "double",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_UINT32: "int64",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """What a column holds.

    Attributes:
        kind: ``string``, ``int32``, ``int64``, ``double``, ``bool``, ``bytes``, ``timestamp``,
            ``struct`` or ``list``.
        parts: Of a struct: its fields. Of a list: its element, under an empty name.
    """

    kind: str
    parts: tuple[tuple[str, "Shape"], ...] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a feed's table."""

    name: str
    shape: Shape


_STRING, _INT64 = Shape("string"), Shape("int64")
ENVELOPE: Sequence[tuple[Column, Callable[[PublicEvent], Any]]] = (
    (Column("event", _STRING), lambda one: one.name),
    (Column("event_id", _STRING), lambda one: one.envelope.event_id),
    (Column("tenant", _STRING), lambda one: one.envelope.tenant),
    (Column("stream", _STRING), lambda one: one.envelope.key),
    (Column("stream_version", Shape("int32")), lambda one: one.envelope.stream_version),
    (Column("log_position", _INT64), lambda one: one.envelope.position),
    (Column("recorded_at", Shape("timestamp")), lambda one: one.envelope.recorded_at),
    (Column("causation_id", _STRING), lambda one: one.envelope.causation_id),
    (Column("correlation_id", _STRING), lambda one: one.envelope.correlation_id),
    (Column("traceparent", _STRING), lambda one: one.envelope.traceparent),
)


class FeedTable:
    """The columns of some events of one feed, and each event as a row of them.

    Args:
        contract: The feed's.
        cases: The events that have columns; the others have rows of attributes only.
    """

    def __init__(self, contract: FeedContract, cases: Sequence[str] = ()) -> None:
        chosen = {case: contract.events[case] for case in cases or contract.events}
        found = {case: _columns(event) for case, event in chosen.items()}
        names = _names(found)
        places: dict[str, int] = {}
        columns: list[Column] = [column for column, _ in ENVELOPE]
        self._getters: dict[str, list[tuple[int, Sequence[str]]]] = {}
        for case, fields in found.items():
            self._getters[case] = []
            for column, path in fields:
                name = names[case, column.name]
                if name not in places:
                    places[name] = len(columns)
                    columns.append(Column(name, column.shape))
                self._getters[case].append((places[name], path))
        self.columns: Sequence[Column] = tuple(columns)

    def row(self, event: PublicEvent) -> list[Any]:
        """Return the values of an event, one per column."""
        values: list[Any] = [None] * len(self.columns)
        for n, (_, value) in enumerate(ENVELOPE):
            values[n] = value(event)
        for n, path in self._getters.get(event.case, ()):
            values[n] = _value(event.message, path)
        return values


def plain(message: Any) -> dict[str, Any]:
    """Return a message as plain values: numbers are numbers, enums names, times aware datetimes."""
    return {field.name: _field(message, field) for field in message.DESCRIPTOR.fields}


def _columns(event: Descriptor) -> list[tuple[Column, Sequence[str]]]:
    only = event.fields[0] if len(event.fields) == 1 else None
    if only is not None and only.message_type is not None and not only.is_repeated:
        return _flat(only.message_type, "", "", (only.name,))
    return _flat(event, "", "", ())


def _flat(
    message: Descriptor, prefix: str, parent: str, path: Sequence[str]
) -> list[tuple[Column, Sequence[str]]]:
    found: list[tuple[Column, Sequence[str]]] = []
    for field in message.fields:
        says_so = parent and field.name.startswith(f"{parent}_")
        before = prefix.removesuffix(f"{parent}_") if says_so else prefix
        name, here = before + field.name, (*path, field.name)
        kind = field.message_type
        if kind is None or field.is_repeated or kind.full_name == TIMESTAMP:
            found.append((Column(name, _shape(field)), here))
        else:
            found += _flat(kind, f"{name}_", field.name, here)
    return found


def _names(
    found: Mapping[str, Sequence[tuple[Column, Sequence[str]]]],
) -> dict[tuple[str, str], str]:
    """Return what each event's columns are called once all stand side by side."""
    shapes: dict[str, set[Shape]] = {}
    for column, _ in ENVELOPE:
        # An attribute is nobody's to share.
        shapes[column.name] = {column.shape, Shape("attribute")}
    for fields in found.values():
        for column, _ in fields:
            shapes.setdefault(column.name, set()).add(column.shape)
    return {
        (case, column.name): column.name
        if len(shapes[column.name]) == 1
        else f"{case}_{column.name}"
        for case, fields in found.items()
        for column, _ in fields
    }


def _shape(field: FieldDescriptor) -> Shape:
    if field.message_type is None:
        one = Shape("string") if field.enum_type is not None else Shape(_SCALARS[field.type])
    elif field.message_type.full_name == TIMESTAMP:
        one = Shape("timestamp")
    else:
        parts = tuple((part.name, _shape(part)) for part in field.message_type.fields)
        one = Shape("struct", parts)
    return Shape("list", (("", one),)) if field.is_repeated else one


def _value(message: Any, path: Sequence[str]) -> Any:
    for name in path[:-1]:
        if not message.HasField(name):
            return None
        message = getattr(message, name)
    return _field(message, message.DESCRIPTOR.fields_by_name[path[-1]])


def _field(message: Any, field: FieldDescriptor) -> Any:
    value = getattr(message, field.name)
    if field.is_repeated:
        return [_one(element, field) for element in value]
    if field.message_type is not None and not message.HasField(field.name):
        return None
    return _one(value, field)


def _one(value: Any, field: FieldDescriptor) -> Any:
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known else str(value)
    if field.message_type is None:
        return value
    if field.message_type.full_name == TIMESTAMP:
        return value.ToDatetime(UTC)
    return plain(value)
