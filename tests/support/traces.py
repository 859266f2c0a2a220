"""A collector of traces: takes what is exported by OTLP over HTTP, and shows the spans."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from werkzeug import Request, Response

from tests.support.local_server import local_server


@dataclass
class Collector:
    """What has arrived so far. Spans come when they end, so the last ones when the process has ended its export."""

    bodies: list[bytes] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def take(self, request: Request) -> Response:
        self.paths.append(request.path)
        self.bodies.append(request.get_data())
        return Response(b"", content_type="application/x-protobuf")

    @property
    def requests(self) -> list[ExportTraceServiceRequest]:
        return [ExportTraceServiceRequest.FromString(body) for body in self.bodies]

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def named(self, name: str) -> Span:
        (found,) = [span for span in self.spans if span.name == name]
        return found


def attributes_of(span: Span) -> dict[str, Any]:
    return {
        each.key: each.value.string_value or each.value.int_value or each.value.bool_value
        for each in span.attributes
    }


@contextmanager
def collecting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector that OpenTelemetry's own variables name. Compression is off, so that texts can be searched for."""
    collector = Collector()
    with local_server(collector.take) as url:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        yield collector
