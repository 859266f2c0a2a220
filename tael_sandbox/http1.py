"""HTTP/1.1 for our listeners: uvicorn's httptools protocol with limits and without upgrades.

An offer to upgrade, which Java's own client sends with every request over plain HTTP, is ignored (RFC 9110, 7.8), and
CONNECT is refused. Heads, bodies and idle connections have a time limit, heads a size limit, and each process a limit
of connections. A refusal is sent after the responses to earlier requests and closes the connection.
`tael/cli/http1.py` and `tael_sandbox/http1.py` are identical, since the two packages share no code.
"""

import asyncio
import json
from dataclasses import dataclass
from typing import Any, ClassVar, Final, cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

OFFER: Final = frozenset({b"connection", b"upgrade", b"http2-settings"})
#: The time in which a refused peer can still write before the connection closes. Closing at once would reset the
#: connection and lose the refusal.
LINGER_S: Final = 1.0
#: Refused connections come in bursts; they are logged at most once in this time.
SURPLUS_LOG_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one listener. The defaults are those of the gateway's settings."""

    max_head_s: float = 10.0  #: from the connection or the first byte to the end of the head
    max_body_s: float = (
        20.0  #: from the end of the head to the end of the body; also for a client to read a response
    )
    max_idle_s: float = 75.0  #: between two requests
    max_head_bytes: int = 64 * 1024
    max_connections: int = 1_000


#: The start of what comes before a response: 100 Continue.
INTERIM: Final = b"HTTP/1.1 1"


