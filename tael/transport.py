"""The only HTTP client. Says of every call whether an answer came, none came, or not a byte was sent.

The difference between the last two is money: what was not sent surely did not happen. Redirects are never followed.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

import aiohttp
from yarl import URL

#: Time to reach the other side; nothing of the request has left us while it runs.
CONNECT_TIMEOUT_S: Final = 5.0
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
POOL_SIZE: Final = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other side said. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class NothingSent:
    """The connection never opened."""

    reason: str


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The request may have arrived; no whole answer came back in time."""

    reason: str


Result = Answer | NothingSent | NoAnswer


@dataclass(slots=True)
class Transport:
    """A pool of connections. One for a process; `tls` contexts are made once by their owners and reused."""

    _session: aiohttp.ClientSession | None = field(default=None)

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=POOL_SIZE, ttl_dns_cache=60)
        self._session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=True
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(
        self,
        method: str,
        url: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
        tls: ssl.SSLContext | bool = True,
    ) -> Result:
        """One request, one result; never raises for what the network does. `tls` False is refused: verify or do not."""
        if self._session is None or tls is False:
            raise RuntimeError("a Transport is entered before it is used, and verifies its peers")
        limits = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S)
        try:
            as_signed = URL(url, encoded=True)  # untouched: what was signed must be what is sent
            is_whole = as_signed.scheme in ("http", "https") and as_signed.host and as_signed.port
        except ValueError:
            is_whole = False
        if not is_whole:
            return NothingSent("not an address")
        try:
            async with self._session.request(
                method, as_signed, data=body, headers=headers, timeout=limits, ssl=tls, allow_redirects=False
            ) as response:
                read = await response.content.read(MAX_ANSWER_BYTES + 1)
                while not response.content.at_eof() and len(read) <= MAX_ANSWER_BYTES:
                    read += await response.content.read(MAX_ANSWER_BYTES + 1 - len(read))
                if len(read) > MAX_ANSWER_BYTES:
                    return NoAnswer("the answer is too large")
                return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, read)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
            return NothingSent(type(error).__name__)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            return NoAnswer(type(error).__name__)
