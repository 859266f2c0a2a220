"""Spans of jobs, OpenTelemetry's own settings, and what is never exported."""

import socket

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from structlog.testing import capture_logs

from tael.base import tracing
from tael.base.log_context import mark_span
from tael.base.spans import exporting
from tael.base.tracing import NO_SPAN, current_span, span
from tael.jobs.runner import run_once
from tests.support.alipay import TestClock
from tests.support.traces import collecting
from tests.support.values import NOW
from tests.unit.jobs.test_runner import Queue


async def test_a_row_of_a_job_is_a_trace_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting(monkeypatch) as collector:
        async with exporting():
            await run_once(Queue(["1", "2"]).job(), TestClock(NOW))
        assert [each.name for each in collector.spans] == ["test", "test"]
        assert len({each.trace_id for each in collector.spans}) == 2
        assert {each.kind for each in collector.spans} == {Span.SPAN_KIND_INTERNAL}


async def test_the_log_line_of_a_row_that_failed_names_its_span(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting(monkeypatch) as collector, capture_logs([mark_span]) as lines:
        async with exporting():
            await run_once(Queue(["bad"]).job(), TestClock(NOW))
        found = collector.named("test")
        assert [(each["event"], each["trace_id"], each["span_id"]) for each in lines] == [
            ("job.row_failed", found.trace_id.hex(), found.span_id.hex())
        ]


async def test_the_text_of_an_exception_is_not_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting(monkeypatch) as collector:
        async with exporting():
            with pytest.raises(ValueError, match="secret"), span("fails"):
                raise ValueError("secret")
        (found,) = collector.spans
        assert (list(found.events), found.status.code) == ([], Status.STATUS_CODE_UNSET)
        assert b"secret" not in collector.bodies[0]


@pytest.mark.parametrize(("name", "expected"), [("", "tael"), ("gateway-hk", "gateway-hk")])
async def test_the_service_is_named_as_the_operator_wishes(
    monkeypatch: pytest.MonkeyPatch, name: str, expected: str
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", name)
    with collecting(monkeypatch) as collector:
        async with exporting():
            with span("any"):
                pass
        (resource,) = [each.resource for each in collector.requests[0].resource_spans]
        found = {each.key: each.value.string_value for each in resource.attributes}
        assert found["service.name"] == expected


async def test_the_sampler_is_opentelemetrys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    with collecting(monkeypatch) as collector:
        async with exporting():
            with span("any"):
                assert current_span() is not None  # for log lines
            assert current_span() is None
        assert collector.spans == []


async def test_a_traceparent_that_cannot_be_read_begins_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting(monkeypatch) as collector:
        async with exporting():
            with span("any", traceparent="00-zz-\N{SNOWMAN}"):
                pass
        assert collector.named("any").parent_span_id == b""


async def test_without_a_collector_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    async with exporting():
        with span("any") as current:
            current.set("tael.respcd", "0000")


def test_a_span_is_nothing_while_traces_are_off() -> None:
    assert not tracing.is_on()
    assert span("any") is NO_SPAN
    assert current_span() is None
    with span("any") as current:
        current.set("tael.respcd", "0000")
