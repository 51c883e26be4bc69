"""A route as data, and the one way to serve it: JSON in, one gRPC call, JSON out.

Every resource module is a list of ``Route``; what needs more than translation is a function of
its own, declared beside them with ``Composed``.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.application.keys import Keys
from services.gateway.entrypoints.http.bodies import body_of, decoded, shown, version_in
from services.gateway.entrypoints.http.incoming import Incoming, incoming
from services.gateway.entrypoints.http.problems import problem
from services.gateway.entrypoints.http.remote import Remote
from services.gateway.entrypoints.http.repeats import Command, command_of, once
from services.gateway.entrypoints.http.wire import Malformed, from_json, from_query
from services.kernel.application.authenticator import Authenticator, Unauthenticated

REQUEST_ID = "request_id"
EXPECTED_VERSION = "expected_version"
_HIDDEN = frozenset({REQUEST_ID, EXPECTED_VERSION})


@dataclass(frozen=True, slots=True)
class Face:
    """What every endpoint works with.

    Attributes:
        remote: The services.
        keys: Answers given under idempotency keys.
        authenticator: Says which tenant a token belongs to. The services check it again.
        track: Path of the consumer's page of an order, by tenant and order id.
    """

    remote: Remote
    keys: Keys
    authenticator: Authenticator
    track: Callable[[str, str], str]

    async def tenant(self, brought: Incoming) -> str:
        """Return the caller's tenant.

        Raises:
            Unauthenticated: The token is missing or not valid.
        """
        key = await self.authenticator.authenticate(brought.token) if brought.token else None
        if key is None:
            raise Unauthenticated
        return key.tenant


@dataclass(frozen=True, slots=True)
class Route:
    """One rpc under one path.

    Attributes:
        verb: HTTP method.
        path: Its ``{names}`` are fields of the request message.
        method: The rpc. Fields named neither in the path nor in ``minted`` come from the body,
            or from the query for GET and DELETE; ``request_id`` follows from the
            Idempotency-Key, ``expected_version`` from If-Match.
        summary: For the OpenAPI document.
        status: Of success.
        shows: Field of the answer that is the whole JSON body; empty: all of it.
        takes: Field of the request that is the whole JSON body; empty: all of it.
        minted: Field that takes an id following from the key when the body names none.
        location: Path of what was made, with fields of the request.
        is_kept: False when the answer must not be stored (secrets): a repeat runs again, which
            is harmless because the service knows the command's id.
        nests: Field of the request whose own fields stand flat in the JSON body and in the path.
        fixed: Values of fields that the path stands for and the caller may not set.
    """

    verb: str
    path: str
    method: MethodDescriptor
    summary: str
    status: int = 200
    shows: str = ""
    takes: str = ""
    minted: str = ""
    location: str = ""
    is_kept: bool = True
    nests: str = ""
    fixed: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def is_command(self) -> bool:
        """Whether the rpc changes something."""
        return REQUEST_ID in self.method.input_type.fields_by_name

    @property
    def needs_key(self) -> bool:
        """Whether an Idempotency-Key is required: POSTs that change something."""
        return self.is_command and self.verb == "POST"

    @property
    def names_what_it_made(self) -> bool:
        """Whether the answer is told the minted id, because the service's does not hold it."""
        is_nested = bool(self.nests or self.shows)
        return bool(
            self.minted
            and not is_nested
            and self.minted not in self.method.output_type.fields_by_name
        )


type Handle = Callable[[Face, Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Composed:
    """A route that is more than one call translated.

    Attributes:
        handle: What it does.
        calls: The rpcs it covers, for the document and the parity test.
        parameters: Query parameters and headers of its own, for the document.
        body: Schema source of its JSON body, if it takes one.
        produces: Media type of its answer.
        needs_key: Whether an Idempotency-Key is required.
    """

    verb: str
    path: str
    handle: Handle
    summary: str
    calls: tuple[MethodDescriptor, ...] = ()
    parameters: tuple[Mapping[str, Any], ...] = ()
    body: MethodDescriptor | None = None
    hidden: tuple[str, ...] = ()
    answers: MethodDescriptor | None = None
    status: int = 200
    produces: str = "application/json"
    needs_key: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])


