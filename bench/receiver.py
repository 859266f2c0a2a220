"""A merchant that acknowledges every webhook: `python -m bench.receiver PORT`. GET answers how many it has received."""

import asyncio
import re
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Final, cast
from urllib.parse import urlsplit

import uvloop

from bench.processes import HOST, started, wait_until_ready

ANSWER_S: Final = 5
LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
RECEIVED: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b"


@dataclass(frozen=True, slots=True)
class Receiver:
    """The process."""

    url: str
    pid: int

    def count(self) -> int:
        """How many webhooks it has received."""
        address = urlsplit(self.url)
        with closing(HTTPConnection(address.netloc, timeout=ANSWER_S)) as connection:
            connection.request("GET", address.path)
            return int(connection.getresponse().read())


@contextmanager
def running(port: int, log: Path) -> Iterator[Receiver]:
    url = f"http://{HOST}:{port}/webhooks"
    with started(["-m", "bench.receiver", str(port)], {}, log) as pid:
        wait_until_ready(url, log)
        yield Receiver(url, pid)


class _Connection(asyncio.Protocol):
    total = 0

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            found = LENGTH.search(self._received, 0, end + 2)
            size = end + 4 + (int(found.group(1)) if found else 0)
            if len(self._received) < size:
                return
            is_webhook = self._received.startswith(b"POST")
            self._received = self._received[size:]
            _Connection.total += is_webhook
            text = b"SUCCESS" if is_webhook else str(self.total).encode()
            self._transport.write(RECEIVED % (len(text), text))


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, HOST, port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
