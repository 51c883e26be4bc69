"""From a row of ``Route`` to the function that FastAPI serves: its signature is the route's."""

import re
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from inspect import Parameter, Signature
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request, Response
from google.protobuf.message_factory import GetMessageClass
from pydantic import BaseModel

from services.gateway.entrypoints.http.bodies import Sent, reads, shown
from services.gateway.entrypoints.http.incoming import incoming
from services.gateway.entrypoints.http.parameters import (
    IfMatch,
    OptionalKey,
    RequiredKey,
    filled,
    query_model,
    refuse_stray,
)
from services.gateway.entrypoints.http.problems import problem
from services.gateway.entrypoints.http.repeats import Command, command_of, once
from services.gateway.entrypoints.http.routes import EXPECTED_VERSION, REQUEST_ID, Face, Route
from services.gateway.entrypoints.http.schemas import said
from services.gateway.entrypoints.http.wire import Malformed, from_json

_HIDDEN = frozenset({REQUEST_ID, EXPECTED_VERSION})

type Endpoint = Callable[..., Coroutine[Any, Any, Response]]


def endpoint_of(face: Face, route: Route) -> Endpoint:
    """Return the function to serve a route with."""
    if route.is_command:
        return _telling(face, route)
    return _asking_by_body(face, route) if route.verb == "POST" else _asking(face, route)


def names_in(path: str) -> list[str]:
    """Return the names of the parameters of a path.

    >>> names_in("/v1/tasks/{task_id}/lines/{line_id}:pick")
    ['task_id', 'line_id']
    """
    return re.findall(r"\{(\w+)\}", path)


def _asking(face: Face, route: Route) -> Endpoint:
    """A question in a URL."""
    kind: Any = GetMessageClass(route.method.input_type)
    model = query_model(kind.DESCRIPTOR, {*names_in(route.path), *route.fixed})
    known = set(model.model_fields)
    lists = {one.name for one in kind.DESCRIPTOR.fields if one.is_repeated}

    async def ask(request: Request, query: BaseModel | None = None, **in_path: str) -> Response:
        refuse_stray(request, known, lists)
        message = filled(kind(**in_path, **route.fixed), query)
        return await _answer(face, route, request, message)

    return _signed(ask, route, query=Annotated[model, Query()] if known else None)


def _asking_by_body(face: Face, route: Route) -> Endpoint:
    """A question too long for a URL."""
    kind: Any = GetMessageClass(route.method.input_type)
    read = partial(from_json, kind, hidden={*names_in(route.path), *route.fixed})
    body = Depends(reads(read, face.caller))

    async def ask(request: Request, sent: Sent[Any], **in_path: str) -> Response:
        for name, value in {**in_path, **route.fixed}.items():
            setattr(sent.message, name, value)
        return await _answer(face, route, request, sent.message)

    return _signed(ask, route, sent=Annotated[Sent[Any], body])


async def _answer(face: Face, route: Route, request: Request, message: Any) -> Response:
    brought = incoming(request.scope)
    answer = await face.remote.call(route.method, message, brought.metadata(), brought.timeout_s)
    return shown(request, answer, route.shows)


def _telling(face: Face, route: Route) -> Endpoint:
    """A command: once per key."""
    body = Depends(reads(_reading(route), face.caller))
    is_versioned = EXPECTED_VERSION in route.method.input_type.fields_by_name
    keys = face.keys if route.is_kept else None

    async def tell(
        request: Request, sent: Sent[Any], key: str = "", expected: int = 0, **in_path: str
    ) -> Response:
        if not is_versioned and "if-match" in request.headers:
            raise problem("IF_MATCH_NOT_SUPPORTED", "this route does not look at versions")
        command = command_of(request, sent, route.path, key, route.method)

        async def run() -> Response:
            message = _identified(sent.message, route, command, expected, in_path)
            return await _tell(face, route, request, message)

        return await once(keys, command, run)

    return _signed(
        tell,
        route,
        sent=Annotated[Sent[Any], body],
        key=RequiredKey if route.needs_key else OptionalKey,
        expected=IfMatch if is_versioned else None,
    )


def _reading(route: Route) -> Callable[[Any], Any]:
    """Return how the body of a command is read: whole, as one field, or with one field flat."""
    kind: Any = GetMessageClass(route.method.input_type)
    hidden = {*names_in(route.path), *_HIDDEN}
    nest = route.nests or route.takes
    if not nest:
        return partial(from_json, kind, hidden=hidden)

    def read(value: Any) -> Any:
        try:
            if route.takes:
                return from_json(kind, {nest: value})
            return from_json(kind, _nested(route, value), _HIDDEN)
        except Malformed as wrong:  # the body knows nothing of the nest
            raise wrong.without(nest) from None

    return read


def _nested(route: Route, value: Any) -> Any:
    """Return the body with what belongs to the nested message moved into it."""
    if not isinstance(value, dict):
        return value
    outer = route.method.input_type.fields_by_name
    nest: dict[str, Any] = {}
    kept: dict[str, Any] = {route.nests: nest}
    for name, item in value.items():
        if name in (*names_in(route.path), route.nests):
            raise Malformed((f"/{name}", "unknown field"))
        (kept if name in outer else nest)[name] = item
    return kept


def _identified(
    message: Any, route: Route, command: Command, expected: int, in_path: Mapping[str, str]
) -> Any:
    """Return the message with what comes from elsewhere: path, the command's id, the version."""
    inner = getattr(message, route.nests) if route.nests else message
    for name, value in in_path.items():
        holder = message if name in message.DESCRIPTOR.fields_by_name else inner
        setattr(holder, name, value)
    message.request_id = command.command_id
    if EXPECTED_VERSION in message.DESCRIPTOR.fields_by_name:
        message.expected_version = expected
    if route.minted and not getattr(inner, route.minted):
        setattr(inner, route.minted, command.minted_id)
    return message


async def _tell(face: Face, route: Route, request: Request, message: Any) -> Response:
    brought = incoming(request.scope)
    answer = await face.remote.call(route.method, message, brought.metadata(), brought.timeout_s)
    made = {}
    if route.names_what_it_made:
        made = {route.minted: getattr(message, route.minted)}
    response = shown(request, answer, route.shows, status=route.status, made=made)
    if route.location:
        fields = {item.name: getattr(message, item.name) for item in message.DESCRIPTOR.fields}
        response.headers["Location"] = route.location.format_map(fields)
    return response


def _told(route: Route, name: str) -> str | None:
    message: Any = route.method.input_type
    nested = message.fields_by_name[route.nests].message_type if route.nests else message
    field = message.fields_by_name.get(name) or nested.fields_by_name[name]
    return said(field) or None


def _signed(endpoint: Endpoint, route: Route, **annotations: Any) -> Endpoint:
    """Return the endpoint with the signature that FastAPI shall read: it has no other source."""
    parameters = [Parameter("request", Parameter.KEYWORD_ONLY, annotation=Request)]
    parameters += [
        Parameter(name, Parameter.KEYWORD_ONLY, annotation=annotation)
        for name, annotation in annotations.items()
        if annotation is not None
    ]
    parameters += [
        Parameter(
            name,
            Parameter.KEYWORD_ONLY,
            annotation=Annotated[str, Path(description=_told(route, name))],
        )
        for name in names_in(route.path)
    ]
    endpoint.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    endpoint.__name__ = route.method.name
    return endpoint
