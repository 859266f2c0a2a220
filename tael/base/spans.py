"""Exports spans with OpenTelemetry, by OTLP over HTTP. Its own variables, `OTEL_…`, say where to, and which spans.

Its thread sends them in batches; if the collector is slow, spans are dropped, and no call waits.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tael.base.tracing import Attributes, Span, SpanIds, SpanKind, tracing_with

PROPAGATOR: Final = TraceContextTextMapPropagator()
#: For the last spans, when the process ends.
FLUSH_S: Final = 5.0


class _Span:
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def set(self, name: str, value: str | int) -> None:
        self._span.set_attribute(name, value)


class _Tracer:
    """Exceptions are not recorded: their texts may have anything in them."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    def start(
        self, name: str, kind: SpanKind, attributes: Attributes, traceparent: str
    ) -> AbstractContextManager[Span]:
        return self._started(name, kind, attributes, traceparent)

    def current(self) -> SpanIds | None:
        found = trace.get_current_span().get_span_context()
        if not found.is_valid:
            return None
        return SpanIds(trace.format_trace_id(found.trace_id), trace.format_span_id(found.span_id))

    @contextmanager
    def _started(self, name: str, kind: SpanKind, attributes: Attributes, traceparent: str) -> Iterator[Span]:
        with self._tracer.start_as_current_span(
            name,
            PROPAGATOR.extract({"traceparent": traceparent}) if traceparent else None,
            trace.SpanKind[kind],
            attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield _Span(span)


@asynccontextmanager
async def exporting() -> AsyncIterator[None]:
    """Export the spans of this process until the end of the block."""
    resource = Resource({SERVICE_NAME: "tael"}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        with tracing_with(_Tracer(provider.get_tracer("tael"))):
            yield
    finally:
        await asyncio.wait((asyncio.create_task(asyncio.to_thread(provider.shutdown)),), timeout=FLUSH_S)
