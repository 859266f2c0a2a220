"""HTTP calls of the kit: any bytes and headers, bounded in time and size, and paced."""

import json
import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from tael_conformance.checks import Departure

Members = dict[str, Any]
MAX_BODY_BYTES: Final = 1024 * 1024
#: The time for a response, and for each part of it that is waited for.
TIMEOUT_S: Final = 30.0
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
SIGN_HEADER: Final = "X-QF-SIGN"
TOO_MANY_REQUESTS: Final = 429
#: After 429, a request is sent again so many times, each after `Retry-After`, which is followed up to a limit.
MAX_REPEATS: Final = 3
MAX_RETRY_AFTER_S: Final = 60


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request, described without its signature, and the response. Header names are lower case."""

    sent: str
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def received(self) -> str:
        return f"HTTP {self.status} {self.body.decode('utf-8', 'backslashreplace')}"

    @property
    def members(self) -> Members:
        """The response's JSON object. Raises Departure."""
        try:
            members = json.loads(self.body)
        except (ValueError, RecursionError):
            members = None
        if not isinstance(members, dict):
            raise Departure("a JSON object", self.received, self.sent)
        return members

    @property
    def respcd(self) -> str:
        return self.text("respcd")

    def text(self, name: str) -> str:
        """A member as text; "" if it is missing."""
        value = self.members.get(name, "")
        return value if isinstance(value, str) else json.dumps(value)

    def expect(self, is_met: bool, expected: str) -> None:
        if not is_met:
            raise Departure(expected, self.received, self.sent)


class Unreachable(Exception):
    """No connection to the subject; the message is one line."""


@dataclass(slots=True)
class Pacer:
    """At most `per_second` calls; 0 is no limit."""

    per_second: float = 0.0
    _next_at: float = 0.0

    def wait(self) -> None:
        if not self.per_second:
            return
        now = time.monotonic()
        if now < self._next_at:
            time.sleep(self._next_at - now)
        self._next_at = max(now, self._next_at) + 1 / self.per_second


@dataclass(frozen=True, slots=True)
class Wire:
    """Calls to one base URL."""

    base_url: str
    client: httpx.Client = field(repr=False)
    pacer: Pacer = field(default_factory=Pacer)
    timeout_s: float = TIMEOUT_S

    def send(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        sent: str | None = None,
    ) -> Exchange:
        """`sent` describes the request in reports. Raises Departure if there is no response, or too much of one.

        A server may limit requests, and a check is not about that: after 429 the same is sent again later.
        """
        exchange = self._send_once(method, target, body, headers, sent)
        for _ in range(MAX_REPEATS):
            retry_after_s = exchange.headers.get("retry-after", "")
            if exchange.status != TOO_MANY_REQUESTS or not re.fullmatch("[0-9]{1,6}", retry_after_s):
                break
            time.sleep(min(int(retry_after_s), MAX_RETRY_AFTER_S))
            exchange = self._send_once(method, target, body, headers, sent)
        return exchange

    def _send_once(
        self, method: str, target: str, body: bytes, headers: Mapping[str, str] | None, sent: str | None
    ) -> Exchange:
        self.pacer.wait()
        described = sent if sent is not None else f"{method} {target}"
        end = time.monotonic() + self.timeout_s
        collected = bytearray()
        try:
            with self.client.stream(
                method, f"{self.base_url}{target}", content=body, headers=dict(headers or {})
            ) as response:
                for chunk in response.iter_bytes():
                    collected += chunk
                    if len(collected) > MAX_BODY_BYTES:
                        raise Departure(
                            f"a response of at most {MAX_BODY_BYTES} bytes", "a longer one", described
                        )
                    if time.monotonic() > end:
                        raise Departure(
                            f"a response within {self.timeout_s:g} s", "a part of it (Timeout)", described
                        )
        except httpx.HTTPError as error:
            raise Departure("a response", f"none ({type(error).__name__})", described) from error
        lower = {name.lower(): value for name, value in response.headers.items()}
        return Exchange(described, response.status_code, lower, bytes(collected))


def open_wire(url: str, pace: float = 0.0, timeout_s: float = TIMEOUT_S) -> Wire:
    """A wire to this base URL. The environment's proxies are used for other machines only. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{url} is not an address that begins with http:// or https://")
    client = httpx.Client(
        timeout=timeout_s,
        follow_redirects=False,
        trust_env=parts.hostname not in LOOPBACK,
        # Redirects are not followed, so plain HTTP needs no certificates; to load them takes longer than many checks.
        verify=ssl.create_default_context() if parts.scheme == "https" else False,
    )
    return Wire(url.rstrip("/"), client, Pacer(pace), timeout_s)


def split_address(url: str) -> tuple[str, str]:
    """The base and the path with its query. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url} is not an address that begins with http:// or https://")
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc}", f"{parts.path or '/'}{query}"


def check_reachable(wire: Wire) -> None:
    """Raises Unreachable if nothing accepts connections there."""
    try:
        with wire.client.stream("GET", wire.base_url):
            pass
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
        raise Unreachable(f"{wire.base_url} cannot be reached ({type(error).__name__})") from error
    except httpx.HTTPError:
        pass  # it is there, and what it makes of this request is no matter


def until(look: Callable[[], bool], limit_s: float, rest_s: float) -> bool:
    """Whether `look` is true within the limit; it is asked at least once."""
    end = time.monotonic() + limit_s
    while not look():
        left_s = end - time.monotonic()
        if left_s <= 0:
            return False
        time.sleep(min(rest_s, left_s))
    return True
