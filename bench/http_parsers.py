"""Compares uvicorn's h11 with the httptools protocol of `tael.cli.http1`: requests per second and CPU per request.

    python -m bench.http_parsers [--rounds 5] [--seconds 1] [--connections 8]

Each serves the same ASGI application, which reads a payment's form and responds with a small JSON body, in its own
process over loopback. The rounds alternate, so that other load on the machine affects both. CPU time is that of the
server process; a busy machine distorts it less than the rate.
"""

import argparse
import asyncio
import multiprocessing
import multiprocessing.synchronize
import os
import socket
import statistics
import time
from dataclasses import dataclass, field
from multiprocessing.sharedctypes import Synchronized
from typing import Any, Final, cast
from urllib.parse import urlencode

import uvicorn
import uvloop
from uvicorn.protocols.http.h11_impl import H11Protocol

from tael.cli.http1 import Http1Protocol

BODY: Final = urlencode(
    {
        "mchid": "eqqmYMn0Zj6pncw5ZDxjgMqbzV",
        "out_trade_no": "1470020842103",
        "pay_type": "800208",
        "txamt": "1000",
        "txdtm": "2016-08-01 11:07:22",
        "auth_code": "134567890123456789",
        "product_name": "Harbour Tea, 100 g",
    }
).encode()
REQUEST: Final = (
    b"POST /trade/v1/payment HTTP/1.1\r\nHost: pay.example\r\nUser-Agent: Apache-HttpClient/4.5.13\r\n"
    b"Accept: */*\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nX-Forwarded-For: 192.0.2.7\r\n"
    b"X-Forwarded-Proto: https\r\nX-QF-APPCODE: 123456\r\nX-QF-SIGN: 42537CC0A92F2BCF30C45A245BEBB22F\r\n"
    b"Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\nContent-Length: %d\r\n\r\n%b"
) % (len(BODY), BODY)
ANSWER: Final = b'{"respcd": "0000", "respmsg": "ok", "resperr": "", "syssn": "202611230900990000000015"}'
HEADERS: Final = [
    (b"content-type", b"application/json; charset=UTF-8"),
    (b"content-length", str(len(ANSWER)).encode()),
    (b"x-qf-sign", b"42537CC0A92F2BCF30C45A245BEBB22F"),
]
PROTOCOLS: Final[dict[str, type[asyncio.Protocol]]] = {"h11": H11Protocol, "httptools": Http1Protocol}


async def application(_scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body", False):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": ANSWER})


def serve(name: str, listener: socket.socket, cpu_s: "Synchronized[float]") -> None:
    """Serve until terminated, and keep `cpu_s` up to date."""

    async def report() -> None:
        while True:
            cpu_s.value = time.process_time()
            await asyncio.sleep(0.01)

    async def run() -> None:
        reporting = asyncio.create_task(report())
        config = uvicorn.Config(
            application, http=PROTOCOLS[name], lifespan="off", ws="none", access_log=False, log_level="error"
        )
        await uvicorn.Server(config).serve(sockets=[listener])
        reporting.cancel()

    uvloop.run(run())


class Client(asyncio.Protocol):
    """One connection with one request at a time."""

    def __init__(self) -> None:
        self.answered = 0
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._received.endswith(ANSWER):
            assert self._received.startswith(b"HTTP/1.1 200 ")
            self._received = b""
            self.answered += 1
            self._transport.write(REQUEST)


async def load(port: int, connections: int, seconds: float) -> int:
    """The number of requests answered."""
    loop = asyncio.get_running_loop()
    opened = [await loop.create_connection(Client, "127.0.0.1", port) for _ in range(connections)]
    await asyncio.sleep(seconds)
    for transport, _ in opened:
        transport.abort()
    return sum(client.answered for _, client in opened)


@dataclass(slots=True)
class Figures:
    per_second: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)

    def shown(self) -> str:
        return f"{spread(self.per_second)} requests/s, {spread(self.cpu_us)} us of CPU per request"


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.0f} [{min(values):.0f}-{max(values):.0f}]"


def main() -> None:
    parser = argparse.ArgumentParser("bench.http_parsers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--connections", type=int, default=8)
    options = parser.parse_args()
    context = multiprocessing.get_context("fork")
    servers = {}
    for name in PROTOCOLS:
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        cpu_s = context.Value("d", 0.0)
        process = context.Process(target=serve, args=(name, listener, cpu_s), daemon=True)
        process.start()
        servers[name] = (process, listener.getsockname()[1], cpu_s)
    figures = {name: Figures() for name in PROTOCOLS}
    try:
        for number in range(options.rounds + 1):  # the first round is a warm-up and is not counted
            for name, (_, port, cpu_s) in servers.items():
                before, began = cpu_s.value, time.monotonic()
                answered = uvloop.run(load(port, options.connections, options.seconds))
                took_s = time.monotonic() - began
                time.sleep(0.05)
                if number:
                    figures[name].per_second.append(answered / took_s)
                    figures[name].cpu_us.append((cpu_s.value - before) / answered * 1e6)
    finally:
        for process, _, _ in servers.values():
            process.terminate()
    print(
        f"{options.rounds} rounds of {options.seconds:g} s, {options.connections} connections, {os.cpu_count()} cores"
    )
    for name, figure in figures.items():
        print(f"{name:<10} {figure.shown()}")


if __name__ == "__main__":
    main()