class OneWrite:
    """The transport of one response: its head is sent with the first part of its body.

    uvicorn writes them one after the other, which would be two segments and two system calls.
    """

    __slots__ = ("_head", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None  #: b"" once it is sent

    def write(self, data: bytes) -> None:
        if self._head is None and not data.startswith(INTERIM):
            self._head = data
        elif self._head:
            self._transport.write(self._head + data)
            self._head = b""
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Send the head of a response that has no body."""
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()


class HeadTooLong(Exception):
    """Raised in a callback of the parser, which turns it into its own error."""


class Http1Protocol(HttpToolsProtocol):
    """One connection. Subclasses set `limits`, and override `refusal_body` for another form of refusals."""

    limits: ClassVar[Limits] = Limits()
    _surplus_logged_at: ClassVar[float] = float("-inf")

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.timeout_keep_alive = self.limits.max_idle_s  # type: ignore[assignment]  # a timer takes fractions
        self._arriving = ""  #: "head" or "body" while a part of it has not arrived yet
        self._began_now = False  #: whether the head began in the current data
        self._head_bytes = 0
        self._answering: RequestResponseCycle | None = None
        self._written: OneWrite | None = None  #: the response that is being made
        self._refusal: tuple[int, str] | None = None
        self._is_head_too_long = False
        self._is_surplus = False
        self._timer: asyncio.TimerHandle | None = None
        self._writing_timer: asyncio.TimerHandle | None = None
        self._timed: tuple[str, object] = ("", None)

    def refusal_body(self, status: int, text: str) -> bytes:
        """The body of a refusal: JSON."""
        return json.dumps({"error": text, "field": None}).encode()

    # ---- the connection ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.max_connections:
            self.connections.discard(self)
            self._is_surplus = True
            self._log_surplus()
            self._timer = self.loop.call_later(LINGER_S, self._close)
        else:
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_writing_timer()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None:
            return
        if self._is_surplus:
            self._refuse(503, "too many connections")
            return
        self._unset_keepalive_if_required()
        self._began_now = False
        self._feed(data)
        if self._arriving == "head" and not self._began_now:
            self._head_bytes += len(data)
            if self._head_bytes > self.limits.max_head_bytes:
                self._refuse(431, "the head is too long")
        self._watch()

    def _feed(self, data: bytes) -> None:
        """Parses the data. A head with an offer is parsed again without it, in a loop: a buffer may have hundreds."""
        waiting = [memoryview(data)]
        while waiting and self._refusal is None:
            part = waiting.pop()
            try:
                self.parser.feed_data(part)
            except httptools.HttpParserUpgrade as offer:
                if self.parser.get_method() == b"CONNECT":
                    self._refuse(405, "no such method here")
                    return
                waiting += [part[offer.args[0] :], memoryview(self._head_without_offer())]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
            except httptools.HttpParserError:
                too_long = self._is_head_too_long
                self._refuse(
                    *(431, "the head is too long") if too_long else (400, "the request is malformed")
                )

    def _head_without_offer(self) -> bytes:
        kept = [(name, value) for name, value in self.headers if name not in OFFER]
        if not self.parser.should_keep_alive():
            kept.append((b"connection", b"close"))
        version = self.parser.get_http_version().encode()
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + version]
        return b"\r\n".join([*lines, *(name + b": " + value for name, value in kept), b"", b""])

    # ---- callbacks of the parser and of uvicorn --------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._arriving, self._began_now, self._head_bytes = "head", True, 0

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        if (
            len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            > self.limits.max_head_bytes
        ):
            self._is_head_too_long = True
            raise HeadTooLong
        super().on_headers_complete()
        self._arriving = "body"

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._arriving = ""
        super().on_message_complete()

    def _should_upgrade(self) -> bool:
        return False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        self._written = OneWrite(self.transport)
        cycle.transport = cast(asyncio.Transport, self._written)  # it has all that a cycle uses
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        if self._written is not None:
            self._written.flush()
        self._answering = self._written = None  # set again when the next one starts
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self._refusal is not None:
            if self._answering is None:
                self._send_refusal(*self._refusal)
            return
        if self._arriving:
            self._unset_keepalive_if_required()
        self._watch()

    # ---- time limits ---------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Runs the timer for the awaited head or body. It is not restarted while parts of the same one arrive."""
        if self._refusal is not None or self.transport.is_closing():
            return
        timed = self._waited_for()
        if timed == self._timed:
            return
        self._stop_timer()
        self._timed = timed
        if timed[0]:
            limit_s = self.limits.max_head_s if timed[0] == "head" else self.limits.max_body_s
            self._timer = self.loop.call_later(limit_s, self._time_out)

    def _waited_for(self) -> tuple[str, object]:
        """The awaited part: none while a response is being made, except the body of its own request."""
        if self._answering is not None and (self.cycle is not self._answering or self._arriving != "body"):
            return ("", None)
        if self._arriving == "body":
            return ("body", self.cycle)
        return ("", None) if self.timeout_keep_alive_task is not None else ("head", None)

    def _time_out(self) -> None:
        if self._timed[0] == "head" and not self._arriving:
            self._close()  # no request has begun
        else:
            self._refuse(408, "the request did not arrive in time")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stop_writing_timer()
        self._writing_timer = self.loop.call_later(self.limits.max_body_s, self._close)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_writing_timer()

    def _stop_writing_timer(self) -> None:
        if self._writing_timer is not None:
            self._writing_timer.cancel()
            self._writing_timer = None

    def timeout_keep_alive_handler(self) -> None:
        self._close()

    def _close(self) -> None:
        """Closes the connection; `transport.close` alone would wait forever for a client that does not read."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    # ---- refusals ------------------------------------------------------------------------------------------

    def _refuse(self, status: int, text: str) -> None:
        """Accepts no more requests, and sends this refusal after the responses to earlier requests."""
        if self._refusal is not None:
            return
        self._refusal = (status, text)
        self._stop_timer()
        self._unset_keepalive_if_required()
        if self._arriving == "body":
            if self.pipeline and self.pipeline[0][0] is self.cycle:
                self.pipeline.popleft()
            elif self.cycle.response_started:
                self._close()
                return
            else:
                self.cycle.disconnected = True
                self.cycle.message_event.set()
                self._answering = None
        elif not self._is_surplus:
            self.logger.warning("request refused: %d, %s", status, text)
        if self._answering is None:
            self._send_refusal(status, text)

    def _send_refusal(self, status: int, text: str) -> None:
        body = self.refusal_body(status, text)
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"application/json; charset=UTF-8"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        self.transport.write(STATUS_LINE[status] + lines + b"\r\n" + body)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self._stop_timer()
        self._timer = self.loop.call_later(LINGER_S, self._close)

    def _log_surplus(self) -> None:
        now = self.loop.time()
        if now - self._surplus_logged_at > SURPLUS_LOG_S:
            type(self)._surplus_logged_at = now
            self.logger.warning("connections refused: more than %d are open", self.limits.max_connections)
