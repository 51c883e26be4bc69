"""What comes with a body that ends in headers of its own: nothing is kept of it, and it ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from services.gateway.entrypoints.http.bounded_head import MAX_HEAD_BYTES, BoundedHead

HEAD = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"


class Listed:
    """Answers with how many headers it sees once the body is there."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        body = str(len(scope["headers"])).encode()
        head = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def served() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    config = uvicorn.Config(Listed(), port=0, http=BoundedHead, lifespan="off", log_config=None)
    config.load()
    loop = asyncio.get_running_loop()
    state = uvicorn.server.ServerState()
    server = await loop.create_server(lambda: BoundedHead(config, state, {}), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        yield reader, writer
    finally:
        writer.close()
        server.close()


async def test_headers_behind_a_body_are_not_taken_for_those_of_the_request() -> None:
    async with served() as (reader, writer):
        writer.write(HEAD + b"authorization: Bearer x\r\n\r\n")
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert b"200" in answer
        assert await reader.readexactly(1) == b"2"


async def test_headers_behind_a_body_end() -> None:
    async with served() as (reader, writer):
        writer.write(HEAD)
        for n in range(2 * MAX_HEAD_BYTES // 1_000):
            writer.write(b"x-%d: %s\r\n" % (n, b"a" * 1_000))
        assert await asyncio.wait_for(reader.read(), 5) == b""
