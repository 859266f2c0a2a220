"""What a log line belongs to: the request, with its call and an id, and the span, if traces are on."""

from collections.abc import MutableMapping
from contextvars import ContextVar, Token
from typing import Any, Final

from tael.base import ids
from tael.base.tracing import current_span

_serving: Final[ContextVar["Serving | None"]] = ContextVar("serving", default=None)


class Serving:
    """Marks the lines of a block, also those of tasks that it starts. The id is drawn for the first of them."""

    __slots__ = ("_call", "_id", "_token")

    def __init__(self, call: str) -> None:
        self._call = call
        self._id = ""

    def __enter__(self) -> None:
        self._token: Token[Serving | None] = _serving.set(self)

    def __exit__(self, *_: object) -> None:
        _serving.reset(self._token)

    def mark(self, event: MutableMapping[str, Any]) -> None:
        self._id = self._id or ids.request_id()
        event["request_id"], event["call"] = self._id, self._call


def mark_request(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor of structlog."""
    serving = _serving.get()
    if serving is not None:
        serving.mark(event)
    return event


def mark_span(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor of structlog."""
    span = current_span()
    if span is not None:
        event["trace_id"], event["span_id"] = span
    return event
