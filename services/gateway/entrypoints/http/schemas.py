"""The OpenAPI schemas of messages, read from the contracts so that they cannot drift."""

from collections.abc import Collection
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway.entrypoints.http.wire import enum_names

type Described = Any  # a Descriptor; the stubs know two classes of them
type Schema = dict[str, Any]
type Components = dict[str, Schema]

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


def reference(descriptor: Described, components: Components) -> Schema:
    """Return a reference to the message's schema, entering it and all it holds."""
    name = descriptor.full_name.removeprefix("oms.")
    if name not in components:
        components[name] = {}  # before its fields: a message may hold itself
        components[name] = object_schema(descriptor, components)
    return {"$ref": f"#/components/schemas/{name}"}


def object_schema(
    descriptor: Described, components: Components, hidden: Collection[str] = ()
) -> Schema:
    """Return the schema of a message without the hidden fields."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            field.name: field_schema(field, components)
            for field in descriptor.fields
            if field.name not in hidden
        },
    }


def field_schema(field: Described, components: Components) -> Schema:
    """Return the schema of one field."""
    one = _one(field, components)
    return {"type": "array", "items": one} if field.is_repeated else one


def _one(field: Described, components: Components) -> Schema:
    if field.enum_type is not None:
        names = [name for number, name in enum_names(field.enum_type).items() if number != 0]
        return {"type": "string", "enum": [*names, "unspecified"]}
    if field.message_type is None:
        return dict(_SCALARS[field.cpp_type])
    if field.message_type.full_name == Timestamp.DESCRIPTOR.full_name:
        return {"type": "string", "format": "date-time"}
    return reference(field.message_type, components)
