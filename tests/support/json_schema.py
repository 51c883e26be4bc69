"""Whether a value is what a schema of our OpenAPI document allows: the few keywords it uses."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

_PREFIX = "#/components/schemas/"
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
_KNOWN = {
    *("type", "properties", "required", "additionalProperties", "items", "enum", "format"),
    *("minimum", "maxItems", "description", "examples", "title"),
}


def faults(value: Any, schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> list[str]:
    """Return where the value is not what the schema allows, and why.

    Args:
        value: Of JSON.
        schema: That it shall follow.
        schemas: Components that it may refer to, by name.
    """
    return list(_faults(value, schema, schemas, ""))


def _faults(
    value: Any, schema: Mapping[str, Any], schemas: Mapping[str, Any], at: str
) -> Iterator[str]:
    if "$ref" in schema:
        yield from _faults(value, schemas[schema["$ref"].removeprefix(_PREFIX)], schemas, at)
        return
    if unknown := set(schema) - _KNOWN:
        yield f"{at}: keywords {unknown} are not checked"
    if not schema:
        return
    kind = schema["type"]
    is_of_kind = isinstance(value, _TYPES[kind])
    if not is_of_kind or (isinstance(value, bool) and kind != "boolean"):
        yield f"{at}: {value!r} is no {kind}"
        return
    yield from _narrower(value, schema, at)
    if kind == "array":
        for index, item in enumerate(value):
            yield from _faults(item, schema.get("items", {}), schemas, f"{at}/{index}")
    if kind == "object":
        yield from _members(value, schema, schemas, at)


def _narrower(value: Any, schema: Mapping[str, Any], at: str) -> Iterator[str]:
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: {value!r} is none of {schema['enum']}"
    if "minimum" in schema and value < schema["minimum"]:
        yield f"{at}: {value!r} is too small"
    if "maxItems" in schema and len(value) > schema["maxItems"]:
        yield f"{at}: more than {schema['maxItems']} items"
    if schema.get("format") == "date-time" and datetime.fromisoformat(value).tzinfo is None:
        yield f"{at}: {value!r} has no zone"


def _members(
    value: Mapping[str, Any], schema: Mapping[str, Any], schemas: Mapping[str, Any], at: str
) -> Iterator[str]:
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{at}: {name} is missing"
    for name, item in value.items():
        if name in properties:
            yield from _faults(item, properties[name], schemas, f"{at}/{name}")
        elif schema.get("additionalProperties") is False:
            yield f"{at}: {name} is unknown"
