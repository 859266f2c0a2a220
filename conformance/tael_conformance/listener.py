"""A small HTTP server on a thread, which keeps the requests that it gets, bounded in number and size."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

MAX_REQUEST_BYTES: Final = 256 * 1024
MAX_KEPT: Final = 10_000
READ_LIMIT_S: Final = 10.0
POLL_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Received:
    """A request. Header names are lower case; `target` is path and query, not decoded."""

    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """A response; `is_cut` closes the connection instead of it."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    is_cut: bool = False


@dataclass(slots=True)
class Listener:
    """The requests so far, in order. `answer` may be replaced while it runs."""

    answer: Callable[[Received], Reply]
    url: str = ""
    _received: list[Received] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, request: Received) -> Reply:
        with self._lock:
            if len(self._received) < MAX_KEPT:
                self._received.append(request)
            return self.answer(request)

    @property
    def received(self) -> list[Received]:
        with self._lock:
            return list(self._received)


@contextmanager
def listening(
    answer: Callable[[Received], Reply], host: str = "127.0.0.1", port: int = 0
) -> Iterator[Listener]:
    """A listener on this address; port 0 is a free one. Raises OSError if the port is taken."""
    listener = Listener(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # connections are kept
        timeout = READ_LIMIT_S
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "0")
            size = int(length) if length.isascii() and length.isdigit() else 0
            if size > MAX_REQUEST_BYTES:
                self.close_connection = True
                self.send_error(413)
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._respond(listener.take(Received(self.command, self.path, headers, self.rfile.read(size))))

        do_GET = do_POST

        def _respond(self, reply: Reply) -> None:
            if reply.is_cut:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, format: str, *args: object) -> None:
            """No log: a request may hold a signature."""

    class Serving(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A caller that went away is no error."""

    server = Serving((host, port), Handler)
    listener.url = f"http://{host}:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(POLL_S,), daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
