"""The only HTTP client. Says of every call whether an answer came, none came, or not a byte was sent.

The difference between the last two is money: what was not sent surely did not happen. Redirects are never followed.
Each wallet has a Transport of its own, with its own connections and name lookups: one that hangs uses up nothing of
another's, and its accounts share its connections fairly. With an `EgressPolicy` a Transport is safe to call where a
merchant says: each address is checked as it is connected to, so a name that resolves to another address a moment
later changes nothing.
"""

import asyncio
import errno
import os
import socket
import ssl
from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from typing import Any, Final, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from tael.base.egress import EgressPolicy
from tael.base.secret import Secret

#: Time to reach the other side; nothing of the request has left us while it runs.
CONNECT_TIMEOUT_S: Final = 5.0
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
#: Calls under way to one wallet. An account may use half of them.
DEFAULT_CONNECTIONS: Final = 200
#: How long a call waits for a free connection: long enough for a burst, and short for a shopper at the till.
DEFAULT_WAIT_S: Final = 2.0
#: Calls that wait for a connection to one wallet; the next is not sent at once.
MAX_WAITING: Final = 1000
DNS_REMEMBERED_S: Final = 60
#: Look-ups at a time where merchants choose the names: a name server that hangs holds one of these.
MAX_LOOKUPS: Final = 64
NOT_ALLOWED: Final = "an address that may not be called"
USER_AGENT: Final = f"tael/{version('tael')}"
NO_CONNECTION: Final = "no free connection"


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


class Places:
    """Calls under way: at most `total`, and at most half of them for one account.

    A call that finds no place waits its turn for at most `wait_s`. A freed place goes to the waiting account with the
    fewest calls under way, equal ones taking turns. Only accounts with calls under way or waiting are remembered.
    """

    def __init__(self, total: int, wait_s: float) -> None:
        self._total = total
        self._of_account = max(1, total // 2)
        self._wait_s = wait_s
        self._under_way: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    async def take(self, account: str) -> bool:
        """Whether the call may begin; `free` follows if so."""
        if self._has_room(account):
            self._under_way[account] += 1
            return True
        if sum(map(len, self._waiting.values())) >= MAX_WAITING:
            return False
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(account, deque()).append(turn)
        try:
            await asyncio.wait((turn,), timeout=self._wait_s)
        except asyncio.CancelledError:
            if turn.done():
                self.free(account)
            raise
        finally:
            if not turn.done():
                self._leave(account, turn)
        return turn.done()

    def free(self, account: str) -> None:
        """A call is over; the next one begins."""
        self._under_way[account] -= 1
        if not self._under_way[account]:
            del self._under_way[account]
        able = [waiting for waiting in self._waiting if self._has_room(waiting)]
        if able:
            chosen = min(able, key=lambda waiting: self._under_way[waiting])
            turns = self._waiting.pop(chosen)
            turns.popleft().set_result(None)
            if turns:
                self._waiting[chosen] = turns  # behind the others
            self._under_way[chosen] += 1

    def _has_room(self, account: str) -> bool:
        return self._under_way.total() < self._total and self._under_way[account] < self._of_account

    def _leave(self, account: str, turn: "asyncio.Future[None]") -> None:
        self._waiting[account].remove(turn)
        if not self._waiting[account]:
            del self._waiting[account]


@dataclass(slots=True)
class _Call:
    """`has_connection`: it was given a connection, so from then on something may have been sent."""

    has_connection: bool = False


@dataclass(slots=True)
class Transport:
    """A pool of connections to one wallet; `tls` contexts are made once by their owners and reused.

    With a `egress` it is for calls whose destination others chose; how many run at once is then their caller's affair.
    """

    egress: EgressPolicy | None = None
    lookup: Lookup = socket.getaddrinfo
    proxy: Secret | None = None  #: for all calls, by CONNECT; its URL may hold a password
    connections: int = DEFAULT_CONNECTIONS
    wait_s: float = DEFAULT_WAIT_S
    _session: aiohttp.ClientSession | None = field(default=None)
    _resolver: AbstractResolver | None = field(default=None)
    _places: Places | None = field(default=None)

    async def __aenter__(self) -> Self:
        self._resolver = _Resolver(self.lookup)
        if self.egress is None:
            self._places = Places(self.connections, self.wait_s)
        # No limit here: what waits inside the connector cannot be told from what was sent, and is not shared fairly.
        connector = aiohttp.TCPConnector(
            limit=0,
            ttl_dns_cache=DNS_REMEMBERED_S,
            resolver=self._resolver,
            socket_factory=None if self.egress is None else _guarded_by(self.egress),
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=True,
            headers={"User-Agent": USER_AGENT},
            proxy=self.proxy.reveal() if self.proxy else None,
            trace_configs=[_noting_connections()],
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
        account: str = "",
    ) -> Result:
        """One request, one result; never raises for what the network does.

        `tls` False is refused: verify or do not. An answer is read whole, or up to `cut_at` bytes and the rest dropped.
        `account` is the wallet account in whose name the call is made. `timeout_s` includes the wait for a connection.
        """
        if self._session is None or tls is False:
            raise RuntimeError("a Transport is entered before it is used, and verifies its peers")
        try:
            as_signed = URL(url, encoded=True)  # untouched: what was signed must be what is sent
            is_whole = as_signed.scheme in ("http", "https") and as_signed.host and as_signed.port
        except ValueError:
            is_whole = False
        if not is_whole:
            return NothingSent("not an address")
        send = partial(self._send, self._session, method, as_signed, body, headers, tls, cut_at)
        if self._places is None:
            return await send(timeout_s)
        loop = asyncio.get_running_loop()
        began = loop.time()
        if not await self._places.take(account):
            return NothingSent(NO_CONNECTION)
        try:
            remaining_s = timeout_s - (loop.time() - began)
            return await send(remaining_s) if remaining_s > 0 else NothingSent(NO_CONNECTION)
        finally:
            self._places.free(account)

    async def _send(
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: URL,
        body: bytes,
        headers: Mapping[str, str] | None,
        tls: ssl.SSLContext | bool,
        cut_at: int | None,
        timeout_s: float,
    ) -> Result:
        limits = aiohttp.ClientTimeout(
            total=timeout_s,
            connect=CONNECT_TIMEOUT_S if self.egress is None else None,  # name lookup included
            sock_connect=CONNECT_TIMEOUT_S,
        )
        call = _Call()
        try:
            async with session.request(
                method,
                url,
                data=body,
                headers=headers,
                timeout=limits,
                ssl=tls,
                allow_redirects=False,
                trace_request_ctx=call,
            ) as response:
                limit = MAX_ANSWER_BYTES + 1 if cut_at is None else cut_at
                read = await response.content.read(limit)
                while not response.content.at_eof() and len(read) < limit:
                    read += await response.content.read(limit - len(read))
                if len(read) > MAX_ANSWER_BYTES:
                    return NoAnswer("the answer is too large")
                return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, read)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            # The error's class alone does not say: a deadline may pass before there is a connection, and a request that
            # was repeated on a new connection may have left by the first.
            if call.has_connection:
                return NoAnswer(_why_no_answer(error))
            if self.egress is not None and getattr(error, "errno", None) == errno.EACCES:
                return NothingSent(NOT_ALLOWED)
            return NothingSent(_why_not_connected(error))


