"""Bodies in and out: JSON, versions as ETags, pages with links, conditional answers."""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.entrypoints.http.problems import problem
from services.gateway.entrypoints.http.wire import Malformed, to_json

_MAX_DIGITS = 18  # of a version


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


def version_in(tag: str) -> int:
    """Return the version that an If-Match or Last-Event-ID names; 0 when there is none."""
    text = tag.strip().removeprefix("W/").strip('"')
    if text in ("", "*"):
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise Malformed(("", f"{tag!r} is not the ETag of a version"))
    return int(text)


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
        made: The minted id, where the service's answer does not repeat it.
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
