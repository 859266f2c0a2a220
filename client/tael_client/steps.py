"""The seam between deciding and doing. A script is a generator that yields steps and is sent what they came to.

All decisions of this package (what to send, whether to repeat, when to stop waiting) are scripts: they read no clock
and open no connection, so the sync and the async client run the very same ones, and a test runs them by hand.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Send:
    """POST this body to this path. `signed_text` is what `headers` have the signature of, without the key."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    signed_text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Rest:
    """Let so many seconds pass."""

    rest_s: float


@dataclass(frozen=True, slots=True)
class ReadClock:
    """Asks for seconds of a clock that never goes back."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer. `sign` is its `X-QF-SIGN`, or ""."""

    status: int
    sign: str
    body: bytes


@dataclass(frozen=True, slots=True)
class NotSent:
    """No connection came to be."""

    reason: str


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Something may have been sent, and no whole answer came."""

    reason: str


Step: TypeAlias = Send | Rest | ReadClock
Heard: TypeAlias = Reply | NotSent | NoAnswer | float | None
Script: TypeAlias = Generator[Step, Heard, Result]


def sent(request: Send) -> Script[Reply | NotSent | NoAnswer]:
    heard = yield request
    assert isinstance(heard, Reply | NotSent | NoAnswer)
    return heard


def rested(rest_s: float) -> Script[None]:
    yield Rest(rest_s)


def clock_s() -> Script[float]:
    heard = yield ReadClock()
    assert isinstance(heard, float)
    return heard
