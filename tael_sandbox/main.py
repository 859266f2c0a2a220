"""Joins the parts and runs them: clock, books, both wallets, courier, and one app behind two listeners.

Plain HTTP serves Alipay, WeChat, `/control` and the payer's phone at `/`; TLS serves the same app, also under the
wallets' own names, with the caller's certificate in view, which some of WeChat's paths demand. Both run in one event
loop, so that requests never interleave.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tael_sandbox import payers, statements
from tael_sandbox.alipay.phone import CASHIER_PATH
from tael_sandbox.alipay.wallet import AlipayWallet
from tael_sandbox.bodies import client_left, read_body
from tael_sandbox.books import Books
from tael_sandbox.certificates import Certificates
from tael_sandbox.clock import Clock
from tael_sandbox.control import Control
from tael_sandbox.fault_injection.faults import Faults
from tael_sandbox.fault_injection.notices import FaultyNotices
from tael_sandbox.fault_injection.wire import FaultyProtocol, FaultyWire
from tael_sandbox.logs import configure_logs
from tael_sandbox.notices import Courier
from tael_sandbox.own_pages import OwnPages, is_own_page, name_in
from tael_sandbox.phone.phone import Phone
from tael_sandbox.shops import open_shops
from tael_sandbox.tls import PeerCertificateProtocol, server_context
from tael_sandbox.unserved import UnservedCall
from tael_sandbox.wallet import Wallet
from tael_sandbox.wechat.wallet import WeChatWallet

GRACE_S = 2
UNSERVED_BODY_BYTES = 64 * 1024
BOOKS = "sandbox.sqlite"
CLOCK = "clock"


class Server(uvicorn.Server):
    """Leaves the signals to `serve`: two servers would take them from one another."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Waking:
    """Lets the courier look after each request: what was committed may have queued a notice."""

    def __init__(self, app: ASGIApp, courier: Courier) -> None:
        self._app = app
        self._courier = courier

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        finally:
            self._courier.wake()


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("tael_sandbox", description="Both wallets, simulated.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="plain HTTP; 0 takes a free one")
    parser.add_argument("--tls-port", type=int, required=True, help="TLS; 0 takes a free one")
    parser.add_argument("--data", type=Path, required=True, help="the folder of books and keys")
    parser.add_argument("--fresh", action="store_true", help="forget what happened before; keys stay")
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name or address, without port, under which browsers and programs reach /control and the phone; "
        "this machine's own are always allowed",
    )
    return parser.parse_args(arguments)


async def serve(options: argparse.Namespace) -> None:
    configure_logs()
    directory: Path = options.data
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)  # noqa: ASYNC240 - nothing runs yet to be held up
    plain, tls = _listen(options.host, options.port), _listen(options.host, options.tls_port)
    http_url, tls_url = _url("http", options.host, plain), _url("https", options.host, tls)

    if options.fresh:
        forget(directory)
    clock = Clock(Path(os.environ.get("TAEL_CLOCK_FILE") or directory / CLOCK))
    books = Books(directory / BOOKS)
    books.script(statements.TABLES)
    with books.transaction() as connection:
        payers.settle_in(connection)
    shops = open_shops(directory / "shops.json")
    certificates = Certificates(directory / "certificates", shops)
    wallets: list[Wallet] = [
        AlipayWallet(clock, books, shops, http_url, tls_url, certificates),
        WeChatWallet(clock, books, shops, http_url, tls_url, certificates),
    ]

    tamperings = [wallet.tampering() for wallet in wallets]
    faults = Faults(
        books, {name: tampering.operations for tampering in tamperings for name in tampering.wallets}
    )
    phone = Phone(wallets, books, clock, faults)

    def tick(now: datetime) -> None:
        for wallet in wallets:
            wallet.tick(now)
        phone.tick()

    courier = Courier(books, clock, tick, FaultyNotices(books, faults, tamperings))
    control = Control(wallets, books, clock, shops, faults)
    app = OwnPages(
        FaultyWire(Waking(build_app(wallets, control, phone), courier), faults, tamperings),
        [options.host, *options.allowed_host],
    )
    servers = [
        _server(app, FaultyProtocol, None),
        _server(app, PeerCertificateProtocol, server_context(certificates)),
    ]
    await _run(servers, [plain, tls], courier, phone, {"ready": True, "http": http_url, "tls": tls_url})
    books.close()


def forget(directory: Path) -> None:
    """Books and clock go; merchants keep their accounts, since a gateway may have them in its own books."""
    for name in (BOOKS, f"{BOOKS}-wal", f"{BOOKS}-shm", CLOCK):
        (directory / name).unlink(missing_ok=True)


def build_app(wallets: list[Wallet], control: Control, phone: Phone) -> Starlette:
    routes = [*control.routes(), *phone.routes()]
    for wallet in wallets:
        routes += wallet.routes()

    async def answer_http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        answer = await _refuse_unserved(wallets, request, error.status_code)
        if answer is None:
            text = f"{error.detail}: {request.method} {request.scope['path']}"
            return JSONResponse({"error": text, "field": None}, error.status_code, error.headers)
        if answer.status_code == error.status_code:
            answer.headers.update(error.headers or {})
        return answer

    app = Starlette(
        routes=routes, exception_handlers={HTTPException: answer_http_error, ClientDisconnect: client_left}
    )
    app.router.redirect_slashes = False
    return app


async def _refuse_unserved(wallets: list[Wallet], request: Request, status: int) -> Response | None:
    """In the form of the wallet that was called; None if it was a page of the sandbox, or nobody's."""
    path: str = request.scope["path"]
    if is_own_page(path) or path.startswith(CASHIER_PATH) or status not in (404, 405):
        return None
    try:
        body = await read_body(request, UNSERVED_BODY_BYTES) or b""
    except ClientDisconnect:
        body = b""
    host = name_in(request.headers.get("host", "")).lower()
    call = UnservedCall(request.method, path, host, request.scope["query_string"], body, status)
    answers = (wallet.refuse_unserved(call) for wallet in wallets)
    return next((answer for answer in answers if answer is not None), None)


async def _run(
    servers: list[Server],
    sockets: list[socket.socket],
    courier: Courier,
    phone: Phone,
    greeting: dict[str, object],
) -> None:
    def stop() -> None:
        for server in servers:
            server.should_exit = True
        phone.close()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    delivering = asyncio.create_task(courier.run())
    serving = [
        asyncio.create_task(server.serve([sock])) for server, sock in zip(servers, sockets, strict=True)
    ]
    while not all(server.started for server in servers):
        if any(task.done() for task in serving):
            break
        await asyncio.sleep(0.01)
    else:
        print(json.dumps(greeting), flush=True)
    try:
        await asyncio.gather(*serving)
    finally:
        stop()
        delivering.cancel()
        await asyncio.gather(delivering, *serving, return_exceptions=True)


def _server(app: ASGIApp, protocol: type[asyncio.Protocol], context: ssl.SSLContext | None) -> Server:
    return Server(
        uvicorn.Config(
            app,
            http=protocol,
            ssl_context_factory=(lambda _config, _default: context) if context is not None else None,
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="info",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
        )
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


def _url(scheme: str, host: str, listener: socket.socket) -> str:
    """Where this machine reaches the listener; a wildcard address is nobody's destination."""
    wildcards = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - recognised, not bound to
    name = wildcards.get(host, f"[{host}]" if ":" in host else host)
    return f"{scheme}://{name}:{listener.getsockname()[1]}"
