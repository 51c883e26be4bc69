"""Bodies in and out: JSON, versions as ETags, pages with links, conditional answers."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi import Request, Response
from google.protobuf.message import Message

from services.gateway.entrypoints.http.problems import problem
from services.gateway.entrypoints.http.wire import Malformed, to_json
from services.kernel.application.authenticator import Key


async def body_of(request: Request) -> bytes:
    """Return the body; middleware bounds its size."""
    body = await request.body()
    if body and request.headers.get("content-type", "").partition(";")[0].strip().lower() not in (
        "application/json",
        "",
    ):
        raise problem("UNSUPPORTED_MEDIA_TYPE")
    return body


def decoded(body: bytes) -> Any:
    """Return the JSON value of a body; an empty body is an empty object."""
    if not body:
        return {}
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        raise Malformed(("", f"not valid JSON: {wrong}")) from None


@dataclass(frozen=True, slots=True)
class Sent[M: Message]:
    """A body, as FastAPI hands it to an endpoint.

    Attributes:
        caller: Whose it is.
        raw: As it arrived.
        message: What it stands for.
    """

    caller: Key
    raw: bytes
    message: M

    @property
    def tenant(self) -> str:
        return self.caller.tenant


def reads[M: Message](
    read: Callable[[Any], M], caller_of: Callable[[Request], Awaitable[Key]]
) -> Callable[[Request], Awaitable[Sent[M]]]:
    """Return the dependency that decodes a body by its contract.

    Args:
        read: From the JSON value to the message; raises ``Malformed``.
        caller_of: Asked first, so that nobody unknown makes us decode anything.
    """

    async def sent(request: Request) -> Sent[M]:
        caller = await caller_of(request)
        raw = await body_of(request)
        return Sent(caller, raw, read(decoded(raw)))

    return sent


def shown(
    request: Request,
    message: Any,
    shows: str = "",
    status: int = 200,
    made: Mapping[str, str] | None = None,
) -> Response:
    """Return the JSON answer, with ETag where there is a version and Link where there is more.

    Args:
        request: What is answered.
        message: The service's answer.
        shows: Field of it that is the whole JSON body; empty: all of it.
        status: Of success.
        made: What we add: a minted id that the service's answer does not repeat, a page.
    """
    inner = getattr(message, shows) if shows else message
    version = getattr(inner, "version", 0) or getattr(message, "version", 0)
    headers: dict[str, str] = {}
    if version:
        headers["ETag"] = f'"{version}"'
        headers["Cache-Control"] = "private, no-cache"
        if request.method == "GET" and _knows(request, headers["ETag"]):
            return Response(None, 304, headers)
    token = getattr(message, "next_page_token", "")
    if token:
        following = request.url.include_query_params(page_token=token)
        headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
    return json_response({**(made or {}), **to_json(inner)}, status, headers)


def json_response(
    value: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a JSON answer."""
    return Response(msgspec.json.encode(value), status, headers, "application/json")


def _knows(request: Request, etag: str) -> bool:
    known = request.headers.get("if-none-match", "")
    return known.strip() == "*" or etag in (
        one.strip().removeprefix("W/") for one in known.split(",")
    )
