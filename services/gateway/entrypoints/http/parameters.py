"""What a URL and its headers may carry: declared to FastAPI, validated by pydantic.

The rule for one value is the codec's, so that a number in a URL and in a body are held to the same
bounds and refused in the same words.
"""

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from fastapi import Header, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, create_model
from pydantic_core import PydanticCustomError

from services.gateway.entrypoints.http.problems import Problem, problem
from services.gateway.entrypoints.http.schemas import Described, field_schema, said, usual
from services.gateway.entrypoints.http.wire import Malformed, from_text, is_time

IDEMPOTENCY_KEY = "Idempotency-Key"
_KEY = re.compile(r'"?([\x21\x23-\x5b\x5d-\x7e]{1,255})"?')
_KEY_RULE = f"{IDEMPOTENCY_KEY}: 1 to 255 visible characters"
_MAX_DIGITS = 18  # of a version
_MAX_FAULTS = 20
_UNKNOWN = "unknown parameter"
_PYTHON: Mapping[int, type] = {
    FieldDescriptor.CPPTYPE_INT32: int,
    FieldDescriptor.CPPTYPE_INT64: int,
    FieldDescriptor.CPPTYPE_UINT32: int,
    FieldDescriptor.CPPTYPE_UINT64: int,
    FieldDescriptor.CPPTYPE_BOOL: bool,
    FieldDescriptor.CPPTYPE_STRING: str,
}
_STRICT = ConfigDict(extra="forbid", protected_namespaces=())


def _key(text: str) -> str:
    found = _KEY.fullmatch(text)
    if found is None:
        raise PydanticCustomError("key", "{rule}", {"rule": _KEY_RULE})
    return found[1]


def _key_or_none(text: str) -> str:
    return _key(text) if text else ""


def version_in(tag: str) -> int:
    """Return the version that an ETag names; 0 when there is none."""
    text = tag.strip().removeprefix("W/").strip('"')
    if text in ("", "*"):
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise PydanticCustomError("etag", "{tag} is not the ETag of a version", {"tag": repr(tag)})
    return int(text)


_KEY_SCHEMA = WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 255})
_KEY_TOLD = "Your own id of this request, the same on every retry; kept seven days."
_ETAG_SCHEMA = WithJsonSchema({"type": "string"})

# What may be left out has a factory, not a default: a default would stand in the document, and be
# filled in by those who try the API there.
RequiredKey = Annotated[
    str,
    Header(alias=IDEMPOTENCY_KEY, description=_KEY_TOLD),
    BeforeValidator(_key),
    _KEY_SCHEMA,
]
OptionalKey = Annotated[
    str,
    Header(alias=IDEMPOTENCY_KEY, description=_KEY_TOLD, default_factory=str),
    BeforeValidator(_key_or_none),
    _KEY_SCHEMA,
]
IfMatch = Annotated[
    int,
    Header(
        alias="If-Match",
        description="ETag of what you saw; another version is 412.",
        default_factory=int,
    ),
    BeforeValidator(version_in),
    _ETAG_SCHEMA,
]
BasketId = Annotated[str, Path(description=usual("basket_id"))]
OrderId = Annotated[str, Path(description=usual("order_id"))]
LastEventId = Annotated[
    int,
    Header(alias="Last-Event-ID", description="Resume after it.", default_factory=int),
    BeforeValidator(version_in),
    _ETAG_SCHEMA,
]
MinVersion = Annotated[
    int,
    Query(
        description="Wait until at least this version can be read: the one you just wrote.",
        default_factory=int,
    ),
    BeforeValidator(version_in),
    WithJsonSchema({"type": "integer", "format": "int64"}),
]


def query_model(message: Described, hidden: Collection[str] = (), **more: Any) -> type[BaseModel]:
    """Return the parameters that a message has in a URL: those of its fields that are not hidden.

    Args:
        message: Descriptor of the request.
        hidden: Fields that come from elsewhere.
        more: Parameters that are no fields of it, as ``create_model`` takes them.
    """
    fields: dict[str, Any] = {
        field.name: _parameter(field)
        for field in message.fields
        if field.name not in hidden and (field.message_type is None or is_time(field))
    }
    return create_model(f"{message.name}Query", __config__=_STRICT, **fields, **more)


def _parameter(field: Described) -> tuple[Any, Any]:
    if is_time(field):
        kind: Any = datetime
    else:
        kind = int if field.enum_type is not None else _PYTHON[field.cpp_type]
    schema = field_schema(field, given=True)
    rules = (BeforeValidator(partial(_read, field)), WithJsonSchema(schema.get("items", schema)))
    one: Any = Annotated[kind, *rules]
    told = said(field) or None
    if field.is_repeated:
        return list[one], Field(default_factory=list, description=told)
    return one, Field(default_factory=_nothing if is_time(field) else kind, description=told)


def _nothing() -> None:
    """What a time is that was not given: never read, because fields that are not set are not."""


def _read(field: Described, text: str) -> Any:
    wrong, value = from_text(field, text)
    if wrong:
        raise PydanticCustomError("value", "{wrong}", {"wrong": wrong})
    return value


def filled[M: Message](message: M, query: BaseModel | None) -> M:
    """Return the message with what the URL gave."""
    if query is not None:
        fields = message.DESCRIPTOR.fields_by_name
        for name in query.model_fields_set:
            if name not in fields:
                continue
            value: Any = getattr(query, name)
            if fields[name].is_repeated:
                getattr(message, name).extend(value)
            elif isinstance(value, datetime):
                getattr(message, name).FromDatetime(value)
            else:
                setattr(message, name, value)
    return message


def refuse_stray(request: Request, known: Collection[str], lists: Collection[str] = ()) -> None:
    """Refuse parameters that are unknown, or repeated without being a list.

    FastAPI would pass over the one and take the last of the other: a typing error would go unseen.
    """
    if not request.scope["query_string"]:
        return
    seen: set[str] = set()
    faults: list[tuple[str, str]] = []
    for name, _ in request.query_params.multi_items():
        if name not in known:
            faults.append((f"?{name}", _UNKNOWN))
        elif name in seen and name not in lists:
            faults.append((f"?{name}", "given more than once"))
        seen.add(name)
    if faults:
        raise Malformed(*faults[:_MAX_FAULTS])


def problem_of_parameters(error: RequestValidationError) -> Problem:
    """Return what is told about parameters that FastAPI refused, with the pointers we use."""
    faults: list[tuple[str, str]] = []
    for one in error.errors()[:_MAX_FAULTS]:
        place, name = one["loc"][0], str(one["loc"][1])
        if name == IDEMPOTENCY_KEY:
            return problem("IDEMPOTENCY_KEY_MISSING", _KEY_RULE)
        wrong = _UNKNOWN if one["type"] == "extra_forbidden" else one["msg"]
        faults.append((f"?{name}" if place == "query" else "", wrong))
    return problem("MALFORMED_REQUEST", errors=faults)
