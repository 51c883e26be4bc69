"""Metrics to OpenTelemetry: what ``/metrics`` shows, sent now and then. Loaded only if wanted.

The instruments are Prometheus's, and stay the only ones: each export reads the same registry, so
that the two ways to look can never disagree.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import export as otel
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample

_log = logging.getLogger(__name__)

_CUMULATIVE = otel.AggregationTemporality.CUMULATIVE
_SEND_WITHIN_MS = 5_000

type _Labels = frozenset[tuple[str, str]]


class MetricsExport:
    """Sends a registry's metrics from a thread of its own, until stopped.

    A collector that is away costs nothing but the attempt: counts are cumulative.

    Args:
        service: Name of this process.
        endpoint: OTLP over gRPC.
        registry: What to send.
        every_s: How often.
    """

    def __init__(
        self, service: str, endpoint: str, registry: CollectorRegistry, every_s: float
    ) -> None:
        self._resource = Resource.create({"service.name": f"oms-{service}"})
        self._registry = registry
        self._every_s = every_s
        self._began_ns = time.time_ns()
        self._exporter = OTLPMetricExporter(endpoint=endpoint)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics export", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send once more, and end. Blocks for some seconds at worst."""
        self._stopping.set()
        self._thread.join(2 * _SEND_WITHIN_MS / 1_000)
        self._exporter.shutdown(_SEND_WITHIN_MS)

    def _run(self) -> None:
        while True:
            is_last = self._stopping.wait(self._every_s)
            try:
                self._exporter.export(self._read(), _SEND_WITHIN_MS)
            except Exception:
                _log.exception("metrics could not be exported")
            if is_last:
                return

    def _read(self) -> otel.MetricsData:
        metrics = list(metrics_of(self._registry.collect(), self._began_ns, time.time_ns()))
        scope = otel.ScopeMetrics(InstrumentationScope("oms"), metrics, "")
        return otel.MetricsData([otel.ResourceMetrics(self._resource, [scope], "")])


def metrics_of(families: Iterable[Metric], began_ns: int, now_ns: int) -> Iterator[otel.Metric]:
    """Return Prometheus's metric families in OpenTelemetry's words."""
    for family in families:
        data: otel.Sum | otel.Gauge | otel.Histogram
        match family.type:
            case "counter":
                samples = [s for s in family.samples if s.name.endswith("_total")]
                data = otel.Sum(_points(samples, began_ns, now_ns), _CUMULATIVE, is_monotonic=True)
            case "gauge":
                data = otel.Gauge(_points(family.samples, began_ns, now_ns))
            case "histogram":
                points = list(_histograms(family.samples, began_ns, now_ns))
                data = otel.Histogram(points, _CUMULATIVE)
            case _:
                continue  # we have no others
        if data.data_points:
            yield otel.Metric(family.name, family.documentation, "", data)


def _points(samples: Iterable[Sample], began_ns: int, now_ns: int) -> list[otel.NumberDataPoint]:
    return [
        otel.NumberDataPoint(dict(sample.labels), began_ns, now_ns, sample.value)
        for sample in samples
    ]


def _histograms(
    samples: Iterable[Sample], began_ns: int, now_ns: int
) -> Iterator[otel.HistogramDataPoint]:
    """Return one point for each set of labels; Prometheus counts its buckets from below."""
    sums: dict[_Labels, float] = {}
    buckets: dict[_Labels, list[tuple[float, float]]] = defaultdict(list)
    for sample in samples:
        labels = frozenset(pair for pair in sample.labels.items() if pair[0] != "le")
        if sample.name.endswith("_bucket"):
            buckets[labels].append((float(sample.labels["le"]), sample.value))
        elif sample.name.endswith("_sum"):
            sums[labels] = sample.value
    for labels, cumulated in buckets.items():
        cumulated.sort()
        counts, below = [], 0
        for _, count in cumulated:
            counts.append(int(count) - below)
            below = int(count)
        yield otel.HistogramDataPoint(
            attributes=dict(labels),
            start_time_unix_nano=began_ns,
            time_unix_nano=now_ns,
            count=below,
            sum=sums.get(labels, 0.0),
            bucket_counts=counts,
            explicit_bounds=[bound for bound, _ in cumulated[:-1]],
            min=0.0,
            max=0.0,
        )
