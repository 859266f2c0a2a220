"""How both clients use httpx: limits, headers, and what a failure of the network means.

Only a failure to connect proves that nothing was sent. Whatever else goes wrong, the server may have taken the request.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import httpx

from tael_client.moments import UTC8
from tael_client.steps import NoAnswer, NotSent, Reply, Send

#: A page of 100 rows has some 50 kB; longer answers are not read to their end.
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
SIGN_HEADER: Final = "X-QF-SIGN"

#: What httpx raises before a byte of the request has left.
BEFORE_SENDING: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """In seconds. `read_s` is the longest silence while an answer is awaited; a payment in a shop takes its time.

    A call that runs into `read_s` is undecided. Hosted QFPay advises 300 s; with `pay_and_wait` less will do.
    """

    connect_s: float = 5.0  #: also for getting a connection of the pool
    read_s: float = 60.0  #: also for writing

    def for_httpx(self) -> httpx.Timeout:
        return httpx.Timeout(connect=self.connect_s, read=self.read_s, write=self.read_s, pool=self.connect_s)


def request_of(step: Send, base_url: str, timeouts: Timeouts) -> httpx.Request:
    return httpx.Request(
        "POST",
        base_url + step.path,
        headers={**step.headers, "Accept": "application/json", "Accept-Encoding": "identity"},
        content=step.body,
        extensions={"timeout": timeouts.for_httpx().as_dict()},
    )


class Collected:
    """The body of an answer as it comes in. `add` raises TooLong."""

    def __init__(self) -> None:
        self._body = bytearray()

    def add(self, chunk: bytes) -> None:
        self._body += chunk
        if len(self._body) > MAX_ANSWER_BYTES:
            raise TooLong(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")

    def reply(self, response: httpx.Response) -> Reply:
        return Reply(response.status_code, response.headers.get(SIGN_HEADER, ""), bytes(self._body))


class TooLong(Exception):
    """An answer that is read no further."""


#: What ends a sending without an answer.
FAILURES: Final = (httpx.TransportError, httpx.DecodingError, TooLong)


def heard_of(error: Exception) -> NotSent | NoAnswer:
    """What a failure of the network is to a script. Names the kind of failure; httpx may say nothing more."""
    reason = f"{type(error).__name__} {error}".rstrip()
    return NotSent(reason) if isinstance(error, BEFORE_SENDING) else NoAnswer(reason)


def wall_clock() -> datetime:
    return datetime.now(UTC8)
