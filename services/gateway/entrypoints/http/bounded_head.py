"""A bound for heads of requests that do not end: the parser would collect their lines for ever.

The same goes for the headers that may follow a body in chunks. Nobody reads those, and the parser
would put them among the headers of the request, so they are dropped.
"""

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
    _is_complete = False
    _has_got_on = False  # a head or a part of a body came to its end
    _head_bytes = 0  # since then

    @override
    def on_message_begin(self) -> None:
        self._is_in_head, self._is_complete, self._has_got_on = True, False, True
        super().on_message_begin()

    @override
    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_in_head:
            super().on_header(name, value)

    @override
    def on_headers_complete(self) -> None:
        self._is_in_head, self._has_got_on = False, True
        super().on_headers_complete()

    @override
    def on_body(self, body: bytes) -> None:
        self._has_got_on = True
        super().on_body(body)

    @override
    def on_message_complete(self) -> None:
        self._is_complete = True
        super().on_message_complete()

    @override
    def data_received(self, data: bytes) -> None:
        transport: asyncio.Transport = self.transport
        if transport.is_closing():
            return
        self._has_got_on = False
        super().data_received(data)
        self._head_bytes = len(data) if self._has_got_on else self._head_bytes + len(data)
        if self._head_bytes <= MAX_HEAD_BYTES or transport.is_closing():
            return
        if self._is_in_head:
            transport.write(_REFUSAL)
            transport.close()
        elif not self._is_complete and not self._has_got_on:
            transport.close()  # headers behind a body; an answer may have begun
