"""A bound for heads of requests that do not end: the parser would collect their lines for ever."""

import asyncio
from typing import override

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 32 * 1024
_BODY = (
    b'{"type":"/problems/head-too-large","title":"The head is too large","status":431,'
    b'"detail":"Send at most 32768 bytes of headers.","reason":"HEAD_TOO_LARGE"}'
)
_REFUSAL = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/problem+json\r\n"
    b"connection: close\r\ncontent-length: %d\r\n\r\n%b"
) % (len(_BODY), _BODY)


class BoundedHead(HttpToolsProtocol):
    """uvicorn's protocol on httptools; one that ends in time is measured by the application."""

    _is_in_head = True
    _head_bytes = 0

    @override
    def on_message_begin(self) -> None:
        self._is_in_head, self._head_bytes = True, 0
        super().on_message_begin()

    @override
    def on_headers_complete(self) -> None:
        self._is_in_head = False
        super().on_headers_complete()

    @override
    def data_received(self, data: bytes) -> None:
        transport: asyncio.Transport = self.transport
        if transport.is_closing():
            return
        super().data_received(data)
        self._head_bytes += len(data)
        if self._is_in_head and self._head_bytes > MAX_HEAD_BYTES and not transport.is_closing():
            transport.write(_REFUSAL)
            transport.close()
