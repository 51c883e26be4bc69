"""Metrics and spans: every name we use, in one place.

Metrics are always on and read at ``/metrics``; with an endpoint they are sent there too. Spans are
recorded only once ``start_tracing`` was given an endpoint; without one a span costs a random
number, because the trace context is accepted, made and passed on all the same: events carry it,
whoever collects traces later.

    with span("sourcing.hear", envelope.traceparent, age, messaging_batch=12) as hearing:
        ... record events with hearing.traceparent ...
"""

from contextlib import AbstractContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from services.kernel.adapters.metrics import METRICS, Metrics
from services.kernel.application.telemetry import Span, accepted_traceparent, child_traceparent

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

    from services.kernel.adapters.metrics_export import MetricsExport
    from services.kernel.adapters.tracing import Tracing

__all__ = ["METRICS", "TELEMETRY", "Metrics", "ProcessTelemetry", "child_traceparent", "span"]

OLD_EVENT = timedelta(minutes=1)
"""An event older than this is heard in a trace of its own, linked to the one it came from:
a replay must not stretch yesterday's traces until today."""

_NO_AGE = timedelta()


class _Unrecorded:
    """A span that nobody collects: its context, and nothing else."""

    __slots__ = ("traceparent",)

    def __init__(self, parent: str) -> None:
        self.traceparent = child_traceparent(parent)

    def __enter__(self) -> Span:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def note(self, name: str, value: str | float) -> None:
        """Forget it."""

    def failed(self, reason: str) -> None:
        """Forget it."""


class ProcessTelemetry:
    """The ``Telemetry`` port of one process.

    Attributes:
        metrics: Where calls are counted.
    """

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self._tracing: Tracing | None = None
        self._export: MetricsExport | None = None

    def start(self, service: str, endpoint: str, every_s: float) -> None:
        """Send spans, and metrics now and then, to ``endpoint``; nothing when it is empty.

        Args:
            service: Name of this process.
            endpoint: For example ``http://localhost:4317``.
            every_s: How often metrics are sent.
        """
        self.start_tracing(service, endpoint=endpoint)
        if endpoint:
            from services.kernel.adapters.metrics_export import MetricsExport  # noqa: PLC0415

            self._export = MetricsExport(service, endpoint, self.metrics.registry, every_s)

    def start_tracing(
        self, service: str, *, endpoint: str = "", processor: "SpanProcessor | None" = None
    ) -> None:
        """Record spans from now on and send them to ``endpoint`` (OTLP over gRPC), if given.

        Args:
            service: Name of this process in traces.
            endpoint: For example ``http://localhost:4317``; empty: nothing is recorded.
            processor: Gets the spans instead; for tests.
        """
        if endpoint or processor:
            # The SDK takes a quarter of a second to load; most processes never need it.
            from services.kernel.adapters.tracing import Tracing  # noqa: PLC0415

            self._tracing = Tracing(service, endpoint, processor)

    def stop(self) -> None:
        """Send what is left and record no more. Blocks for some seconds at worst."""
        tracing, self._tracing = self._tracing, None
        export, self._export = self._export, None
        if tracing is not None:
            tracing.stop()
        if export is not None:
            export.stop()

    @property
    def is_tracing(self) -> bool:
        """Whether anybody collects spans."""
        return self._tracing is not None

    def span(self, name: str, traceparent: str = "") -> AbstractContextManager[Span]:
        """Begin the span of a served call below ``traceparent``."""
        if self._tracing is None:
            return _Unrecorded(traceparent)
        return self._tracing.served(name, traceparent)

    def request(self, verb: str, traceparent: str = "") -> AbstractContextManager[Span]:
        """Begin the span of a served HTTP request below ``traceparent``."""
        parent = accepted_traceparent(traceparent)
        if self._tracing is None:
            return _Unrecorded(parent)
        return self._tracing.request(verb, parent)

    def work(
        self, name: str, traceparent: str = "", age: timedelta = _NO_AGE, **attributes: Any
    ) -> AbstractContextManager[Span]:
        """Begin the span of work of our own: commit, relay, hear, project.

        Args:
            name: For example ``order.hear``.
            traceparent: Of the event or command that caused it, or empty.
            age: How old that event is; beyond a minute the work is a trace of its own.
            attributes: No personal data.
        """
        parent = accepted_traceparent(traceparent)
        is_old = age > OLD_EVENT
        if self._tracing is None:
            return _Unrecorded("" if is_old else parent)
        return self._tracing.work(name, parent, attributes, is_linked=is_old)

    def call_ended(self, method: str, code: str, duration_s: float) -> None:
        """Count one served gRPC call."""
        self.metrics.rpc_ended(method, code, duration_s)

    def forwarding_disbelieved(self) -> None:
        """Count one HTTP request that came, by its header, from elsewhere, and was not believed."""
        self.metrics.forwarding_disbelieved_total.inc()


TELEMETRY = ProcessTelemetry(METRICS)
span = TELEMETRY.work
