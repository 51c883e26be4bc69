"""The OpenAPI 3.1 document, made from the routes and the contracts: it cannot drift from them."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from services.gateway.entrypoints.http.problems import CODES, REASONS
from services.gateway.entrypoints.http.routes import (
    EXPECTED_VERSION,
    REQUEST_ID,
    Composed,
    Route,
)
from services.gateway.entrypoints.http.schemas import (
    Components,
    Schema,
    field_schema,
    object_schema,
    reference,
)

_HIDDEN = (REQUEST_ID, EXPECTED_VERSION)
_PROBLEM: Schema = {
    "type": "object",
    "required": ["type", "title", "status", "reason", "correlation_id"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "reason": {
            "type": "string",
            "examples": sorted({*REASONS, *(reason for reason, _ in CODES.values())}),
        },
        "correlation_id": {"type": "string"},
        "trace_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
        "alternatives": {"type": "array", "items": {"type": "object"}},
    },
}
_KEY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "Your own id of this request, the same on every retry; kept seven days.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}


def document(routes: Iterable[Route | Composed]) -> dict[str, Any]:
    """Return the OpenAPI document of these routes."""
    components: Components = {"Problem": _PROBLEM}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        operation = (
            _of_route(route, components)
            if isinstance(route, Route)
            else _of_composed(route, components)
        )
        paths.setdefault(route.path, {})[route.verb.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "So'OMS",
            "version": "1",
            "summary": "Order management for retail chains.",
            "description": "Errors are application/problem+json (RFC 9457). Times are RFC 3339, "
            "amounts are minor units, quantities are base units of the product.",
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "tags": [{"name": tag} for tag in sorted({_tag(path) for path in paths})],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _of_route(route: Route, components: Components) -> dict[str, Any]:
    fields = route.method.input_type.fields_by_name
    in_path = _names(route.path)
    parameters: list[Schema] = [_in_path(name) for name in in_path]
    operation: dict[str, Any] = {}
    if route.needs_key:
        parameters.append(_KEY)
    if EXPECTED_VERSION in fields:
        parameters.append(_header("If-Match", "ETag of what you saw; another version is 412."))
    hidden = {*in_path, *route.fixed, *_HIDDEN}
    if route.verb in ("POST", "PUT"):
        operation["requestBody"] = _body(_body_schema(route, hidden, components))
    elif not route.is_command:
        parameters += [
            {"name": name, "in": "query", "schema": field_schema(field, components)}
            for name, field in fields.items()
            if name not in hidden and field.message_type is None
        ]
    answer = route.method.output_type
    schema = reference(
        answer.fields_by_name[route.shows].message_type if route.shows else answer, components
    )
    if route.names_what_it_made:
        schema = object_schema(answer, components)
        schema["properties"] |= {route.minted: {"type": "string"}}
    operation |= {"parameters": parameters}
    return _operation(route, operation, _success(schema))


def _body_schema(route: Route, hidden: Iterable[str], components: Components) -> Schema:
    message = route.method.input_type
    if route.takes:
        return reference(message.fields_by_name[route.takes].message_type, components)
    if not route.nests:
        return object_schema(message, components, tuple(hidden))
    outer = object_schema(message, components, (*hidden, route.nests))
    nested = message.fields_by_name[route.nests].message_type
    inner = object_schema(nested, components, tuple(hidden))
    return {**outer, "properties": outer["properties"] | inner["properties"]}


def _of_composed(route: Composed, components: Components) -> dict[str, Any]:
    parameters = [_in_path(name) for name in _names(route.path)]
    parameters += [{"schema": {"type": "string"}, **one} for one in route.parameters]
    if route.needs_key:
        parameters.append(_KEY)
    operation: dict[str, Any] = {"parameters": parameters}
    if route.body is not None:
        schema = object_schema(route.body.input_type, components, route.hidden)
        if "kind" in route.extra:
            schema["properties"]["kind"] = route.extra["kind"]
            schema["properties"]["rows"] = {"type": "array", "items": {"type": "object"}}
        operation["requestBody"] = _body(schema)
    answer: Schema = {"type": "object"}
    if route.answers is not None:
        answer = reference(route.answers.output_type, components)
    if route.produces != "application/json":
        answer = {"type": "string"}
    return _operation(route, operation, _success(answer, route.produces))


def _operation(
    route: Route | Composed, operation: Mapping[str, Any], success: Schema
) -> dict[str, Any]:
    responses: dict[str, Any] = {str(route.status): success}
    if route.path == "/v1/orders" and route.verb == "POST":
        responses["202"] = success
    responses["4XX"] = responses["default"] = {
        "description": "A problem.",
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
        },
    }
    return {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "tags": [_tag(route.path)],
        **operation,
        "responses": responses,
    }


def _operation_id(route: Route | Composed) -> str:
    words = re.findall(r"[A-Za-z0-9]+", route.path.removeprefix("/v1"))
    return "_".join([route.verb.lower(), *words])


def _tag(path: str) -> str:
    return re.split(r"[/:]", path.removeprefix("/v1/"))[0]


def _names(path: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", path)


def _in_path(name: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _header(name: str, description: str) -> Schema:
    return {
        "name": name, "in": "header", "description": description, "schema": {"type": "string"}
    }  # fmt: skip


def _body(schema: Schema) -> Schema:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _success(schema: Schema, media_type: str = "application/json") -> Schema:
    return {"description": "Done.", "content": {media_type: {"schema": schema}}}
