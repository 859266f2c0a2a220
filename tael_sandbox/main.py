"""Builds and runs the sandbox: clock, books, both wallets, the courier, and one app behind two listeners.

Plain HTTP serves Alipay, WeChat, `/control` and the payer's phone at `/`. TLS serves the same app, also under the
wallets' own host names, and exposes the caller's certificate, which some of WeChat's paths require. Both run in one
event loop, so requests never interleave.
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
from functools import partial
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tael_sandbox import payers, statement_errors, statements
from tael_sandbox.alipay.phone import CASHIER_PATH
from tael_sandbox.alipay.wallet import AlipayWallet
from tael_sandbox.bodies import client_left, read_body
from tael_sandbox.books import Books
from tael_sandbox.certificates import Certificates
from tael_sandbox.clock import Clock
from tael_sandbox.control import Control
from tael_sandbox.fault_injection.faults import Faults
from tael_sandbox.fault_injection.middleware import FaultMiddleware, ResettableProtocol
from tael_sandbox.fault_injection.notices import NoticeFaults
from tael_sandbox.logs import configure_logs
from tael_sandbox.notices import Courier
from tael_sandbox.own_pages import OwnPages, is_own_page, name_in
from tael_sandbox.phone.phone import Phone
from tael_sandbox.shops import open_shops, save_shops
from tael_sandbox.tls import PeerCertificateProtocol, server_context
from tael_sandbox.unserved import UnservedCall
from tael_sandbox.wallet import Wallet
from tael_sandbox.wechat.mweb_links import PATH as MWEB_PATH
from tael_sandbox.wechat.wallet import WeChatWallet

GRACE_S = 2
UNSERVED_BODY_BYTES = 64 * 1024
BOOKS = "sandbox.sqlite"
CLOCK = "clock"


class Server(uvicorn.Server):
    """Leaves the signals to `serve`: two servers would override each other's handlers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class CourierWaker:
    """Wakes the courier after each request, which may have queued a notice."""

    def __init__(self, app: ASGIApp, courier: Courier) -> None:
        self._app = app
        self._courier = courier

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        finally:
            self._courier.wake()


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("tael_sandbox", description="Run both simulated wallets.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="port for plain HTTP; 0 chooses a free one")
    parser.add_argument("--tls-port", type=int, required=True, help="port for TLS; 0 chooses a free one")
    parser.add_argument("--data", type=Path, required=True, help="folder for books and keys")
    parser.add_argument("--fresh", action="store_true", help="delete the books and the clock; keep the keys")
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a host name or address, without port, under which /control and the phone are reachable; "
        "this machine's own names are always allowed",
    )
    return parser.parse_args(arguments)


async def serve(options: argparse.Namespace) -> None:
    configure_logs()
    directory: Path = options.data
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)  # noqa: ASYNC240 - nothing else runs yet
    plain, tls = _listen(options.host, options.port), _listen(options.host, options.tls_port)
    http_url, tls_url = _url("http", options.host, plain), _url("https", options.host, tls)

    if options.fresh:
        delete_books(directory)
    clock = Clock(Path(os.environ.get("TAEL_CLOCK_FILE") or directory / CLOCK))
    books = Books(directory / BOOKS)
    books.script(statements.TABLES + statement_errors.TABLES)
    with books.transaction() as connection:
        payers.add_default_payers(connection)
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

    courier = Courier(books, clock, tick, NoticeFaults(books, faults, tamperings))
    save = partial(save_shops, directory / "shops.json")
    control = Control(wallets, books, clock, shops, faults, save)
    app = OwnPages(
        FaultMiddleware(CourierWaker(build_app(wallets, control, phone), courier), faults, tamperings),
        [options.host, *options.allowed_host],
    )
    servers = [
        _server(app, ResettableProtocol, None),
        _server(app, PeerCertificateProtocol, server_context(certificates)),
    ]
    await _run(servers, [plain, tls], courier, phone, {"ready": True, "http": http_url, "tls": tls_url})
    books.close()


def delete_books(directory: Path) -> None:
    """Deletes books and clock. Merchants keep their accounts, since a gateway may have them in its database."""
    for name in (BOOKS, f"{BOOKS}-wal", f"{BOOKS}-shm", CLOCK):
        (directory / name).unlink(missing_ok=True)


def build_app(wallets: list[Wallet], control: Control, phone: Phone) -> Starlette:
    routes = [*control.routes(), *phone.routes()]
    for wallet in wallets:
        routes += wallet.routes()

    async def respond_to_http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        response = await _refuse_unserved(wallets, request, error.status_code)
        if response is None:
            text = f"{error.detail}: {request.method} {request.scope['path']}"
            return JSONResponse({"error": text, "field": None}, error.status_code, error.headers)
        if response.status_code == error.status_code:
            response.headers.update(error.headers or {})
        return response

    app = Starlette(
        routes=routes,
        exception_handlers={HTTPException: respond_to_http_error, ClientDisconnect: client_left},
    )
    app.router.redirect_slashes = False
    return app


async def _refuse_unserved(wallets: list[Wallet], request: Request, status: int) -> Response | None:
    """The refusal in the form of the called wallet. None for a page of the sandbox or an unknown call."""
    path: str = request.scope["path"]
    is_payers_page = path.startswith(CASHIER_PATH) or path == MWEB_PATH
    if is_own_page(path) or is_payers_page or status not in (404, 405):
        return None
    try:
        body = await read_body(request, UNSERVED_BODY_BYTES) or b""
    except ClientDisconnect:
        body = b""
    host = name_in(request.headers.get("host", "")).lower()
    call = UnservedCall(request.method, path, host, request.scope["query_string"], body, status)
    refusals = (wallet.refuse_unserved(call) for wallet in wallets)
    return next((response for response in refusals if response is not None), None)


async def _run(
    servers: list[Server],
    sockets: list[socket.socket],
    courier: Courier,
    phone: Phone,
    ready_line: dict[str, object],
) -> None:
    def stop() -> None:
        for server in servers:
            server.should_exit = True
        phone.close()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    courier_task = asyncio.create_task(courier.run())
    server_tasks = [
        asyncio.create_task(server.serve([sock])) for server, sock in zip(servers, sockets, strict=True)
    ]
    while not all(server.started for server in servers):
        if any(task.done() for task in server_tasks):
            break
        await asyncio.sleep(0.01)
    else:
        print(json.dumps(ready_line), flush=True)
    try:
        await asyncio.gather(*server_tasks)
    finally:
        stop()
        courier_task.cancel()
        await asyncio.gather(courier_task, *server_tasks, return_exceptions=True)


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
    """The listener's URL on this machine, with a loopback address in place of a wildcard address."""
    wildcards = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - recognised, not bound to
    name = wildcards.get(host, f"[{host}]" if ":" in host else host)
    return f"{scheme}://{name}:{listener.getsockname()[1]}"
