"""The only HTTP client. Says of every call whether an answer came, none came, or not a byte was sent.

The difference between the last two is money: what was not sent surely did not happen. Redirects are never followed.
With a `Reach` it is safe to call where a merchant says: each address is judged as it is connected to, so a name that
means another address a moment later changes nothing.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Final, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from tael.domain.address import Reach
from tael.domain.secret import Secret

#: Time to reach the other side; nothing of the request has left us while it runs.
CONNECT_TIMEOUT_S: Final = 5.0
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
POOL_SIZE: Final = 200
DNS_REMEMBERED_S: Final = 60
#: Look-ups at a time where merchants choose the names: a name server that hangs holds one of these.
MOST_LOOKUPS: Final = 64
NOT_ALLOWED: Final = "an address that may not be called"
USER_AGENT: Final = f"tael/{version('tael')}"


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

#: Raised before a byte of the request has left; by a proxy too, which has opened no connection then.
NOT_CONNECTED: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
)

Lookup = Callable[..., list[tuple[Any, ...]]]


@dataclass(slots=True)
class Transport:
    """A pool of connections. One for a process; `tls` contexts are made once by their owners and reused.

    With a `reach` it is for calls whose destination others chose; how many run at once is then their caller's affair.
    """

    reach: Reach | None = None
    lookup: Lookup = socket.getaddrinfo
    proxy: Secret | None = None  #: for all calls, by CONNECT; its URL may hold a password
    _session: aiohttp.ClientSession | None = field(default=None)
    _resolver: AbstractResolver | None = field(default=None)

    async def __aenter__(self) -> Self:
        if self.reach is None:
            connector = aiohttp.TCPConnector(limit=POOL_SIZE, ttl_dns_cache=DNS_REMEMBERED_S)
        else:
            self._resolver = _Resolver(self.lookup)
            connector = aiohttp.TCPConnector(
                limit=0,
                ttl_dns_cache=DNS_REMEMBERED_S,
                resolver=self._resolver,
                socket_factory=_guarded_by(self.reach),
            )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=True,
            headers={"User-Agent": USER_AGENT},
            proxy=self.proxy.reveal() if self.proxy else None,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
        if self._resolver is not None:
            await self._resolver.close()

    async def call(
        self,
        method: str,
        url: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
        tls: ssl.SSLContext | bool = True,
        cut_at: int | None = None,
    ) -> Result:
        """One request, one result; never raises for what the network does.

        `tls` False is refused: verify or do not. An answer is read whole, or up to `cut_at` bytes and the rest dropped.
        """
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
                most = MAX_ANSWER_BYTES + 1 if cut_at is None else cut_at
                read = await response.content.read(most)
                while not response.content.at_eof() and len(read) < most:
                    read += await response.content.read(most - len(read))
                if len(read) > MAX_ANSWER_BYTES:
                    return NoAnswer("the answer is too large")
                return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, read)
        except (*NOT_CONNECTED, aiohttp.InvalidURL) as error:
            if self.reach is not None and getattr(error, "errno", None) == errno.EACCES:
                return NothingSent(NOT_ALLOWED)
            return NothingSent(_why_not_connected(error))
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            return NoAnswer(type(error).__name__)


def _why_not_connected(error: Exception) -> str:
    """In words where a merchant or an operator can do something about it."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "the host name cannot be resolved"
        case aiohttp.ClientConnectorCertificateError():
            why = getattr(error.certificate_error, "verify_message", "") or "it does not verify"
            return f"TLS: the server's certificate is not accepted: {why}"
        case aiohttp.ClientConnectorSSLError():
            return f"TLS: the handshake failed: {getattr(error, 'reason', '') or type(error).__name__}"
        case aiohttp.ClientHttpProxyError():
            return f"the proxy refuses to connect: HTTP {error.status}"
        case aiohttp.ClientProxyConnectionError():
            return "the proxy cannot be reached"
        case _:
            return type(error).__name__


class _Resolver(AbstractResolver):
    """Names to addresses on threads of its own: a name server that hangs delays nobody's look-up but its own."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(MOST_LOOKUPS, thread_name_prefix="lookup")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: self._lookup(host, port, family=family, type=socket.SOCK_STREAM)
        )
        return [
            ResolveResult(
                hostname=host,
                host=place[0],
                port=port,
                family=kind,
                proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, proto, _, place in found
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _guarded_by(reach: Reach) -> Callable[[tuple[Any, ...]], socket.socket]:
    """Sockets for the addresses that `reach` allows. Here and not at the name: this very address is connected to."""

    def socket_for(found: tuple[Any, ...]) -> socket.socket:
        family, kind, proto, _, place = found
        if not reach.allows(place[0], place[1]):
            raise OSError(errno.EACCES, NOT_ALLOWED)
        return socket.socket(family, kind, proto)

    return socket_for
