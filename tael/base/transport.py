"""The only HTTP client. The result of a call is a response, no response, or the proof that no byte was sent.

The difference between the last two decides about money: a request that was not sent did not happen. Redirects are never
followed. Each wallet has its own Transport with its own connections and DNS lookups, so a hanging wallet does not
affect another, and its accounts share its connections fairly. With an `EgressPolicy` a Transport may call URLs that
merchants choose: each address is checked when it is connected to, so DNS rebinding has no effect.
"""

import asyncio
import errno
import os
import socket
import ssl
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO, Final, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader
from cachetools import LRUCache
from msgspec import Struct
from yarl import URL

from tael.base.admission import without_place
from tael.base.egress import EgressPolicy
from tael.base.http_request import Request, Response, Target, ask, target_of
from tael.base.metrics import WALLET_CALLS_IN_PROGRESS, WALLET_CALLS_WAITING
from tael.base.secret import Secret
from tael.base.wallet_limits import DEFAULT_CONNECTIONS, DEFAULT_WAIT_S

#: For opening a connection, before anything of the request is sent.
CONNECT_TIMEOUT_S: Final = 5.0
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
#: Concurrent downloads from one wallet; one account has half of them. They take no connection from payments.
MAX_DOWNLOADS: Final = 4
PIECE: Final = 64 * 1024
#: Of a download, returned as the body of its response.
HEAD_BYTES: Final = 4096
#: Calls that may wait for a connection to one wallet; further ones are not sent.
MAX_WAITING: Final = 1000
DNS_CACHE_S: Final = 60
#: Concurrent DNS lookups. Merchants choose the names, and each hanging name server occupies one of these.
MAX_LOOKUPS: Final = 64
NOT_ALLOWED: Final = "an address that may not be called"
NO_CONNECTION: Final = "no free connection"
#: The DNS lookup is part of `connect`.
CONNECT_LIMITS: Final = aiohttp.ClientTimeout(connect=CONNECT_TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S)
#: To addresses that merchants choose: their name servers may be slow.
GUARDED_CONNECT_LIMITS: Final = aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT_S)


class Answer(Struct, frozen=True):
    """An HTTP response. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class NothingSent:
    """No connection was opened, so nothing was sent."""

    reason: str


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The request may have arrived; no complete response was received in time."""

    reason: str


Result = Answer | NothingSent | NoAnswer
#: Reads the body of a response; None if it is too large.
ReadBody = Callable[[StreamReader], Awaitable[bytes | None]]
#: A request with one of these that meets a closed connection is sent again, once.
REPEATABLE: Final = frozenset({"GET", "HEAD"})
#: Servers whose request heads are prepared.
MAX_TARGETS: Final = 1000

Lookup = Callable[..., list[tuple[Any, ...]]]


