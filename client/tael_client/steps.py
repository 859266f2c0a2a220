"""Separates decisions from I/O. A script is a generator that yields steps and receives their results.

All decisions of this package (what to send, whether to repeat, when to stop waiting) are scripts. They read no clock
and open no connection, so the sync and the async client run the same scripts, and tests can run them step by step.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Send:
    """Send `body` to `path`. `signed_text` is the text of the signature in `headers`, without the key."""

    path: str  #: with the query of a GET
    headers: Mapping[str, str]
    body: bytes
    signed_text: str = field(repr=False)
    method: Literal["POST", "GET"] = "POST"
    wants_file: bool = False


@dataclass(frozen=True, slots=True)
class Rest:
    """Wait for `rest_s` seconds."""

    rest_s: float


@dataclass(frozen=True, slots=True)
class ReadClock:
    """Read a monotonic clock, in seconds."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response. `sign` is its `X-QF-SIGN`, or ""; `retry_after_s` its `Retry-After`, or 0."""

    status: int
    sign: str
    body: bytes
    retry_after_s: int = 0


@dataclass(frozen=True, slots=True)
class NotSent:
    """No connection could be made."""

    reason: str


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The request may have been sent, and no complete response was received."""

    reason: str


Step: TypeAlias = Send | Rest | ReadClock
StepResult: TypeAlias = Reply | NotSent | NoAnswer | float | None
Script: TypeAlias = Generator[Step, StepResult, Result]


def sent(request: Send) -> Script[Reply | NotSent | NoAnswer]:
    result = yield request
    assert isinstance(result, Reply | NotSent | NoAnswer)
    return result


def rested(rest_s: float) -> Script[None]:
    yield Rest(rest_s)


def clock_s() -> Script[float]:
    now_s = yield ReadClock()
    assert isinstance(now_s, float)
    return now_s
