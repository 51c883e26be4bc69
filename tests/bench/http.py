"""A client of HTTP/1.1 that costs the measured system little: it shares the machine with it.

httpx takes 2 ms of CPU per placement, half as much as the whole system that answers it.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

_LENGTH = b"content-length:"


class Http:
    """Keeps its connections; knows answers with a length only, which is what a gateway gives."""

    def __init__(self, address: str, key: str) -> None:
        host, port = address.removeprefix("http://").split(":")
        self._place = (host, int(port))
        self._headers = {
            "host": f"{host}:{port}",
            "content-type": "application/json",
            "authorization": f"Bearer {key}",
        }
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str]
    ) -> tuple[int, Any]:
        """Return the status and the decoded body."""
        raw = json.dumps(body).encode()
        lines = {**self._headers, **headers, "content-length": str(len(raw))}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        connection = self._idle.pop() if self._idle else await asyncio.open_connection(*self._place)
        reader, writer = connection
        writer.write(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + raw)
        answer = await reader.readuntil(b"\r\n\r\n")
        status, *told = answer.lower().split(b"\r\n")
        (length,) = [int(line[len(_LENGTH) :]) for line in told if line.startswith(_LENGTH)]
        found = json.loads(await reader.readexactly(length))
        self._idle.append(connection)
        return int(status.split()[1]), found