def _noting_connections() -> aiohttp.TraceConfig:
    """Marks each call's `_Call` at the moment at which it is given a connection, new or kept alive."""

    async def note(_: aiohttp.ClientSession, context: Any, __: object) -> None:
        context.trace_request_ctx.has_connection = True

    config = aiohttp.TraceConfig()
    config.on_connection_create_end.append(note)
    config.on_connection_reuseconn.append(note)
    return config


def _why_no_answer(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "no answer in time"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
            return "the connection ended before an answer"
        case aiohttp.ClientPayloadError() | aiohttp.ClientResponseError():
            return "the answer is not whole, or not HTTP"
        case _:
            return type(error).__name__


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
        case aiohttp.ClientConnectorError() if error.os_error.errno:
            return os.strerror(error.os_error.errno).lower()
        case TimeoutError():
            return "no connection in time"
        case _:
            return type(error).__name__


class _Resolver(AbstractResolver):
    """Names to addresses on threads of its own: a name server that hangs delays nobody's look-up but its own."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(MAX_LOOKUPS, thread_name_prefix="lookup")

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


def _guarded_by(egress: EgressPolicy) -> Callable[[tuple[Any, ...]], socket.socket]:
    """Sockets for the addresses that `egress` allows. Here and not at the name: this very address is connected to."""

    def socket_for(found: tuple[Any, ...]) -> socket.socket:
        family, kind, proto, _, place = found
        if not egress.allows(place[0], place[1]):
            raise OSError(errno.EACCES, NOT_ALLOWED)
        return socket.socket(family, kind, proto)

    return socket_for
