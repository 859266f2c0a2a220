"""Runs the API processes of a deployment, which share one socket."""

import asyncio
import json
import os
import resource
import signal
import socket
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

import uvicorn
import uvloop

from tael.base.admission import Admission
from tael.base.logs import configure_logs
from tael.cli.http1 import Http1Protocol
from tael.cli.http_server import SecondaryServer, config_of, limits_of
from tael.cli.listener import start_api
from tael.cli.memory import collect_rarely, use_huge_pages
from tael.cli.ops_port import serving_ops
from tael.cli.processes import Supervisor
from tael.config import HttpLimits, Settings
from tael.main import application
from tael.qfpay.codes import BAD_MESSAGE, OUT_OF_SERVICE
from tael.services import CellServices, open_services

WATCH_S: Final = 0.2
#: Time for requests in progress to finish after the process is asked to end.
GRACE_S: Final = 30
#: Time for a process to end after that; then the one that started it kills it.
STOP_LIMIT_S: Final = GRACE_S + 5.0
#: Open files besides the merchants' connections: connections to wallets, webhook receivers and the database, and
#: those of the operations port.
SPARE_FILES: Final = 1_000


def serve(
    settings: Settings, listener: socket.socket, ops: socket.socket | None = None, *, is_demo: bool = False
) -> None:
    """Serve the API in this process until SIGTERM or SIGINT; health and metrics on `ops` if it is given.

    The processes of a demo share memory. Others take about 25 MB more each, and less CPU time.
    """
    configure_logs()
    allow_open_files(settings.http.max_connections + SPARE_FILES)
    uvloop.run(_serve(settings, listener, ops, is_demo))


async def _serve(
    settings: Settings, listener: socket.socket, ops: socket.socket | None, is_demo: bool
) -> None:
    async with open_services(settings) as services, AsyncExitStack() as exits:
        admission = Admission(settings.http.max_concurrent_calls)
        config = listener_config(services, settings.http, GRACE_S, admission, serves_health=ops is None)
        server = SecondaryServer(config)
        end_on_signals(server)
        if ops is not None:
            await exits.enter_async_context(
                serving_ops(ops, services, settings.http, lambda: server.should_exit, admission)
            )
        collect_rarely()
        if not is_demo:
            use_huge_pages()
        await server.serve(sockets=[listener])


def end_on_signals(server: uvicorn.Server) -> None:
    """Let the server end, and then the process. uvicorn's own handlers would send the signal again, which kills it."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.handle_exit, number, None)


def listener_config(
    services: CellServices,
    limits: HttpLimits,
    grace_s: int,
    admission: Admission | None = None,
    *,
    serves_health: bool = True,
) -> uvicorn.Config:
    """The configuration of the public port, with the places of `admission` or new ones."""
    app = application(
        services,
        limits.max_form_bytes,
        limits.max_per_second_of_address,
        admission or Admission(limits.max_concurrent_calls),
        serves_health=serves_health,
    )
    return config_of(app, protocol_with(limits), grace_s)


def protocol_with(limits: HttpLimits) -> type[Http1Protocol]:
    """The protocol with these limits. Its refusals have the form of the API's own unsigned responses."""

    class GatewayProtocol(Http1Protocol):
        def refusal_body(self, status: int, text: str) -> bytes:
            code = OUT_OF_SERVICE if status == 503 else BAD_MESSAGE
            return json.dumps({"respcd": code, "respmsg": text, "resperr": ""}).encode()

    GatewayProtocol.limits = limits_of(limits)
    return GatewayProtocol


def allow_open_files(limit: int) -> None:
    """Raise this process's limit as far as the system permits: each connection is an open file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def serve_by_several(
    listener: socket.socket, workers: int, is_demo: bool, ops: Sequence[socket.socket | None]
) -> None:
    """Keep `workers` processes serving on `listener` until SIGTERM or SIGINT.

    `ops` has the operations port of each. They stay open here, so that a restarted process has its port again.
    """
    supervisor = Supervisor(end_limit_s=STOP_LIMIT_S)
    ending = False

    def stop(*_: object) -> None:
        nonlocal ending
        ending = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        for index in range(workers):
            supervisor.keep(f"api-{index}", partial(start_api, listener, os.environ, is_demo, ops=ops[index]))
        while not ending:
            supervisor.watch()
            time.sleep(WATCH_S)
    finally:
        supervisor.end()
