"""The guard before every method, over a real loopback connection."""

import asyncio
import contextlib
import logging
import time
from types import SimpleNamespace
from typing import Any, cast

import grpc
import grpc.aio
import pytest
from google.protobuf.wrappers_pb2 import BytesValue, StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.kernel.adapters.telemetry import Metrics, ProcessTelemetry
from services.kernel.entrypoints.grpc_context import address_of
from services.kernel.entrypoints.grpc_guard import Guard
from services.kernel.entrypoints.grpc_limits import Limits, ServiceToken
from services.kernel.entrypoints.grpc_problems import problem_of
from services.kernel.entrypoints.grpc_server import grpc_server
from tests.support.grpc_stand import (
    BEARER,
    OUR_TOKEN,
    SERVICE,
    TOKEN,
    TRACEPARENT,
    Echo,
    OneKey,
    Stand,
    problem,
    served,
)
from tests.support.stack import eventually


async def test_a_call_with_a_good_key_is_served_for_the_tenant_of_the_key() -> None:
    async with served() as stand:
        answer = await stand.call("Say", metadata=(*BEARER, ("x-oms-tenant", "other")))
        assert answer.value == "HELLO"
        [who] = stand.echo.callers
        assert (who.tenant, who.actor) == ("demo", "k1")


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", TOKEN),),
        (("authorization", "Bearer "),),
        (("authorization", "Bearer oms_test_k1_bad"),),
        (("authorization", f"Basic {TOKEN}"),),
        (("authorization", f"Bearer {OUR_TOKEN[:-1]}0"), ("x-oms-tenant", "demo")),
    ],
)
async def test_without_a_good_key_nothing_is_served_and_it_is_logged(
    metadata: tuple[Any, ...], caplog: pytest.LogCaptureFixture
) -> None:
    async with served() as stand:
        refusal = await problem(stand.call("Say", metadata=metadata))
        assert refusal.reason == "UNAUTHENTICATED"
        assert refusal.http_status == 401
        assert not stand.echo.callers
        assert f"unauthenticated: /{SERVICE}/Say" in caplog.text
        assert "oms_test" not in caplog.text


async def test_who_guesses_keys_is_told_to_wait_and_others_are_served() -> None:
    wrong = (("authorization", "Bearer oms_test_k1_bad"),)
    async with served(Limits(guesses_at_once=3, guesses_per_s=0.1)) as stand:
        await stand.call("Say")
        for _ in range(3):
            assert (await problem(stand.call("Say", metadata=wrong))).http_status == 401
        refusal = await problem(stand.call("Say", metadata=wrong))
        assert (refusal.reason, refusal.http_status) == ("RATE_LIMITED", 429)
        assert refusal.retry_after_ms is not None
        assert 9_000 < refusal.retry_after_ms <= 10_000
        await stand.call("Say")  # the same address, but a key that was good before


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.7:4711", "192.0.2.7"),
        ("ipv6:[2001:db8::1]:4711", "2001:db8::1"),
        ("ipv6:%5B::1%5D:4711", "::1"),
        ("unix:", "unix"),
        ("", ""),
    ],
)
def test_where_a_call_comes_from(peer: str, address: str) -> None:
    assert address_of(cast("Any", SimpleNamespace(peer=lambda: peer))) == address


async def test_a_missing_scope_denies_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with served() as stand:
        with caplog.at_level(logging.WARNING):
            refusal = await problem(stand.call("Write"))
        assert refusal.reason == "PERMISSION_DENIED"
        [event] = [one for one in caplog.records if "denied" in one.getMessage()]
        assert event.getMessage() == f"permission_denied: /{SERVICE}/Write"
        assert vars(event)["scope"] == "test:write"
        assert not stand.echo.callers


async def test_a_method_that_declares_no_scope_can_be_called_by_nobody() -> None:
    async with served() as stand:
        everybody = (("authorization", f"Bearer {OUR_TOKEN}"), ("x-oms-tenant", "demo"))
        for metadata in (BEARER, everybody):
            refusal = await problem(stand.call("Forgotten", metadata=metadata))
            assert refusal.reason == "PERMISSION_DENIED"
        assert not stand.echo.callers


