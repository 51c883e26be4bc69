"""The OpenAPI schemas of messages, read from the contracts so that they cannot drift."""

import json
import re
from collections.abc import Collection, Mapping
from functools import cache
from importlib.resources import files
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


# What a field of this name is wherever its contract does not say more.
_USUAL = {
    "basket_id": "The basket, by the id its platform chose.",
    "channel": "The channel it is sold through; empty: none in particular.",
    "decision_id": "The sourcing decision, as the decisions of its order name it.",
    "extended_site_id": "The extended site.",
    "group_id": "The part of an order that one site prepares for one mode.",
    "line_id": "The line, by the id it got with its order or basket.",
    "message_id": "The message that was to be delivered.",
    "min_version": "Wait until at least this version can be read: the one you just wrote.",
    "mode_id": "The mode, for example click_and_collect.",
    "order_id": "The order, by the id its platform chose.",
    "page_size": "Most rows of a page; 0 means the default.",
    "page_token": "next_page_token of the page before; empty: the first page.",
    "reservation_id": "The reservation, by the id its caller chose; an order's has the order's id.",
    "return_id": "The return case.",
    "site_id": "The site.",
    "sku": "The product.",
    "task_id": "The picking task: the id of its group.",
    "webhook_id": "The webhook.",
}


def said(described: Described) -> str:
    """Return what the contract says of a message, a field or a method; or what is usually meant."""
    return _comments().get(described.full_name) or usual(described.name)


def usual(name: str) -> str:
    """Return what a field of this name is wherever nothing else is said of it; or nothing."""
    return _USUAL.get(name, "")


@cache
def _comments() -> Mapping[str, str]:
    comments: Mapping[str, str] = json.loads((files("oms") / "comments.json").read_text("utf-8"))
    return comments


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
    return _told(
        descriptor,
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                field.name: _told(field, field_schema(field))
                for field in descriptor.fields
                if field.name not in hidden
            },
        },
    )


def _told(described: Described, schema: Schema) -> Schema:
    return {**schema, "description": comment} if (comment := said(described)) else schema


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
