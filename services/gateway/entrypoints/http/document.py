"""What the OpenAPI 3.1 document says beside what FastAPI knows: messages, read from the contracts.

FastAPI describes paths and parameters from the signatures it serves. Bodies and answers are
protobuf messages, which it does not know; they are put beside, and the messages that the document
refers to are entered at the end.
"""

from collections.abc import Collection, Sequence
from typing import Any

from google.protobuf.descriptor import MethodDescriptor

from services.gateway.entrypoints.http import examples
from services.gateway.entrypoints.http.endpoints import names_in
from services.gateway.entrypoints.http.problems import CODES, REASONS
from services.gateway.entrypoints.http.routes import EXPECTED_VERSION, REQUEST_ID, Route
from services.gateway.entrypoints.http.schemas import (
    Schema,
    components_of,
    object_schema,
    reference,
    said,
)

TITLE = "So'OMS"
VERSION = "1"
SUMMARY = "Order management for retail chains."
DESCRIPTION = (
    "Errors are application/problem+json (RFC 9457). Times are RFC 3339, amounts are minor units, "
    "quantities are base units of the product."
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
_REFUSED: Schema = {
    "description": "A problem.",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def completed(document: dict[str, Any]) -> dict[str, Any]:
    """Return FastAPI's document with the messages it refers to, and how to authenticate."""
    document["security"] = [{"key": []}]
    examples.enter(document)
    document["components"] = {
        "schemas": {"Problem": _PROBLEM, **components_of(document["paths"])},
        "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
    }
    return document


def described(
    *calls: MethodDescriptor,
    answer: Schema,
    body: Schema | None = None,
    statuses: Sequence[int] = (200,),
    media_type: str = "application/json",
) -> dict[str, Any]:
    """Return what ``add_api_route`` is to say of a route.

    Args:
        calls: The rpcs that it covers.
        answer: Schema of success.
        body: Schema of the JSON body, if it takes one.
        statuses: Of success.
        media_type: Of success.
    """
    names = [f"{one.containing_service.full_name}/{one.name}" for one in calls]
    operation: dict[str, Any] = {"x-rpc": names}
    if body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": body}},
        }
    success = {"description": "Done.", "content": {media_type: {"schema": answer}}}
    return {
        "description": said(calls[0]),
        "openapi_extra": operation,
        "responses": {**dict.fromkeys(statuses, success), "4XX": _REFUSED, "default": _REFUSED},
    }


def described_route(route: Route) -> dict[str, Any]:
    """Return the same of a row."""
    output = route.method.output_type
    answer = reference(output.fields_by_name[route.shows].message_type if route.shows else output)
    if route.names_what_it_made:
        answer = object_schema(output)
        answer["properties"] |= {route.minted: {"type": "string"}}
    body = _body(route) if route.verb in ("POST", "PUT") else None
    return described(route.method, answer=answer, body=body, statuses=(route.status,))


def _body(route: Route) -> Schema:
    message = route.method.input_type
    if route.takes:
        return reference(message.fields_by_name[route.takes].message_type)
    hidden: Collection[str] = {*names_in(route.path), *route.fixed, *_HIDDEN}
    if not route.nests:
        return object_schema(message, hidden)
    outer = object_schema(message, {*hidden, route.nests})
    inner = object_schema(message.fields_by_name[route.nests].message_type, hidden)
    return {**outer, "properties": outer["properties"] | inner["properties"]}
