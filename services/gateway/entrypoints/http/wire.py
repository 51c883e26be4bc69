"""Protobuf messages as JSON, and JSON as protobuf messages.

The JSON is what an HTTP user expects, which protobuf's own mapping is not: field names as in the
contract, 64-bit integers as numbers, enum values in lower case without their prefix, times in
RFC 3339. Unknown fields are refused, and every fault is told with its JSON pointer.
"""

import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

type Fault = tuple[str, str]
type Field = Any  # a FieldDescriptor; the stubs know two classes of them
type Write = Callable[[Any], Any]
type Rule = Callable[[Any], tuple[str, Any]]

_TIMESTAMP = Timestamp.DESCRIPTOR.full_name
_INTEGERS: Mapping[int, tuple[int, int]] = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_DECIMALS = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)
MAX_FAULTS = 20
_EPOCH_YEAR = 1


class Malformed(Exception):
    """A request does not have the shape of its contract.

    Attributes:
        faults: Pairs of JSON pointer and what is wrong there.
    """

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(f"{pointer}: {wrong}" for pointer, wrong in faults))
        self.faults = faults

    def without(self, nest: str) -> "Malformed":
        """Return the same faults as seen from inside field ``nest``."""
        if not nest:
            return self
        within = re.compile(rf"^/{nest}(?=/|$)")
        return Malformed(*[(within.sub("", at), why) for at, why in self.faults])


def to_json(message: Message) -> dict[str, Any]:
    """Return the message as plain values. Absent messages and optional scalars are left out."""
    shown: dict[str, Any] = {}
    for name, has_presence, write in _writers(message.DESCRIPTOR):
        if has_presence and not message.HasField(name):
            continue
        shown[name] = write(getattr(message, name))
    return shown


@cache
def _writers(descriptor: Descriptor) -> tuple[tuple[str, bool, Write], ...]:
    return tuple((field.name, field.has_presence, _writer(field)) for field in descriptor.fields)


def _writer(field: FieldDescriptor) -> Write:
    one: Write
    if field.message_type is not None:
        one = _time_to_json if field.message_type.full_name == _TIMESTAMP else to_json
    elif field.enum_type is not None:
        names = enum_names(field.enum_type)
        one = lambda number: names.get(number, str(number))  # noqa: E731 - one of three
    else:
        return list if field.is_repeated else lambda value: value  # as it is
    if not field.is_repeated:
        return one
    return lambda items: [one(item) for item in items]


def _time_to_json(time: Timestamp) -> str:
    moment = time.ToDatetime()
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds") + "Z"


@cache
def enum_names(enum: EnumDescriptor) -> dict[int, str]:
    """Return the name of each value as JSON shows it: ``ORDER_STATUS_PLACED`` is ``placed``."""
    prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum.name).upper() + "_"
    return {value.number: value.name.removeprefix(prefix).lower() for value in enum.values}


@cache
def _enum_numbers(enum: EnumDescriptor) -> dict[str, int]:
    return {name: number for number, name in enum_names(enum).items() if number != 0}


def from_json[M: Message](kind: type[M], value: Any, hidden: Collection[str] = ()) -> M:
    """Return the message that the JSON value stands for.

    Args:
        kind: Class of the message.
        value: Decoded JSON.
        hidden: Fields of ``kind`` that the body may not carry: they come from elsewhere.

    Raises:
        Malformed: The value does not fit; tells at most ``MAX_FAULTS`` faults.
    """
    message = kind()
    faults: list[Fault] = []
    _fill(message, value, faults, hidden)
    if faults:
        raise Malformed(*faults[:MAX_FAULTS])
    return message


def from_text(field: Field, text: str) -> tuple[str, Any]:
    """Return what is wrong with one value in a URL (or nothing), and the value."""
    return _rule(field)(_from_text(field, text))


def _from_text(field: Field, text: str) -> Any:
    if field.cpp_type in _INTEGERS:
        return int(text) if re.fullmatch(r"-?\d{1,19}", text) else text
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return {"true": True, "false": False}.get(text, text)
    return text


class _Reading(NamedTuple):
    """How one field is read."""

    is_repeated: bool
    is_message: bool
    is_time: bool
    rule: Rule


@cache
def _readings(descriptor: Descriptor) -> dict[str, _Reading]:
    return {
        field.name: _Reading(
            field.is_repeated,
            field.message_type is not None and not is_time(field),
            is_time(field),
            _rule(field),
        )
        for field in descriptor.fields
    }


