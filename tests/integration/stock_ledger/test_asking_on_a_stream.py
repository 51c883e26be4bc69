"""Question after question on one open stream, over a real connection."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from oms.stock_ledger.v1 import stock_ledger_service_pb2 as wire
from oms.stock_ledger.v1 import stock_ledger_service_pb2_grpc as rpc

from services.kernel.adapters.metrics import Metrics
from services.kernel.adapters.telemetry import ProcessTelemetry
from services.kernel.entrypoints.grpc_limits import Limits, ServiceToken
from services.kernel.entrypoints.grpc_server import grpc_server
from tests.support.grpc_stand import OneKey
from tests.support.stack import running

TOKEN = "f" * 32
PAIR = wire.SiteSku(site_id="paris", sku="MILK")


def _as(tenant: str) -> Any:
    return (("authorization", f"Bearer {TOKEN}"), ("x-oms-tenant", tenant))


@pytest.fixture
async def stub(postgres_dsn: str) -> AsyncIterator[Any]:
    async with running(postgres_dsn, ["stock_ledger"]) as stack:
        server = grpc_server(
            [stack["stock_ledger"].service],
            authenticator=OneKey(),
            telemetry=ProcessTelemetry(Metrics()),
            limits=Limits(concurrent_streams=2),
            service_token=ServiceToken(TOKEN, frozenset({"stock:read", "stock:write"})),
        )
        port = await server.start("127.0.0.1:0")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub: Any = rpc.StockLedgerServiceStub(channel)
            row = wire.MovementRow(site_id="paris", sku="MILK", quantity=7, source_id="note")
            await stub.ReceiveStock(
                wire.ReceiveStockRequest(request_id="r1", rows=[row]), metadata=_as("shop")
            )
            await stack.settle()
            yield stub
        await server.drain(grace_s=0)


async def _answer(stream: Any, **question: Any) -> wire.AskAvailabilityResponse:
    asked = wire.GetAvailabilityRequest(**question)
    await stream.write(wire.AskAvailabilityRequest(question=asked))
    answer = await stream.read()
    assert isinstance(answer, wire.AskAvailabilityResponse), await stream.code()
    return answer


async def test_every_question_has_its_answer_and_a_refused_one_ends_nothing(stub: Any) -> None:
    stream = stub.AskAvailability(metadata=_as("shop"))
    [level] = (await _answer(stream, pairs=[PAIR])).levels
    assert (level.sku, level.free, level.version) == ("MILK", 7, 1)

    refused = await _answer(stream, pairs=[wire.SiteSku(site_id="paris", sku="no sku / at all")])
    assert refused.reason == "INVALID_ARGUMENT"
    assert "pairs[0].sku" in refused.detail
    assert not refused.levels

    of_then = await _answer(stream, pairs=[PAIR], as_of={"seconds": 1})
    assert [one.free for one in of_then.levels] == [0]
    waited_for = await _answer(stream, pairs=[PAIR], min_version=1)
    assert [one.free for one in waited_for.levels] == [7]

    await stream.done_writing()
    assert not await stream.read()
    assert await stream.code() is grpc.StatusCode.OK


async def test_nobody_sees_what_another_tenant_has(stub: Any) -> None:
    stream = stub.AskAvailability(metadata=_as("stranger"))
    [level] = (await _answer(stream, pairs=[PAIR])).levels
    assert (level.free, level.version) == (0, 0)
    stream.cancel()


async def test_streams_have_a_limit_and_a_scope(stub: Any) -> None:
    open_ones = [stub.AskAvailability(metadata=_as("shop")) for _ in range(2)]
    for stream in open_ones:
        await _answer(stream, pairs=[PAIR])
    for metadata, code in (
        (_as("shop"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        ((("authorization", "Bearer nobody"),), grpc.StatusCode.UNAUTHENTICATED),
    ):
        refused = stub.AskAvailability(metadata=metadata)
        assert await refused.code() is code
    for stream in open_ones:
        stream.cancel()
