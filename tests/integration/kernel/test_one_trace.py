"""One trace from the HTTP request to the handover, as a collector receives it; and the metrics."""

import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.demo.adapters.http_client import HttpApi
from services.demo.application import campaign, loading
from services.demo.domain.chain import chain
from services.demo.domain.shopping import Shop
from services.kernel.adapters.ports import free_port
from services.kernel.adapters.telemetry import METRICS, TELEMETRY, Metrics, ProcessTelemetry
from services.kernel.application.telemetry import trace_id_of
from services.kernel.main import SERVICES, KernelSettings
from services.kernel.main.embedded import running as whole_system
from tests.support.otlp_collector import Collector, collecting

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

# What the platform says of its own trace with every request that belongs to the order.
CLIENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
# All that a span may tell. None of these can name a person.
TOLD = {
    *("rpc.system", "rpc.service", "rpc.method"),
    *("http.request.method", "http.route", "http.response.status_code"),
}
LABELS = {"group", "topic", "method", "code", "follower", "service"}
THE_WAY = (
    "HTTP POST",
    "/oms.order.v1.OrderService/PlaceOrder",
    "sourcing hear oms.order.v1.OrderPlaced",
    "stock_ledger hear oms.sourcing.v1.PlanDecided",
    "order hear oms.stock_ledger.v1.ReservationHeld",
    "picking hear oms.order.v1.GroupStepStarted",
    "/oms.picking.v1.PickingService/PickLines",
    "order hear oms.picking.v1.PickCompleted",
    "delivery hear oms.order.v1.GroupStepStarted",
    "/oms.delivery.v1.DeliveryService/HandOver",
    "stock_ledger hear oms.delivery.v1.HandedOver",
    "order hear oms.delivery.v1.HandedOver",
    "returns hear oms.order.v1.GroupCompleted",
    "notification hear oms.order.v1.GroupStepCompleted",
)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as receiving:
        TELEMETRY.start("test", receiving.endpoint, every_s=3_600)
        try:
            yield receiving
        finally:
            TELEMETRY.stop()


async def test_one_order_is_one_trace_from_the_request_to_the_handover(
    collector: Collector, postgres_dsn: str, tmp_path: Path
) -> None:
    settings = KernelSettings(
        data_home=tmp_path,
        postgres_dsn=postgres_dsn,
        database_prefix=f"o{secrets.token_hex(4)}_",
        http_port=free_port(),
        grpc_port=free_port(),
        health_port=free_port(),
    )
    whole = chain(11)
    small = replace(whole, products=whole.products[:60])
    async with whole_system(settings, lambda _line: None) as system:
        key = await system.demo_key(tmp_path)
        async with HttpApi(system.addresses.http, key) as api:
            await loading.load(api, small, "run-1", lambda *_: None)
            api._client.headers["traceparent"] = CLIENT
            told = await campaign.run(api, Shop.of(small), 3, "run-2", lambda *_: None, at_once=1)
            assert told.is_clean, told.stuck
        stored = [
            trace_id_of(recorded.partition('"traceparent":"')[2][:55])
            for name in SERVICES
            for (recorded,) in await system.runtime.hosts[name].database.sql.fetch(
                "SELECT convert_from(cause, 'UTF8') FROM events WHERE topic = ANY($1)",
                [
                    *("order.placed.v1", "decision.decided.v1", "reservation.held.v1"),
                    *("picktask.completed.v1", "handover.handed_over.v1", "message.queued.v1"),
                ],
            )
        ]
    TELEMETRY.stop()
    spans = collector.trace(trace_id_of(CLIENT))
    names = {span.name for span in spans}
    assert [step for step in THE_WAY if step not in names] == [], sorted(names)
    # Every stored event carries the trace, so that the next service can go on with it.
    assert stored
    assert set(stored) == {trace_id_of(CLIENT)}
    # Each span hangs below another one, or below the client's: no thread is cut.
    known = {span.span_id.hex() for span in spans} | {CLIENT[36:52]}
    assert {span.parent_span_id.hex() for span in spans} <= known
    assert {pair.key for span in spans for pair in span.attributes} <= TOLD
    [placed, *_] = [s for s in spans if s.name == "/oms.order.v1.OrderService/PlaceOrder"]
    [above] = [span for span in spans if span.span_id == placed.parent_span_id]
    noted = {pair.key: pair.value for pair in above.attributes}
    assert noted["http.route"].string_value == "/v1/orders"
    assert noted["http.response.status_code"].int_value in (201, 202)
    _metrics_came_too(collector)


def _metrics_came_too(collector: Collector) -> None:
    assert collector.resources == {"oms-test"}
    assert collector.metrics.keys() >= {
        *("oms_append_batch_commands", "oms_consume_batch_messages", "oms_relay_lag_events"),
        *("oms_watermark_lag_seconds", "oms_parked_streams", "oms_consumed_messages"),
    }
    consumed = {
        point.attributes[0].value.string_value: point.as_double
        for point in collector.metrics["oms_consumed_messages"].sum.data_points
    }
    assert consumed["sourcing"] > 0
    batches = collector.metrics["oms_consume_batch_messages"].histogram.data_points
    assert all(point.count == sum(point.bucket_counts) for point in batches)
    labels = {
        pair.key
        for metric in collector.metrics.values()
        for data in (metric.sum, metric.gauge, metric.histogram)
        for point in data.data_points
        for pair in point.attributes
    }
    assert labels <= LABELS


def test_without_an_endpoint_nothing_is_sent() -> None:
    telemetry = ProcessTelemetry(Metrics())
    telemetry.start("test", "", 0.01)
    assert not telemetry.is_tracing
    assert telemetry._export is None
    telemetry.stop()


def test_what_is_sent_is_what_is_shown() -> None:
    """The same counts by both ways."""
    telemetry = ProcessTelemetry(Metrics())
    telemetry.metrics.consumed.labels("sourcing").inc(7)
    telemetry.metrics.kafka_rebalances.labels("sourcing", "oms.order.v1.events").inc()
    telemetry.metrics.kafka_partitions.labels("sourcing", "oms.order.v1.events").set(2)
    telemetry.metrics.consume_batch_size.labels("sourcing").observe(3)
    telemetry.metrics.consume_batch_size.labels("sourcing").observe(400)
    with collecting() as collector:
        telemetry.start("test", collector.endpoint, 3_600)
        telemetry.stop()
    shown = telemetry.metrics.exposition().decode()
    assert 'oms_consumed_messages_total{group="sourcing"} 7.0' in shown
    assert collector.metrics["oms_consumed_messages"].sum.data_points[0].as_double == 7
    assert collector.metrics["oms_consumed_messages"].sum.is_monotonic
    assert 'oms_kafka_rebalances_total{group="sourcing",topic="oms.order.v1.events"} 1.0' in shown
    assert collector.metrics["oms_kafka_partitions_held"].gauge.data_points[0].as_double == 2
    [sizes] = collector.metrics["oms_consume_batch_messages"].histogram.data_points
    assert (sizes.count, sizes.sum) == (2, 403)
    assert list(sizes.explicit_bounds) == [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 4000]
    assert list(sizes.bucket_counts) == [0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0]


def test_the_process_has_one_registry() -> None:
    assert TELEMETRY.metrics is METRICS
