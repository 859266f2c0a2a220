"""Spans, for traces of what a call of a merchant waits for. Off by default: then a span costs next to nothing.

`spans.py` exports them with OpenTelemetry, which is imported only if they are on. An attribute is a name or a result of
ours: never a parameter, a URL, a key or a body, and no number of a merchant, an account or an order.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from enum import StrEnum
from typing import Final, NamedTuple, Protocol, Self

Attributes = Mapping[str, str | int]


class SpanKind(StrEnum):
    """OpenTelemetry's, as far as they are needed."""

    SERVER = "SERVER"
    CLIENT = "CLIENT"
    INTERNAL = "INTERNAL"


class SpanIds(NamedTuple):
    """Of a span, in hexadecimal, under the names that OpenTelemetry has for them in logs."""

    trace_id: str
    span_id: str


class Span(Protocol):
    def set(self, name: str, value: str | int) -> None:
        """Set an attribute."""
        ...


class Tracer(Protocol):
    def start(
        self, name: str, kind: SpanKind, attributes: Attributes, traceparent: str
    ) -> AbstractContextManager[Span]:
        """A span of the block, below the one that `traceparent` names or else the current one."""
        ...

    def current(self) -> SpanIds | None:
        """The innermost span that has begun and not ended in this context."""
        ...


class _NoSpan:
    """Traces are off."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def set(self, name: str, value: str | int) -> None:
        return


NO_SPAN: Final = _NoSpan()
NO_ATTRIBUTES: Final[Attributes] = {}
_tracer: Tracer | None = None


def is_on() -> bool:
    return _tracer is not None


def span(
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Attributes = NO_ATTRIBUTES,
    traceparent: str = "",
) -> AbstractContextManager[Span]:
    """A span of the block. `traceparent` is the header of W3C's Trace Context."""
    return NO_SPAN if _tracer is None else _tracer.start(name, kind, attributes, traceparent)


def current_span() -> SpanIds | None:
    """None outside of spans, and while traces are off."""
    return None if _tracer is None else _tracer.current()


@contextmanager
def tracing_with(tracer: Tracer) -> Iterator[None]:
    """Spans of this process go to `tracer` until the end of the block."""
    global _tracer
    _tracer = tracer
    try:
        yield
    finally:
        _tracer = None