class CallSlots:
    """Limits concurrent calls to `total`, and those of one account to half of it.

    Without a free slot a call waits for at most `wait_s`. A freed slot goes to the waiting account with the fewest
    concurrent calls; equal ones take turns. Only accounts with running or waiting calls are tracked.
    """

    def __init__(self, total: int, wait_s: float) -> None:
        self._total = total
        self._of_account = max(1, total // 2)
        self._wait_s = wait_s
        self._running: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    async def take(self, account: str) -> bool:
        """Whether the call may start; if so, the caller must call `free` afterwards."""
        if self._has_room(account):
            self._running[account] += 1
            return True
        if self.waiting >= MAX_WAITING:
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
        """Release a slot and start the next waiting call."""
        self._running[account] -= 1
        if not self._running[account]:
            del self._running[account]
        eligible = [waiting for waiting in self._waiting if self._has_room(waiting)]
        if eligible:
            chosen = min(eligible, key=lambda waiting: self._running[waiting])
            turns = self._waiting.pop(chosen)
            turns.popleft().set_result(None)
            if turns:
                self._waiting[chosen] = turns  # re-inserted last
            self._running[chosen] += 1

    @property
    def in_progress(self) -> int:
        return self._running.total()

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    def _has_room(self, account: str) -> bool:
        return self.in_progress < self._total and self._running[account] < self._of_account

    def _leave(self, account: str, turn: "asyncio.Future[None]") -> None:
        self._waiting[account].remove(turn)
        if not self._waiting[account]:
            del self._waiting[account]


class _Call(Struct):
    """One call. `has_connection`: the request got a connection, so something may have been sent."""

    request: Request
    tls: ssl.SSLContext | bool
    read_body: ReadBody
    has_connection: bool = False


@dataclass(slots=True)
class Transport:
    """A pool of connections to one wallet. Callers create their `tls` contexts once and reuse them.

    With `egress` it is for destinations chosen by merchants; the caller then limits the number of concurrent calls.
    """

    egress: EgressPolicy | None = None
    lookup: Lookup = socket.getaddrinfo
    proxy: Secret | None = None  #: for all calls, with CONNECT; its URL may contain a password
    connections: int = DEFAULT_CONNECTIONS
    wait_s: float = DEFAULT_WAIT_S
    protocol: str = ""  #: of the wallet, for the metrics
    _pool: aiohttp.TCPConnector | None = field(default=None)
    _targets: LRUCache[tuple[str, str, ssl.SSLContext | bool], Target] = field(
        default_factory=lambda: LRUCache(MAX_TARGETS)
    )
    _resolver: AbstractResolver | None = field(default=None)
    _slots: CallSlots | None = field(default=None)
    _download_slots: CallSlots | None = field(default=None)

    async def __aenter__(self) -> Self:
        self._resolver = _Resolver(self.lookup)
        if self.egress is None:
            self._slots = CallSlots(self.connections, self.wait_s)
            self._download_slots = CallSlots(MAX_DOWNLOADS, self.wait_s)
            _watch(self._slots, self.protocol)
        # No limit here: a call waiting inside the connector would look like one that was sent, and the connector is
        # not fair between accounts.
        self._pool = aiohttp.TCPConnector(
            limit=0,
            ttl_dns_cache=DNS_CACHE_S,
            resolver=self._resolver,
            socket_factory=None if self.egress is None else _guarded_by(self.egress),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._pool is not None:
            await self._pool.close()
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
        """Send one request; never raises because of the network.

        `tls` False (no verification) is refused. The response is read completely, or up to `cut_at` bytes. `account` is
        the wallet account of the call. `timeout_s` includes the wait for a connection.
        """
        read_body = _read_whole_body if cut_at is None else partial(_read_body, limit=cut_at)
        return await self._call(method, url, body, headers, timeout_s, tls, read_body, account, self._slots)

    async def download(
        self,
        method: str,
        url: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
        tls: ssl.SSLContext | bool = True,
        account: str,
        target: BinaryIO,
        max_bytes: int,
    ) -> Result:
        """As `call`, for a large response: `target` gets its body, and the Answer only the first `HEAD_BYTES` of it.

        Downloads have slots of their own, so that none delays a payment.
        """
        read_body = partial(_write_body, target=target, max_bytes=max_bytes)
        slots = self._download_slots
        return await self._call(method, url, body, headers, timeout_s, tls, read_body, account, slots)

    async def _call(
        self,
        method: str,
        url: str,
        body: bytes,
        headers: Mapping[str, str] | None,
        timeout_s: float,
        tls: ssl.SSLContext | bool,
        read_body: ReadBody,
        account: str,
        slots: CallSlots | None,
    ) -> Result:
        if self._pool is None or tls is False:
            raise RuntimeError("enter the Transport before using it; it always verifies its peers")
        try:
            parsed = URL(url, encoded=True)  # not normalised: the signed URL must be sent unchanged
            is_complete = parsed.scheme in ("http", "https") and parsed.host and parsed.port
        except ValueError:
            is_complete = False
        if not is_complete:
            return NothingSent("not a valid URL")
        call = _Call(Request(method, parsed, body, headers or {}), tls, read_body)
        with without_place():
            return await self._call_in_slot(self._pool, call, timeout_s, account, slots)

    async def _call_in_slot(
        self,
        pool: aiohttp.TCPConnector,
        call: _Call,
        timeout_s: float,
        account: str,
        slots: CallSlots | None,
    ) -> Result:
        if slots is None:
            return await self._result(pool, call, timeout_s)
        loop = asyncio.get_running_loop()
        began = loop.time()
        if not await slots.take(account):
            return NothingSent(NO_CONNECTION)
        try:
            remaining_s = timeout_s - (loop.time() - began)
            if remaining_s <= 0:
                return NothingSent(NO_CONNECTION)
            return await self._result(pool, call, remaining_s)
        finally:
            slots.free(account)

    async def _result(self, pool: aiohttp.TCPConnector, call: _Call, timeout_s: float) -> Result:
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._response(pool, call)
                try:
                    content = await call.read_body(response.body)
                finally:
                    response.connection.release()  # closes it unless the body was read to its end
            if content is None:
                return NoAnswer("the response is too large")
            return Answer(response.status, response.headers, content)
        except (TimeoutError, aiohttp.ClientError, HttpProcessingError, OSError) as error:
            # The error's class is not enough: a timeout may occur before there is a connection, and a request that was
            # repeated on a new connection may have been sent on the first.
            if call.has_connection:
                return NoAnswer(_why_no_answer(error))
            if self.egress is not None and getattr(error, "errno", None) == errno.EACCES:
                return NothingSent(NOT_ALLOWED)
            return NothingSent(_why_not_connected(error))

    async def _response(self, pool: aiohttp.TCPConnector, call: _Call) -> Response:
        """The head of the response. A kept connection may have been closed by the server meanwhile."""
        try:
            return await self._ask(pool, call)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            if isinstance(error, aiohttp.ClientConnectorError) or call.request.method not in REPEATABLE:
                raise
            return await self._ask(pool, call)

    async def _ask(self, pool: aiohttp.TCPConnector, call: _Call) -> Response:
        target = self._target(call.request.url, call.tls)
        octets = call.request.octets(target)
        limits = CONNECT_LIMITS if self.egress is None else GUARDED_CONNECT_LIMITS
        connection = await pool.connect(target.request, [], limits)
        call.has_connection = True
        return await ask(connection, octets, has_body=call.request.method != "HEAD")

    def _target(self, url: URL, tls: ssl.SSLContext | bool) -> Target:
        if self.proxy is not None:  # aiohttp writes to the headers for a proxy
            return target_of(url, tls, URL(self.proxy.reveal()))
        key = url.scheme, url.raw_authority, tls
        target = self._targets.get(key)
        if target is None:
            target = self._targets[key] = target_of(url, tls, None)
        return target


def _watch(slots: CallSlots, protocol: str) -> None:
    WALLET_CALLS_IN_PROGRESS.watch(lambda: slots.in_progress, protocol)
    WALLET_CALLS_WAITING.watch(lambda: slots.waiting, protocol)


async def _read_whole_body(body: StreamReader) -> bytes | None:
    """None if it is larger than MAX_ANSWER_BYTES."""
    content = await _read_body(body, limit=MAX_ANSWER_BYTES + 1)
    return None if len(content) > MAX_ANSWER_BYTES else content


async def _read_body(body: StreamReader, *, limit: int) -> bytes:
    """No more than `limit` bytes of it."""
    content = await body.read(limit)
    while not body.at_eof() and len(content) < limit:
        content += await body.read(limit - len(content))
    return content


async def _write_body(body: StreamReader, *, target: BinaryIO, max_bytes: int) -> bytes | None:
    """Its first bytes."""
    head, size = b"", 0
    async for piece in body.iter_chunked(PIECE):
        size += len(piece)
        if size > max_bytes:
            return None
        head += piece[: HEAD_BYTES - len(head)]
        target.write(piece)
    return head


def _why_no_answer(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "no response in time"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
            return "the connection was closed before a response"
        case aiohttp.ClientPayloadError() | HttpProcessingError():
            return "the response is incomplete, or not HTTP"
        case _:
            return type(error).__name__


def _why_not_connected(error: Exception) -> str:
    """A readable reason if a merchant or an operator can fix it."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "the host name cannot be resolved"
        case aiohttp.ClientConnectorCertificateError():
            reason = getattr(error.certificate_error, "verify_message", "") or "verification failed"
            return f"TLS: the server's certificate is not accepted: {reason}"
        case aiohttp.ClientConnectorSSLError():
            return f"TLS: the handshake failed: {getattr(error, 'reason', '') or type(error).__name__}"
        case aiohttp.ClientHttpProxyError():
            return f"the proxy refuses to connect: HTTP {error.status}"
        case aiohttp.ClientProxyConnectionError():
            return "the proxy cannot be reached"
        case aiohttp.ClientConnectorError() if error.os_error.errno:
            return os.strerror(error.os_error.errno).lower()
        case TimeoutError():
            return "connection timed out"
        case _:
            return type(error).__name__


class _Resolver(AbstractResolver):
    """Resolves names on its own threads, so that a hanging name server delays its own lookups only."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(MAX_LOOKUPS, thread_name_prefix="lookup")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        results = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: self._lookup(host, port, family=family, type=socket.SOCK_STREAM)
        )
        return [
            ResolveResult(
                hostname=host,
                host=address[0],
                port=port,
                family=kind,
                proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, proto, _, address in results
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _guarded_by(egress: EgressPolicy) -> Callable[[tuple[Any, ...]], socket.socket]:
    """Create sockets only for addresses that `egress` allows. Checked here, since exactly this address is used."""

    def socket_for(info: tuple[Any, ...]) -> socket.socket:
        family, kind, proto, _, address = info
        if not egress.allows(address[0], address[1]):
            raise OSError(errno.EACCES, NOT_ALLOWED)
        return socket.socket(family, kind, proto)

    return socket_for
