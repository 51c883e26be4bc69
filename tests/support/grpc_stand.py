"""A small service on a real loopback gRPC server, for tests of what stands before it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.kernel.adapters.telemetry import Metrics, ProcessTelemetry
from services.kernel.application.authenticator import Key
from services.kernel.domain.errors import Invalid, NotFound, Rejected
from services.kernel.entrypoints.calls import Caller, caller
from services.kernel.entrypoints.grpc_limits import Limits, ServiceToken
from services.kernel.entrypoints.grpc_problems import Problem, problem_of
from services.kernel.entrypoints.grpc_server import GrpcServer, grpc_server

SERVICE = "test.v1.TestService"
TOKEN = "oms_test_k1_good"  # noqa: S105
OUR_TOKEN = "0123456789abcdef0123456789abcdef"  # noqa: S105
BEARER = (("authorization", f"Bearer {TOKEN}"),)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Reason(StrEnum):
    TOO_LONG = "TOO_LONG"


class OneKey:
    async def authenticate(self, token: str) -> Key | None:
        return Key("k1", "demo", frozenset({"test:read"})) if token == TOKEN else None


@dataclass
class Echo:
    """What is served, and what it has seen."""

    callers: list[Caller] = field(default_factory=list)
    inside: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    was_cut: bool = False
    name: str = "test"

    async def say(self, request: StringValue, _: Any) -> StringValue:
        self.callers.append(caller())
        return StringValue(value=request.value.upper())

    async def wait(self, request: StringValue, _: Any) -> StringValue:
        self.inside.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.was_cut = True
            raise
        return request

    async def lose(self, request: StringValue, _: Any) -> StringValue:
        match request.value:
            case "invalid":
                raise Invalid(*((f"lines[{n}].quantity", "must be 1 to 9") for n in range(500)))
            case "refused":
                offers = [{"site_id": f"S{n}", "label": "Prêt à Évreux"} for n in range(500)]
                raise Rejected(Reason.TOO_LONG, "été " * 1_000, offers)
            case order_id:
                raise NotFound("order", order_id)

    async def count(self, request: StringValue, _: Any) -> AsyncIterator[StringValue]:
        self.callers.append(caller())
        for number in range(int(request.value)):
            yield StringValue(value=str(number))
        if request.value == "2":
            raise NotFound("number", "2")

    async def watch(self, request: StringValue, _: Any) -> AsyncIterator[StringValue]:
        try:
            yield request
            await self.go_on.wait()
        finally:
            self.was_cut = True

    @property
    def grpc(self) -> tuple[Callable[[grpc.aio.Server], None]]:
        return (self.add,)

    @property
    def scopes(self) -> dict[str, str]:
        open_to = dict.fromkeys(["Say", "Wait", "Lose", "Count", "Watch"], "test:read")
        return {f"/{SERVICE}/{name}": s for name, s in (open_to | {"Write": "test:write"}).items()}

    def add(self, server: Any) -> None:
        wire = (StringValue.FromString, StringValue.SerializeToString)
        unary = {
            "Say": self.say,
            "Wait": self.wait,
            "Lose": self.lose,
            "Write": self.say,
            "Forgotten": self.say,
        }
        streams = {"Count": self.count, "Watch": self.watch}
        server.add_registered_method_handlers(
            SERVICE,
            {name: grpc.unary_unary_rpc_method_handler(m, *wire) for name, m in unary.items()}
            | {name: grpc.unary_stream_rpc_method_handler(m, *wire) for name, m in streams.items()},
        )


@dataclass
class Stand:
    echo: Echo
    server: GrpcServer
    channel: grpc.aio.Channel
    metrics: Metrics
    port: int

    def call(self, method: str, text: str = "hello", **options: Any) -> Awaitable[StringValue]:
        options.setdefault("metadata", BEARER)
        stub: Any = self.channel.unary_unary(
            f"/{SERVICE}/{method}", StringValue.SerializeToString, StringValue.FromString
        )
        answer: Awaitable[StringValue] = stub(StringValue(value=text), **options)
        return answer

    def stream(self, method: str, text: str, **options: Any) -> Any:
        stub: Any = self.channel.unary_stream(
            f"/{SERVICE}/{method}", StringValue.SerializeToString, StringValue.FromString
        )
        return stub(StringValue(value=text), **({"metadata": BEARER} | options))

    async def health(self, service: str = "") -> int:
        stub = health_pb2_grpc.HealthStub(self.channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
        return int(answer.status)


@asynccontextmanager
async def served(limits: Limits | None = None, **options: Any) -> AsyncIterator[Stand]:
    echo, metrics = Echo(), Metrics()
    server = grpc_server(
        [echo],
        authenticator=OneKey(),
        telemetry=options.pop("telemetry", ProcessTelemetry(metrics)),
        limits=limits or Limits(),
        service_token=ServiceToken(OUR_TOKEN, frozenset({"test:read"}), "gateway"),
        **options,
    )
    port = await server.start("127.0.0.1:0")
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Stand(echo, server, channel, metrics, port)
    finally:
        await server.drain(grace_s=0)


async def problem(call: Awaitable[Any]) -> Problem:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return problem_of(refused.value)