async def test_a_scope_for_a_method_that_nobody_serves_stops_the_start() -> None:
    class Misspelt(Echo):
        @property
        def scopes(self) -> dict[str, str]:
            return {f"/{SERVICE}/Sya": "test:read"}

    with pytest.raises(ValueError, match="Sya"):
        grpc_server([Misspelt()], authenticator=OneKey(), telemetry=ProcessTelemetry(Metrics()))


async def test_our_own_token_acts_for_the_tenant_it_names_within_its_scopes() -> None:
    async with served() as stand:
        ours = ("authorization", f"Bearer {OUR_TOKEN}")
        await stand.call("Say", metadata=(ours, ("x-oms-tenant", "chain-2")))
        [who] = stand.echo.callers
        assert (who.tenant, who.actor) == ("chain-2", "gateway")
        unnamed = await problem(stand.call("Say", metadata=(ours,)))
        assert unnamed.reason == "INVALID"
        beyond = await problem(stand.call("Write", metadata=(ours, ("x-oms-tenant", "chain-2"))))
        assert beyond.reason == "PERMISSION_DENIED"


def test_a_short_service_token_is_refused() -> None:
    with pytest.raises(ValueError, match="32"):
        ServiceToken("short", frozenset())


async def test_a_call_without_deadline_gets_the_server_s() -> None:
    async with served(Limits(call_timeout_s=0.1)) as stand:
        refusal = await problem(stand.call("Wait"))
        assert refusal.reason == "DEADLINE_EXCEEDED"
        assert refusal.correlation_id  # our own answer, not the library's
        assert stand.echo.was_cut


async def test_a_client_s_deadline_is_cut_to_the_longest_allowed() -> None:
    async with served(Limits(longest_call_s=0.1)) as stand:
        assert (await problem(stand.call("Wait", timeout=60))).reason == "DEADLINE_EXCEEDED"


async def test_a_client_s_shorter_deadline_stops_the_work() -> None:
    async with served() as stand:
        refusal = await problem(stand.call("Wait", timeout=0.1))
        assert refusal.http_status == 504
        await asyncio.sleep(0.1)
        assert stand.echo.was_cut


async def test_more_calls_than_the_cap_are_refused_with_a_hint_and_the_others_served() -> None:
    async with served(Limits(concurrent_calls=50, retry_after_ms=321)) as stand:
        calls = [asyncio.ensure_future(stand.call("Wait")) for _ in range(80)]
        while sum(call.done() for call in calls) < 30:
            await asyncio.sleep(0.01)
        stand.echo.go_on.set()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        refusals = [problem_of(one) for one in outcomes if isinstance(one, grpc.aio.AioRpcError)]
        assert len(refusals) == 30
        assert {(one.reason, one.retry_after_ms) for one in refusals} == {("OVERLOADED", 321)}
        assert sum(isinstance(one, StringValue) for one in outcomes) == 50
        assert (await stand.call("Say")).value == "HELLO"  # the cap is free again


async def test_health_answers_while_the_cap_is_reached() -> None:
    async with served(Limits(concurrent_calls=1)) as stand:
        waiting = asyncio.ensure_future(stand.call("Wait"))
        await stand.echo.inside.wait()
        assert await stand.health() == health_pb2.HealthCheckResponse.SERVING
        stand.echo.go_on.set()
        await waiting


async def test_a_message_over_the_limit_is_refused_unread() -> None:
    async with served(Limits(request_bytes=1_000)) as stand:
        assert (await problem(stand.call("Say", "x" * 2_000))).http_status == 413
        assert not stand.echo.callers
        assert (await stand.call("Say", "x" * 900)).value == "X" * 900


async def test_a_message_that_is_none_is_invalid() -> None:
    async with served() as stand:
        stub: Any = stand.channel.unary_unary(
            f"/{SERVICE}/Say", BytesValue.SerializeToString, StringValue.FromString
        )
        assert (await problem(stub(BytesValue(value=b"\xff\xfe"), metadata=BEARER))).reason == (
            "INVALID"
        )


async def test_what_a_method_raises_reaches_the_caller_through_the_table() -> None:
    async with served() as stand:
        refusal = await problem(
            stand.call("Lose", "O-1", metadata=(*BEARER, ("x-correlation-id", "mine-1")))
        )
        assert (refusal.reason, refusal.correlation_id) == ("NOT_FOUND", "mine-1")


