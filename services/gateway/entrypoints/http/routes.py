"""A route as data, and the one way to serve it: JSON in, one gRPC call, JSON out.

Every resource is a FastAPI router. Most of its routes are rows of ``Route``, for which
``endpoints`` makes the function whose signature FastAPI reads; what needs more than translation is
a function of its own beside them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fastapi import Request
from google.protobuf.descriptor import MethodDescriptor
from starlette.types import Scope

from services.gateway.application.keys import Keys
from services.gateway.entrypoints.http.incoming import incoming
from services.gateway.entrypoints.http.remote import Remote
from services.kernel.application.authenticator import Key, Unauthenticated
from services.kernel.application.guesses import Doorkeeper

REQUEST_ID = "request_id"
EXPECTED_VERSION = "expected_version"
_API = "/v1/"
_CALLER = "oms.caller"


@dataclass(frozen=True, slots=True)
class Face:
    """What every endpoint works with.

    Attributes:
        remote: The services.
        keys: Answers given under idempotency keys.
        door: Says whose a token is. The services check it again.
        track: Path of the consumer's page of an order, by tenant and order id.
        stock_pages: Path of the pages of a tenant's stock, and until when it holds.
    """

    remote: Remote
    keys: Keys
    door: Doorkeeper
    track: Callable[[str, str], str]
    stock_pages: Callable[[str], tuple[str, datetime]]

    async def caller(self, request: Request) -> Key:
        """Return who calls; looked up once per request.

        Raises:
            Unauthenticated: The token is missing or not valid.
            GuessedTooOften: Too many that were not came from there.
        """
        return await self._caller(request.scope)

    async def admit(self, scope: Scope) -> None:
        """Refuse a token that is not valid before anything is done for it, or any service asked.

        Raises:
            Unauthenticated: As ``caller``; a request without a token is left to the endpoint.
            GuessedTooOften: As ``caller``.
        """
        if incoming(scope).token and scope["path"].startswith(_API):
            await self._caller(scope)

    async def _caller(self, scope: Scope) -> Key:
        known = scope.get(_CALLER)
        if isinstance(known, Key):
            return known
        token = incoming(scope).token
        address = (scope.get("client") or ("",))[0]
        key = await self.door.key_of(token, address) if token else None
        if key is None:
            raise Unauthenticated
        scope[_CALLER] = key
        return key


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
