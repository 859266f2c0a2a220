"""The use of httpx by both clients: limits, headers, and the meaning of network failures.

Only a failure to connect proves that nothing was sent. After any other failure, the server may have received the
request.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import httpx

from tael_client.moments import UTC8
from tael_client.steps import NoAnswer, NotSent, Reply, Send

#: A page of 100 rows has about 50 kB. Longer responses are not read to the end.
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
#: The same for a file.
MAX_FILE_BYTES: Final = 64 * 1024 * 1024
SIGN_HEADER: Final = "X-QF-SIGN"

#: Raised by httpx before a byte of the request is sent.
BEFORE_SENDING: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Timeouts in seconds. `read_s` is the longest wait without data; a payment in a shop can take long.

    A call that exceeds `read_s` is undecided. QFPay recommends 300 s; with `pay_and_wait` less is enough.
    """

    connect_s: float = 5.0  #: also for a connection from the pool
    read_s: float = 60.0  #: also for writing

    def for_httpx(self) -> httpx.Timeout:
        return httpx.Timeout(connect=self.connect_s, read=self.read_s, write=self.read_s, pool=self.connect_s)


def request_of(step: Send, base_url: str, timeouts: Timeouts) -> httpx.Request:
    return httpx.Request(
        step.method,
        base_url + step.path,
        headers={
            **step.headers,
            "Accept": "application/zip, application/json" if step.wants_file else "application/json",
            "Accept-Encoding": "identity",
        },
        content=step.body,
        extensions={"timeout": timeouts.for_httpx().as_dict()},
    )


class Collected:
    """Collects the body of a response. `add` raises TooLong."""

    def __init__(self, step: Send) -> None:
        self._body = bytearray()
        self._max_bytes = MAX_FILE_BYTES if step.wants_file else MAX_ANSWER_BYTES

    def add(self, chunk: bytes) -> None:
        self._body += chunk
        if len(self._body) > self._max_bytes:
            raise TooLong(f"the response is longer than {self._max_bytes} bytes")

    def reply(self, response: httpx.Response) -> Reply:
        headers = response.headers
        return Reply(
            response.status_code,
            headers.get(SIGN_HEADER, ""),
            bytes(self._body),
            seconds_of(headers.get("Retry-After", "")),
        )


def seconds_of(retry_after: str) -> int:
    """The header's seconds; 0 for a date or anything else."""
    return int(retry_after) if re.fullmatch("[0-9]{1,6}", retry_after) else 0


class TooLong(Exception):
    """The response exceeds its limit."""


#: Exceptions that end a sending without a response.
FAILURES: Final = (httpx.TransportError, httpx.DecodingError, TooLong)


def failure_of(error: Exception) -> NotSent | NoAnswer:
    """The result of a step for a network failure. The reason has the error's class; httpx may give no text."""
    reason = f"{type(error).__name__} {error}".rstrip()
    return NotSent(reason) if isinstance(error, BEFORE_SENDING) else NoAnswer(reason)


def wall_clock() -> datetime:
    return datetime.now(UTC8)
