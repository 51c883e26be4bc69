"""Who does not read what he asked for is let go of; who reads slowly is not."""

import asyncio
import contextlib
from typing import Any

import pytest
import uvicorn

from services.gateway.entrypoints.http import connection
from services.gateway.entrypoints.http.connection import Connection

REQUEST = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
PART = b"x" * 65_536


class Endless:
    """Says more than anybody reads."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.ended = asyncio.Event()
        self.written = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.began.set()
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while not await self._is_gone(receive):
                await send({"type": "http.response.body", "body": PART, "more_body": True})
                self.written += 1
        finally:
            self.ended.set()

    @staticmethod
    async def _is_gone(receive: Any) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.0005):
                while (await receive())["type"] != "http.disconnect":
                    pass
                return True
        return False


async def opened(app: Endless) -> tuple[Any, asyncio.StreamReader, asyncio.StreamWriter]:
    config = uvicorn.Config(app, port=0, lifespan="off", log_config=None)
    config.load()
    loop = asyncio.get_running_loop()
    state = uvicorn.server.ServerState()
    server = await loop.create_server(lambda: Connection(config, state, {}), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), limit=1_024)
    writer.write(REQUEST)
    return server, reader, writer


async def test_a_reader_who_stands_still_is_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MOST_UNREAD_S", 0.2)
    app = Endless()
    server, _, writer = await opened(app)
    await asyncio.wait_for(app.ended.wait(), 10)
    assert app.written > 0
    writer.transport.abort()
    server.close()


async def test_a_reader_who_is_slow_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MOST_UNREAD_S", 2.0)
    app = Endless()
    server, reader, writer = await opened(app)
    loop = asyncio.get_running_loop()
    until_s = loop.time() + 3.0
    while loop.time() < until_s:
        assert await reader.read(2**20)
        await asyncio.sleep(0.001)
    assert not app.ended.is_set()
    writer.transport.abort()
    server.close()
    await asyncio.wait_for(app.ended.wait(), 10)
