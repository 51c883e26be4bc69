"""A collector in this process: OTLP over gRPC on a free loopback port, kept in memory."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_rpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as traces_rpc


@dataclass
class Collector:
    """What was sent.

    Attributes:
        endpoint: For ``OMS_OTLP_ENDPOINT``.
        spans: Every span, as it came.
        metrics: Newest data of every metric, by name.
        resources: Names of the services that sent metrics.
    """

    endpoint: str = ""
    spans: list[Any] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    resources: set[str] = field(default_factory=set)

    def trace(self, trace_id: str) -> list[Any]:
        """Return the spans of one trace."""
        return [span for span in self.spans if span.trace_id.hex() == trace_id]


class _Traces(traces_rpc.TraceServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self._collector.spans.extend(scope.spans)
        return traces.ExportTraceServiceResponse()


class _Metrics(metrics_rpc.MetricsServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
        for resource in request.resource_metrics:
            self._collector.resources |= {
                pair.value.string_value
                for pair in resource.resource.attributes
                if pair.key == "service.name"
            }
            for scope in resource.scope_metrics:
                self._collector.metrics |= {metric.name: metric for metric in scope.metrics}
        return metrics.ExportMetricsServiceResponse()


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector for the block."""
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    add_traces: Any = traces_rpc.add_TraceServiceServicer_to_server
    add_traces(_Traces(collector), server)
    add_metrics: Any = metrics_rpc.add_MetricsServiceServicer_to_server
    add_metrics(_Metrics(collector), server)
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(1).wait()