def is_time(field: Field) -> bool:
    """Return whether the field is a time: a message, but one value to callers."""
    return field.message_type is not None and field.message_type.full_name == _TIMESTAMP


def _fill(message: Message, value: Any, faults: list[Fault], hidden: Collection[str] = ()) -> None:
    """Fill the message; faults are told as seen from it, and led further by the caller."""
    if not isinstance(value, dict):
        faults.append(("", "must be an object"))
        return
    readings = _readings(message.DESCRIPTOR)
    for name, item in value.items():
        known = len(faults)
        reading = readings.get(name)
        if reading is None or name in hidden:
            faults.append(("", "unknown field"))
        elif item is None:
            continue  # as if it were not there
        elif reading.is_repeated:
            _fill_list(getattr(message, name), reading, item, faults)
        elif reading.is_message:
            inner = getattr(message, name)
            inner.SetInParent()
            _fill(inner, item, faults)
        else:
            wrong = _put(message, name, reading, item)
            if wrong:
                faults.append(("", wrong))
        if len(faults) > known:
            _lead(faults, known, _escaped(name))
        if len(faults) >= MAX_FAULTS:
            return  # enough to tell: a hostile body has half a million


def _put(message: Message, name: str, reading: _Reading, item: Any) -> str:
    wrong, read = reading.rule(item)
    if not wrong and reading.is_time:
        getattr(message, name).FromDatetime(read)
    elif not wrong:
        setattr(message, name, read)
    return wrong


def _fill_list(target: Any, reading: _Reading, items: Any, faults: list[Fault]) -> None:
    if not isinstance(items, list):
        faults.append(("", "must be a list"))
        return
    for index, item in enumerate(items):
        known = len(faults)
        if reading.is_message:
            _fill(target.add(), item, faults)
        else:
            wrong, read = reading.rule(item)
            if wrong:
                faults.append(("", wrong))
            else:
                target.append(read)
        if len(faults) > known:
            _lead(faults, known, str(index))
        if len(faults) >= MAX_FAULTS:
            return


def _lead(faults: list[Fault], begin: int, step: str) -> None:
    """Put a step before the pointers of the faults from ``begin`` on."""
    faults[begin:] = [(f"/{step}{at}", why) for at, why in faults[begin:]]


@cache
def _rule(field: Field) -> Rule:
    """Return what reads one value of a field: what is wrong (or nothing), and the value."""
    if is_time(field):
        return _moment
    kind = field.cpp_type
    if kind in _INTEGERS:
        return partial(_integer, *_INTEGERS[kind])
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return partial(_enum, _enum_numbers(field.enum_type))
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return _boolean
    return _decimal if kind in _DECIMALS else _text


def _integer(low: int, high: int, item: Any) -> tuple[str, Any]:
    if isinstance(item, int) and not isinstance(item, bool) and low <= item <= high:
        return "", item
    return f"must be an integer from {low} to {high}", None


def _enum(numbers: Mapping[str, int], item: Any) -> tuple[str, Any]:
    if isinstance(item, str) and item in numbers:
        return "", numbers[item]
    return f"must be one of {', '.join(numbers)}", None


def _boolean(item: Any) -> tuple[str, Any]:
    return ("", item) if isinstance(item, bool) else ("must be true or false", None)


def _decimal(item: Any) -> tuple[str, Any]:
    is_number = isinstance(item, int | float) and not isinstance(item, bool)
    return ("", float(item)) if is_number else ("must be a number", None)


def _moment(item: Any) -> tuple[str, Any]:
    moment = _time(item)
    if moment is None:
        return "must be a time with its zone, such as 2026-05-01T08:30:00Z", None
    return "", moment


def _time(item: Any) -> datetime | None:
    if not isinstance(item, str):
        return None
    try:
        moment = datetime.fromisoformat(item)
    except ValueError:
        return None
    if moment.tzinfo is None or moment.year <= _EPOCH_YEAR:
        return None
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return None


def _text(item: Any) -> tuple[str, Any]:
    if not isinstance(item, str):
        return "must be a text", None
    try:
        item.encode()
    except UnicodeEncodeError:
        return "must be valid Unicode", None
    return ("must not contain a zero byte", None) if "\0" in item else ("", item)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def pointer_of(path: str) -> str:
    """Return the JSON pointer of a field path of a service.

    >>> pointer_of("lines[2].choice.site_id")
    '/lines/2/choice/site_id'
    """
    return "/" + re.sub(r"\[(\d+)\]", r"/\1", path).replace(".", "/") if path else ""