async def serve(face: Face, route: Route, request: Request) -> Response:
    """Answer one request of a route."""
    brought = incoming(request.scope)
    if not route.is_command:
        return await _ask(face, route, request, brought)
    body = await body_of(request)
    tenant = await face.tenant(brought)
    command = command_of(request, tenant, route.path, body, is_key_needed=route.needs_key)

    async def run() -> Response:
        return await _tell(face, route, request, brought, command)

    return await once(face.keys if route.is_kept else None, command, run)


async def _ask(face: Face, route: Route, request: Request, brought: Incoming) -> Response:
    kind = GetMessageClass(route.method.input_type)
    given = {**request.path_params, **route.fixed}
    if route.verb == "POST":  # a question too long for a URL
        message = from_json(kind, decoded(await body_of(request)), given.keys(), given)
    else:
        query: dict[str, list[str]] = {}
        for name, text in request.query_params.multi_items():
            query.setdefault(name, []).append(text)
        message = from_query(kind, query, given)
    answer = await face.remote.call(route.method, message, brought.metadata(), brought.timeout_s)
    return shown(request, answer, route.shows)


async def _tell(
    face: Face, route: Route, request: Request, brought: Incoming, command: Command
) -> Response:
    message = request_message(route, request, command)
    answer = await face.remote.call(route.method, message, brought.metadata(), brought.timeout_s)
    made = {}
    if route.names_what_it_made:
        made = {route.minted: getattr(message, route.minted)}
    response = shown(request, answer, route.shows, status=route.status, made=made)
    if route.location:
        fields = {item.name: getattr(message, item.name) for item in message.DESCRIPTOR.fields}
        response.headers["Location"] = route.location.format_map(fields)
    return response


def request_message(route: Route, request: Request, command: Command) -> Any:
    """Return the request of a command: body, path, id and expected version."""
    kind = GetMessageClass(route.method.input_type)
    value = decoded(command.body)
    nest = route.nests or route.takes
    try:
        if route.takes:
            message = from_json(kind, {nest: value}, (), request.path_params)
        elif nest:
            value = _nested(route, value, request, command)
            message = from_json(kind, value, _HIDDEN, {"task_id": request.path_params["task_id"]})
        else:
            hidden = {*request.path_params, *_HIDDEN}
            message = from_json(kind, value, hidden, request.path_params)
    except Malformed as wrong:  # the body knows nothing of the nest
        raise wrong.without(nest) from None
    _identify(message, route, request, command)
    return message


def _nested(route: Route, value: Any, request: Request, command: Command) -> Any:
    """Return the body with what belongs to the nested message moved into it."""
    if not isinstance(value, dict):
        return value
    outer = route.method.input_type.fields_by_name
    nest: dict[str, Any] = {"line_id": request.path_params["line_id"]}
    nest[route.minted] = command.minted_id
    kept: dict[str, Any] = {route.nests: nest}
    for name, item in value.items():
        if name in ("line_id", "task_id", route.nests):
            raise Malformed((f"/{name}", "unknown field"))
        (kept if name in outer else nest)[name] = item
    return kept


def _identify(message: Any, route: Route, request: Request, command: Command) -> None:
    """Put in what follows from headers: the command's id, a minted id, the expected version."""
    message.request_id = command.command_id
    expected = request.headers.get("if-match", "")
    if EXPECTED_VERSION in message.DESCRIPTOR.fields_by_name:
        message.expected_version = version_in(expected)
    elif expected:
        raise problem("IF_MATCH_NOT_SUPPORTED", "this route does not look at versions")
    if route.minted and not route.nests and not getattr(message, route.minted):
        setattr(message, route.minted, command.minted_id)
