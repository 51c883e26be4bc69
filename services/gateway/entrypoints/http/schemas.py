"""The OpenAPI schemas of messages, read from the contracts so that they cannot drift."""

import re
from collections.abc import Collection
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway.entrypoints.http.wire import enum_names

type Described = Any  # a Descriptor; the stubs know two classes of them
type Schema = dict[str, Any]
type Components = dict[str, Schema]

_PREFIX = "#/components/schemas/"
_REFERENCE = re.compile(_PREFIX + r"([a-z_]+\.v\d+\.[\w.]+)")
_POOL: Any = descriptor_pool.Default()

_SCALARS: dict[int, Schema] = {
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.CPPTYPE_INT64: {"type": "integer", "format": "int64"},
    FieldDescriptor.CPPTYPE_UINT32: {"type": "integer", "minimum": 0},
    FieldDescriptor.CPPTYPE_UINT64: {"type": "integer", "minimum": 0},
    FieldDescriptor.CPPTYPE_DOUBLE: {"type": "number"},
    FieldDescriptor.CPPTYPE_FLOAT: {"type": "number"},
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.CPPTYPE_STRING: {"type": "string"},
}


def reference(descriptor: Described) -> Schema:
    """Return a reference to the message's schema; ``components_of`` finds it by its name."""
    return {"$ref": _PREFIX + descriptor.full_name.removeprefix("oms.")}


def components_of(document: Any) -> Components:
    """Return the schema of every message that the document refers to, and of what those hold."""
    components: Components = {}
    waiting: list[Any] = [document]
    while waiting:
        for name in set(_REFERENCE.findall(str(waiting.pop()))) - set(components):
            components[name] = object_schema(_POOL.FindMessageTypeByName(f"oms.{name}"))
            waiting.append(components[name])
    return components


def object_schema(descriptor: Described, hidden: Collection[str] = ()) -> Schema:
    """Return the schema of a message without the hidden fields."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            field.name: field_schema(field)
            for field in descriptor.fields
            if field.name not in hidden
        },
    }


def field_schema(field: Described, *, given: bool = False) -> Schema:
    """Return the schema of one field; of one that callers give, without what only we may say."""
    one = _one(field)
    if given and "enum" in one:
        one = {**one, "enum": one["enum"][:-1]}
    return {"type": "array", "items": one} if field.is_repeated else one


def _one(field: Described) -> Schema:
    if field.enum_type is not None:
        names = [name for number, name in enum_names(field.enum_type).items() if number != 0]
        return {"type": "string", "enum": [*names, "unspecified"]}
    if field.message_type is None:
        return dict(_SCALARS[field.cpp_type])
    if field.message_type.full_name == Timestamp.DESCRIPTOR.full_name:
        return {"type": "string", "format": "date-time"}
    return reference(field.message_type)
