"""Spans to OpenTelemetry. Loaded only when somebody collects them."""

from collections.abc import Mapping
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
)

from services.kernel.application.telemetry import Span


class _Recorded:
    __slots__ = ("_span", "traceparent")

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        context = span.get_span_context()
        self.traceparent = (
            f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
        )

    def note(self, name: str, value: str | float) -> None:
        self._span.set_attribute(name, value)

    def failed(self, reason: str) -> None:
        self._span.set_status(Status(StatusCode.ERROR, reason))


class _Block:
    """Ends its span. Never becomes the library's current span: contexts are passed by hand."""

    __slots__ = ("_span",)

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def __enter__(self) -> Span:
        return _Recorded(self._span)

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, Exception) and type(error).__name__ != "AbortError":
            # The kind only: a message may quote what must not leave.
            self._span.set_status(Status(StatusCode.ERROR, type(error).__name__))
        self._span.end()


class Tracing:
    """Records and sends the spans of one process."""

    def __init__(self, service: str, endpoint: str, processor: SpanProcessor | None) -> None:
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": f"oms-{service}"}), shutdown_on_exit=False
        )
        self._provider.add_span_processor(
            processor or BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint))
        )
        self._tracer = self._provider.get_tracer("oms")

    def stop(self) -> None:
        self._provider.shutdown()

    def served(self, method: str, traceparent: str) -> _Block:
        service, _, name = method.removeprefix("/").partition("/")
        attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}
        return self._begin(method, traceparent, SpanKind.SERVER, attributes)

    def request(self, verb: str, traceparent: str) -> _Block:
        attributes = {"http.request.method": verb}
        return self._begin(f"HTTP {verb}", traceparent, SpanKind.SERVER, attributes)

    def work(
        self, name: str, traceparent: str, attributes: Mapping[str, Any], *, is_linked: bool
    ) -> _Block:
        return self._begin(name, traceparent, SpanKind.INTERNAL, attributes, is_linked=is_linked)

    def _begin(
        self,
        name: str,
        traceparent: str,
        kind: SpanKind,
        attributes: Mapping[str, Any],
        *,
        is_linked: bool = False,
    ) -> _Block:
        remote = _context_of(traceparent) if traceparent else None
        parent = Context()
        if remote is not None and not is_linked:
            parent = trace.set_span_in_context(NonRecordingSpan(remote), parent)
        links = (Link(remote),) if remote is not None and is_linked else ()
        return _Block(
            self._tracer.start_span(
                name, context=parent, kind=kind, attributes=dict(attributes), links=links
            )
        )


def _context_of(traceparent: str) -> SpanContext:
    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16))
    )
