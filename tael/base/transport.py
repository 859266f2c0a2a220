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
from importlib.metadata import version
from typing import Any, BinaryIO, Final, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from tael.base.admission import without_place
from tael.base.egress import EgressPolicy
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
USER_AGENT: Final = f"tael/{version('tael')}"
NO_CONNECTION: Final = "no free connection"


@dataclass(frozen=True, slots=True)
class Answer:
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
ReadBody = Callable[[aiohttp.ClientResponse], Awaitable[bytes | None]]

#: Raised before any byte of the request is sent; also by a proxy that could not open a connection.
NOT_CONNECTED: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
)

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

    def _has_room(self, account: str) -> bool:
        return self._running.total() < self._total and self._running[account] < self._of_account

    def _leave(self, account: str, turn: "asyncio.Future[None]") -> None:
        self._waiting[account].remove(turn)
        if not self._waiting[account]:
            del self._waiting[account]


@dataclass(slots=True)
class _Call:
    """`has_connection`: the request got a connection, so something may have been sent."""

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
    _session: aiohttp.ClientSession | None = field(default=None)
    _resolver: AbstractResolver | None = field(default=None)
    _slots: CallSlots | None = field(default=None)
    _download_slots: CallSlots | None = field(default=None)

    async def __aenter__(self) -> Self:
        self._resolver = _Resolver(self.lookup)
        if self.egress is None:
            self._slots = CallSlots(self.connections, self.wait_s)
            self._download_slots = CallSlots(MAX_DOWNLOADS, self.wait_s)
        # No limit here: a call waiting inside the connector would look like one that was sent, and the connector is
        # not fair between accounts.
        connector = aiohttp.TCPConnector(
            limit=0,
            ttl_dns_cache=DNS_CACHE_S,
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
        """Send one request; never raises because of the network.

        `tls` False (no verification) is refused. The response is read completely, or up to `cut_at` bytes. `account` is
        the wallet account of the call. `timeout_s` includes the wait for a connection.
        """
        read_body = partial(_read_body, cut_at=cut_at)
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
        if self._session is None or tls is False:
            raise RuntimeError("enter the Transport before using it; it always verifies its peers")
        try:
            parsed = URL(url, encoded=True)  # not normalised: the signed URL must be sent unchanged
            is_complete = parsed.scheme in ("http", "https") and parsed.host and parsed.port
        except ValueError:
            is_complete = False
        if not is_complete:
            return NothingSent("not a valid URL")
        send = partial(self._send, self._session, method, parsed, body, headers, tls, read_body)
        with without_place():
            return await self._send_in_slot(send, timeout_s, account, slots)

    async def _send_in_slot(
        self,
        send: Callable[[float], Awaitable[Result]],
        timeout_s: float,
        account: str,
        slots: CallSlots | None,
    ) -> Result:
        if slots is None:
            return await send(timeout_s)
        loop = asyncio.get_running_loop()
        began = loop.time()
        if not await slots.take(account):
            return NothingSent(NO_CONNECTION)
        try:
            remaining_s = timeout_s - (loop.time() - began)
            return await send(remaining_s) if remaining_s > 0 else NothingSent(NO_CONNECTION)
        finally:
            slots.free(account)

    async def _send(
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: URL,
        body: bytes,
        headers: Mapping[str, str] | None,
        tls: ssl.SSLContext | bool,
        read_body: ReadBody,
        timeout_s: float,
    ) -> Result:
        limits = aiohttp.ClientTimeout(
            total=timeout_s,
            connect=CONNECT_TIMEOUT_S if self.egress is None else None,  # DNS lookup included
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
                content = await read_body(response)
                if content is None:
                    return NoAnswer("the response is too large")
                return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, content)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            # The error's class is not enough: a timeout may occur before there is a connection, and a request that was
            # retried on a new connection may have been sent on the first.
            if call.has_connection:
                return NoAnswer(_why_no_answer(error))
            if self.egress is not None and getattr(error, "errno", None) == errno.EACCES:
                return NothingSent(NOT_ALLOWED)
            return NothingSent(_why_not_connected(error))


async def _read_body(response: aiohttp.ClientResponse, *, cut_at: int | None) -> bytes | None:
    limit = MAX_ANSWER_BYTES + 1 if cut_at is None else cut_at
    content = await response.content.read(limit)
    while not response.content.at_eof() and len(content) < limit:
        content += await response.content.read(limit - len(content))
    return None if len(content) > MAX_ANSWER_BYTES else content


async def _write_body(response: aiohttp.ClientResponse, *, target: BinaryIO, max_bytes: int) -> bytes | None:
    """Its first bytes."""
    head, size = b"", 0
    async for piece in response.content.iter_chunked(PIECE):
        size += len(piece)
        if size > max_bytes:
            return None
        head += piece[: HEAD_BYTES - len(head)]
        target.write(piece)
    return head


def _noting_connections() -> aiohttp.TraceConfig:
    """Marks each call's `_Call` when it gets a connection, new or kept alive."""

    async def note(_: aiohttp.ClientSession, context: Any, __: object) -> None:
        context.trace_request_ctx.has_connection = True

    config = aiohttp.TraceConfig()
    config.on_connection_create_end.append(note)
    config.on_connection_reuseconn.append(note)
    return config


def _why_no_answer(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "no response in time"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
            return "the connection was closed before a response"
        case aiohttp.ClientPayloadError() | aiohttp.ClientResponseError():
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
