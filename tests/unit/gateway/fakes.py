"""What the gateway is tested against: keys in memory, and services that are a dictionary."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import grpc
import grpc.aio
import httpx
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from pydantic import SecretStr

from services.gateway.application.keys import (
    Answer,
    Claim,
    Claimed,
    KeysAway,
    Mismatch,
    Running,
)
from services.gateway.entrypoints.http.contracts import ALL, scope_to_change, service_folder
from services.gateway.entrypoints.http.remote import Remote
from services.gateway.main import build_app
from services.gateway.settings import GatewaySettings
from services.kernel.application.authenticator import Key
from services.kernel.entrypoints.grpc_errors import failure_of

TOKEN = "oms_test_1_secret"  # noqa: S105 - of these tests
POOR_TOKEN = "oms_test_2_secret"  # noqa: S105 - of the same tenant, without a scope
INTERNAL = "oms_internal_" + "i" * 32
SECRET = "s" * 32
WRITES = frozenset(scope_to_change(method) for methods in ALL for method in methods.values())


@dataclass
class MemoryKeys:
    rows: dict[str, tuple[bytes, Answer | None]] = field(default_factory=dict)
    is_away: bool = False

    async def claim(self, command_id: str, route: str, fingerprint: bytes) -> Claim:
        if self.is_away:
            raise KeysAway
        known = self.rows.get(command_id)
        if known is None:
            self.rows[command_id] = (fingerprint, None)
            return Claimed()
        if known[0] != fingerprint:
            return Mismatch()
        return known[1] or Running()

    async def finish(self, command_id: str, answer: Answer) -> None:
        self.rows[command_id] = (self.rows[command_id][0], answer)

    async def release(self, command_id: str) -> None:
        del self.rows[command_id]


class OneKey:
    async def authenticate(self, token: str) -> Key | None:
        if token == POOR_TOKEN:
            return Key("2", "demo", frozenset())
        return Key("1", "demo", WRITES) if token == TOKEN else None


@dataclass
class Call:
    method: str
    request: Any
    metadata: dict[str, Any]


type Reply = Message | Exception | grpc.StatusCode | Callable[[Any], Any]


@dataclass
class Fakes:
    """Every rpc of every service. Answers with what the test put in, else with an empty answer."""

    replies: dict[str, Reply] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    def handlers(self) -> list[Any]:
        served: list[Any] = []
        for methods in ALL:
            by_name = {name: self._handler(method) for name, method in methods.items()}
            service = next(iter(methods.values())).containing_service.full_name
            served.append(grpc.method_handlers_generic_handler(service, by_name))
        return served

    def _handler(self, method: MethodDescriptor) -> Any:
        output = GetMessageClass(method.output_type)

        async def unary(request: Any, context: Any) -> Any:
            reply = await self._reply(method, request, context)
            return output() if reply is None else reply

        async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
            for one in await self._reply(method, request, context) or ():
                yield one

        make: Any = (
            grpc.unary_stream_rpc_method_handler
            if method.server_streaming
            else grpc.unary_unary_rpc_method_handler
        )
        return make(
            stream if method.server_streaming else unary,
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=output.SerializeToString,
        )

    async def _reply(self, method: MethodDescriptor, request: Any, context: Any) -> Any:
        self.calls.append(Call(method.name, request, dict(context.invocation_metadata())))
        reply = self.replies.get(method.name)
        if isinstance(reply, grpc.StatusCode):
            await context.abort(reply, "secret innards")
        if isinstance(reply, Exception):
            failure = failure_of(reply, "c-1")
            context.set_trailing_metadata(failure.trailing_metadata)
            await context.abort(failure.code, failure.detail)
        if callable(reply):
            answer = reply(request)
            return await answer if isinstance(answer, Awaitable) else answer
        return reply


def _built(**settings: Any) -> tuple[Any, Remote, MemoryKeys]:
    remote, keys = Remote({}), MemoryKeys()
    given: dict[str, Any] = {
        "internal_token": SecretStr(INTERNAL),
        "tracking_secret": SecretStr(SECRET),
        "guesses_at_once": 10_000,
    }
    app, _, _ = build_app(remote, keys, OneKey(), GatewaySettings(**(given | settings)))
    return app, remote, keys


_shared = cache(_built)


@asynccontextmanager
async def gateway(
    fakes: Fakes, keys: MemoryKeys | None = None, *, is_streaming: bool = False, **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the fakes over real gRPC, and the gateway over them.

    Tests with the same settings share an application, because building one takes a quarter of a
    second; those that stream have one each, because a stream belongs to its test's loop.
    """
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(fakes.handlers())
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    folders = {service_folder(next(iter(methods.values()))) for methods in ALL}
    app, remote, known = (_built if is_streaming else _shared)(**settings)
    vars(remote).update(vars(Remote(dict.fromkeys(folders, f"127.0.0.1:{port}"))))
    vars(known).update(vars(keys or MemoryKeys()))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    try:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url="http://oms.test", headers=headers
        ) as client:
            yield client
    finally:
        await remote.close()
        await server.stop(None)