async def test_the_longest_errors_still_reach_the_caller() -> None:
    async with served() as stand:
        invalid = await problem(stand.call("Lose", "invalid"))
        assert (invalid.reason, len(invalid.violations)) == ("INVALID", 20)
        refused = await problem(stand.call("Lose", "refused"))
        assert refused.reason == "TOO_LONG"
        assert 5 < len(refused.alternatives) < 500
        assert refused.alternatives[0] == {"site_id": "S0", "label": "Prêt à Évreux"}
        assert refused.detail.startswith("été")


async def test_an_unknown_method_is_unimplemented() -> None:
    async with served() as stand:
        assert (await problem(stand.call("Nope"))).http_status == 501


async def test_a_stream_is_guarded_like_a_call() -> None:
    async with served(Limits(stream_timeout_s=0.2)) as stand:
        assert [one.value async for one in stand.stream("Count", "3")] == ["0", "1", "2"]
        assert stand.echo.callers[0].tenant == "demo"
        for text, metadata, reason in (
            ("2", BEARER, "NOT_FOUND"),
            ("3", (), "UNAUTHENTICATED"),
        ):
            call = stand.stream("Count", text, metadata=metadata)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                _ = [one async for one in call]
            assert problem_of(refused.value).reason == reason
        with pytest.raises(grpc.aio.AioRpcError) as late:
            _ = [one async for one in stand.stream("Watch", "x")]
        assert problem_of(late.value).reason == "DEADLINE_EXCEEDED"
        assert stand.echo.was_cut


async def test_more_streams_than_the_cap_are_refused_and_do_not_hold_up_calls() -> None:
    async with served(Limits(concurrent_streams=1, concurrent_calls=1)) as stand:
        first = stand.stream("Watch", "x")
        assert (await first.read()).value == "x"
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            _ = [one async for one in stand.stream("Watch", "x")]
        assert problem_of(refused.value).reason == "OVERLOADED"
        assert (await stand.call("Say")).value == "HELLO"
        first.cancel()


async def test_one_keys_streams_leave_room_for_others() -> None:
    async with served(Limits(concurrent_streams=4, streams_of_one=2)) as stand:
        mine = [stand.stream("Watch", "x") for _ in range(2)]
        for one in mine:
            await one.read()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            _ = [one async for one in stand.stream("Watch", "x")]
        assert problem_of(refused.value).reason == "OVERLOADED"
        internal = (("authorization", f"Bearer {OUR_TOKEN}"), ("x-oms-tenant", "demo"))
        other = stand.stream("Watch", "x", metadata=internal)
        assert (await other.read()).value == "x"
        mine[0].cancel()
        async with asyncio.timeout(5):
            while True:
                again = stand.stream("Watch", "x")
                with contextlib.suppress(grpc.aio.AioRpcError):
                    assert (await again.read()).value == "x"
                    break
                await asyncio.sleep(0.01)


async def test_draining_says_so_first_then_finishes_what_runs_and_takes_no_more() -> None:
    async with served() as stand:
        running = asyncio.ensure_future(stand.call("Wait", "done"))
        await stand.echo.inside.wait()
        draining = asyncio.ensure_future(stand.server.drain(notice_s=0.2, grace_s=5))
        await asyncio.sleep(0.05)
        assert await stand.health("test") == health_pb2.HealthCheckResponse.NOT_SERVING
        assert (await stand.call("Say")).value == "HELLO"  # balancers have not noticed yet
        await asyncio.sleep(0.3)
        assert (await problem(stand.call("Say"))).reason == "UNAVAILABLE"
        assert not running.done()
        stand.echo.go_on.set()
        assert (await running).value == "done"
        await asyncio.wait_for(draining, 1)


async def test_draining_does_not_wait_for_health_watchers_and_sends_streams_elsewhere() -> None:
    async with served() as stand:
        stub = health_pb2_grpc.HealthStub(stand.channel)
        watcher: Any = stub.Watch(health_pb2.HealthCheckRequest(service=""))
        assert (await watcher.read()).status == health_pb2.HealthCheckResponse.SERVING
        stream = stand.stream("Watch", "x")
        await stream.read()
        began = asyncio.get_running_loop().time()
        draining = asyncio.ensure_future(stand.server.drain(grace_s=1.0))
        with pytest.raises(grpc.aio.AioRpcError) as sent_away:
            await stream.read()
        refusal = problem_of(sent_away.value)
        assert (refusal.reason, refusal.http_status) == ("UNAVAILABLE", 503)
        await draining
        assert asyncio.get_running_loop().time() - began < 0.9


