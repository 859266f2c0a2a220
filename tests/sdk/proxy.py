"""A proxy for one program that has a wallet's host in its code: to whichever host it connects, it reaches the sandbox.

It passes TLS on without reading it, so the program still verifies the sandbox's certificate under the wallet's name.
`python -m tests.sdk.proxy https://127.0.0.1:8003` runs it for the demo and prints its address.
"""

import contextlib
import socket
import socketserver
import sys
import threading
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

ESTABLISHED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"
REFUSED: Final = b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n"
PIECE_BYTES: Final = 65536


class Proxy(socketserver.ThreadingTCPServer):
    """Listens on a free port of this machine."""

    daemon_threads = True

    def __init__(self, sandbox: str) -> None:
        parts = urlsplit(sandbox)
        assert parts.hostname is not None
        assert parts.port is not None
        self.target = (parts.hostname, parts.port)
        super().__init__(("127.0.0.1", 0), Tunnel)

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class Tunnel(socketserver.StreamRequestHandler):
    """One connection of the program. What follows the head is the program's TLS, so nothing may be read ahead."""

    server: Proxy
    rbufsize = 0
    disable_nagle_algorithm = True

    def handle(self) -> None:
        request = self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        if not request.startswith(b"CONNECT "):
            self.wfile.write(REFUSED)
            return
        with socket.create_connection(self.server.target) as wallet:
            wallet.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.wfile.write(ESTABLISHED)
            answering = threading.Thread(target=_copy, args=(wallet, self.connection), daemon=True)
            answering.start()
            _copy(self.connection, wallet)
            answering.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(PIECE_BYTES):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def proxy(sandbox: str) -> Iterator[Proxy]:
    """To the sandbox at this TLS address."""
    with Proxy(sandbox) as running:
        serving = threading.Thread(target=running.serve_forever, args=(0.05,))
        serving.start()
        try:
            yield running
        finally:
            running.shutdown()
            serving.join()


if __name__ == "__main__":
    with Proxy(sys.argv[1]) as started:
        print(f"http://127.0.0.1:{started.port}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            started.serve_forever()
