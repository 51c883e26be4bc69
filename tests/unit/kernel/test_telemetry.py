"""One trace through a served call and what follows from it; metrics; logs that leak nothing."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.kernel.adapters.json_lines import JsonLines, log_json
from services.kernel.adapters.telemetry import Metrics, ProcessTelemetry, child_traceparent
from services.kernel.application.telemetry import (
    LOG_CONTEXT,
    accepted_traceparent,
    trace_id_of,
)
from tests.support.grpc_stand import BEARER, TRACEPARENT, problem, served

MINUTE = timedelta(minutes=1)


@pytest.fixture
def telemetry() -> ProcessTelemetry:
    return ProcessTelemetry(Metrics())


@pytest.fixture
def spans(telemetry: ProcessTelemetry) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    telemetry.start_tracing("test", processor=SimpleSpanProcessor(exporter))
    yield exporter
    telemetry.stop()


def test_a_child_stays_in_its_trace() -> None:
    child = child_traceparent(TRACEPARENT)
    assert accepted_traceparent(child) == child
    assert child[:36] == TRACEPARENT[:36]
    assert child[36:52] != TRACEPARENT[36:52]
    assert child[-2:] == TRACEPARENT[-2:]


def test_without_a_parent_a_trace_begins() -> None:
    one, other = child_traceparent(), child_traceparent()
    assert accepted_traceparent(one) == one
    assert trace_id_of(one) != trace_id_of(other)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "garbage",
        TRACEPARENT.upper(),
        TRACEPARENT + "-00",
        TRACEPARENT + "\n",
        "00-" + "0" * 32 + TRACEPARENT[35:],
        TRACEPARENT[:36] + "0" * 16 + "-01",
        "ff" + TRACEPARENT[2:],
    ],
)
def test_what_is_no_trace_context_is_dropped(wrong: str) -> None:
    assert accepted_traceparent(wrong) == ""


def test_without_an_endpoint_no_span_is_made_but_the_context_goes_on(
    telemetry: ProcessTelemetry,
) -> None:
    telemetry.start_tracing("test", endpoint="")
    with telemetry.work("order.hear", TRACEPARENT, batch=3) as span:
        assert trace_id_of(span.traceparent) == trace_id_of(TRACEPARENT)
        assert span.traceparent != TRACEPARENT
        span.note("rows", 3)
        span.failed("nothing")
    with telemetry.work("order.hear", TRACEPARENT, 2 * MINUTE) as span:
        assert trace_id_of(span.traceparent) != trace_id_of(TRACEPARENT)


def test_a_consumer_s_span_is_a_child_of_the_event_s(
    telemetry: ProcessTelemetry, spans: InMemorySpanExporter
) -> None:
    with telemetry.work("order.hear", TRACEPARENT, MINUTE, batch=3) as span:
        span.note("rows", 5)
    [done] = spans.get_finished_spans()
    assert done.parent is not None
    assert f"{done.parent.span_id:016x}" == TRACEPARENT[36:52]
    assert f"{done.context.trace_id:032x}" == trace_id_of(TRACEPARENT)
    assert dict(done.attributes or {}) == {"batch": 3, "rows": 5}
    assert span.traceparent[36:52] == f"{done.context.span_id:016x}"


def test_an_event_older_than_a_minute_is_heard_in_a_new_trace_with_a_link(
    telemetry: ProcessTelemetry, spans: InMemorySpanExporter
) -> None:
    with telemetry.work("order.hear", TRACEPARENT, MINUTE + timedelta(seconds=1)):
        pass
    [done] = spans.get_finished_spans()
    assert done.parent is None
    assert f"{done.context.trace_id:032x}" != trace_id_of(TRACEPARENT)
    assert [f"{link.context.trace_id:032x}" for link in done.links] == [trace_id_of(TRACEPARENT)]


def test_a_span_tells_the_kind_of_a_fault_and_not_its_words(
    telemetry: ProcessTelemetry, spans: InMemorySpanExporter
) -> None:
    with pytest.raises(ValueError, match="secret"), telemetry.work("order.hear"):
        raise ValueError("secret")
    [done] = spans.get_finished_spans()
    assert done.status.description == "ValueError"
    assert "secret" not in done.to_json()


async def test_one_trace_from_the_client_through_the_call_to_the_consumer(
    telemetry: ProcessTelemetry, spans: InMemorySpanExporter
) -> None:
    async with served(telemetry=telemetry) as stand:
        await stand.call("Say", metadata=(*BEARER, ("traceparent", TRACEPARENT)))
        stored_with_the_event = stand.echo.callers[0].traceparent
        with telemetry.work("sourcing.hear", stored_with_the_event):
            pass
        refusal = await problem(stand.call("Lose"))
        assert refusal.reason == "NOT_FOUND"
    call, heard, lost = spans.get_finished_spans()
    assert {f"{one.context.trace_id:032x}" for one in (call, heard)} == {trace_id_of(TRACEPARENT)}
    assert call.parent is not None
    assert f"{call.parent.span_id:016x}" == TRACEPARENT[36:52]
    assert heard.parent is not None
    assert heard.parent.span_id == call.context.span_id
    assert (call.attributes or {})["rpc.method"] == "Say"
    assert lost.status.is_ok or lost.status.is_unset  # a refusal is not a fault of ours


def test_every_metric_is_exposed_under_our_name() -> None:
    metrics = Metrics()
    metrics.rpc_ended("/oms.order.v1.OrderService/PlaceOrder", "OK", 0.003)
    metrics.append_batch_size.observe(7)
    text = metrics.exposition().decode()
    assert 'oms_rpc_seconds_count{code="OK",method="/oms.order.v1.OrderService/PlaceOrder"}' in text
    for name in ("append_seconds", "append_batch_commands", "append_queue_commands",
                 "relay_lag_events", "watermark_lag_seconds", "parked_streams",
                 "kafka_rebalances_total", "kafka_partitions_held",
                 "consume_batch_messages"):  # fmt: skip
        assert f"# HELP oms_{name} " in text


def line_of(message: str, **record: Any) -> dict[str, Any]:
    logger = logging.Logger("test")  # noqa: LOG001 - one that belongs to no tree
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines("order"))
    logger.addHandler(handler)
    logger.warning(message, **record)
    [line] = stream.getvalue().splitlines()
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def test_a_line_is_one_json_object_whatever_it_contains() -> None:
    forged = 'x\r\n{"level": "info", "message": "forged"}\u2028\x1b[31m'
    line = line_of(forged, extra={"order_id": "O-1\r\nforged"})
    assert line["message"] == forged
    assert line["order_id"] == "O-1\r\nforged"
    assert line["level"] == "warning"


def test_only_allowed_fields_get_out() -> None:
    line = line_of("placed", extra={"order_id": "O-1", "body": "Jane Doe", "token": "oms_x"})
    assert set(line) == {"at", "level", "logger", "message", "service", "order_id"}


def test_a_line_carries_the_ids_of_the_call_it_belongs_to() -> None:
    before = LOG_CONTEXT.set(
        {"tenant": "demo", "correlation_id": "c-1", "trace_id": "t-1", "name": "Jane"}
    )
    try:
        line = line_of("placed")
    finally:
        LOG_CONTEXT.reset(before)
    assert (line["tenant"], line["correlation_id"], line["trace_id"]) == ("demo", "c-1", "t-1")
    assert "name" not in line


def test_a_stack_stays_on_the_line() -> None:
    try:
        raise ZeroDivisionError("oops")
    except ZeroDivisionError:
        line = line_of("failed", exc_info=sys.exc_info())
    assert "ZeroDivisionError: oops" in line["stack"]


def test_the_whole_process_logs_json() -> None:
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    stream = io.StringIO()
    try:
        log_json("order", "INFO", stream)
        logging.getLogger("asyncpg").info("hello")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    assert json.loads(stream.getvalue())["logger"] == "asyncpg"