async def test_what_does_not_finish_within_the_grace_is_cut() -> None:
    async with served() as stand:
        running = asyncio.ensure_future(stand.call("Wait"))
        await stand.echo.inside.wait()
        await stand.server.drain(grace_s=0.1)
        assert (await problem(running)).http_status >= 499
        assert stand.echo.was_cut


async def test_readiness_shows_per_service() -> None:
    async with served() as stand:
        for name in ("", "test", SERVICE):
            assert await stand.health(name) == health_pb2.HealthCheckResponse.SERVING
        await stand.server.ready(is_ready=False, service="test")
        assert await stand.health("test") == health_pb2.HealthCheckResponse.NOT_SERVING
        assert await stand.health() == health_pb2.HealthCheckResponse.SERVING
        assert (await problem(stand.health("unheard-of"))).http_status == 404


async def test_reflection_is_off_unless_asked_for() -> None:
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc  # noqa: PLC0415

    async def names(stand: Stand) -> list[str]:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(stand.channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        return [
            one.name
            async for answer in stub.ServerReflectionInfo(iter([request]))
            for one in answer.list_services_response.service
        ]

    async with served() as stand:
        with pytest.raises(grpc.aio.AioRpcError):
            await names(stand)
    async with served(has_reflection=True) as stand:
        assert SERVICE in await names(stand)


@pytest.mark.parametrize("sent", [TRACEPARENT, "", "00-garbage", "ff" + TRACEPARENT[2:]])
async def test_a_call_has_a_trace_whatever_was_sent(sent: str) -> None:
    async with served() as stand:
        await stand.call("Say", metadata=(*BEARER, ("traceparent", sent)))
        [who] = stand.echo.callers
        version, trace_id, span_id, _ = who.traceparent.split("-")
        assert (version, len(trace_id), len(span_id)) == ("00", 32, 16)
        assert (trace_id == TRACEPARENT[3:35]) == (sent == TRACEPARENT)
        assert who.traceparent != sent
        assert who.correlation_id == trace_id


async def test_every_call_is_counted_by_its_outcome() -> None:
    async with served() as stand:
        await stand.call("Say")
        await stand.call("Say")
        await problem(stand.call("Lose"))
        await problem(stand.call("Say", metadata=()))
        # A caller may have its answer before the server has counted the call.
        await eventually(lambda: sum(counted(stand).values()) == 4)
        assert counted(stand) == {
            ("Say", "OK"): 2,
            ("Lose", "NOT_FOUND"): 1,
            ("Say", "UNAUTHENTICATED"): 1,
        }


def counted(stand: Stand) -> dict[tuple[str, str], float]:
    return {
        (sample.labels["method"].rpartition("/")[2], sample.labels["code"]): sample.value
        for metric in stand.metrics.rpc_seconds.collect()
        for sample in metric.samples
        if sample.name.endswith("_count")
    }


async def test_the_guard_costs_little() -> None:
    """A thousand calls a second on one core leave a millisecond for each; gRPC takes half."""
    echo = Echo()
    method = f"/{SERVICE}/Say"
    guard = Guard(
        echo.scopes,
        OneKey(),
        ProcessTelemetry(Metrics()),
        Limits(),
        ServiceToken(OUR_TOKEN, frozenset()),
    )
    wire = (StringValue.FromString, StringValue.SerializeToString)
    handler = guard.wrapped(method, grpc.unary_unary_rpc_method_handler(echo.say, *wire))
    serve: Any = cast("Any", handler).unary_unary
    context: Any = SimpleNamespace(
        invocation_metadata=lambda: BEARER,
        time_remaining=lambda: None,
        peer=lambda: "ipv4:127.0.0.1:4711",
    )
    request = StringValue(value="x" * 100).SerializeToString()
    began_s = time.process_time()
    for _ in range(2_000):
        await serve(request, context)
    assert (time.process_time() - began_s) / 2_000 < 0.000_4
