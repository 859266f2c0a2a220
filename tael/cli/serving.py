"""Runs the API processes of a deployment, which share one socket."""

import json
import os
import resource
import signal
import socket
import time
from typing import Final

import uvicorn
import uvloop

from tael.cli.garbage import collect_rarely
from tael.cli.http1 import Http1Protocol, Limits
from tael.cli.listener import BACKLOG, start_api
from tael.cli.processes import Supervisor
from tael.config import HttpLimits, Settings
from tael.main import Services, application, configure_logs, open_services
from tael.qfpay.codes import BAD_MESSAGE, OUT_OF_SERVICE

WATCH_S: Final = 0.2
#: Time for requests in progress to finish after the process is asked to end.
GRACE_S: Final = 30
#: Open files besides the merchants' connections: connections to wallets, webhook receivers and the database.
SPARE_FILES: Final = 1_000


def serve(settings: Settings, listener: socket.socket) -> None:
    """Serve the API in this process until SIGTERM or SIGINT."""
    configure_logs()
    allow_open_files(settings.http.max_connections + SPARE_FILES)
    uvloop.run(_serve(settings, listener))


async def _serve(settings: Settings, listener: socket.socket) -> None:
    async with open_services(settings) as services:
        config = listener_config(services, settings.http, GRACE_S)
        collect_rarely()
        await uvicorn.Server(config).serve(sockets=[listener])


def listener_config(services: Services, limits: HttpLimits, grace_s: int) -> uvicorn.Config:
    """uvicorn's configuration. `docs/decisions/0011` lists the defaults of uvicorn that are kept."""
    return uvicorn.Config(
        application(
            services, limits.max_form_bytes, limits.max_per_second_of_address, limits.max_concurrent_calls
        ),
        http=protocol_with(limits),
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="info",
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=grace_s,
    )


def protocol_with(limits: HttpLimits) -> type[Http1Protocol]:
    """The protocol with these limits. Its refusals have the form of the API's own unsigned responses."""

    class GatewayProtocol(Http1Protocol):
        def refusal_body(self, status: int, text: str) -> bytes:
            code = OUT_OF_SERVICE if status == 503 else BAD_MESSAGE
            return json.dumps({"respcd": code, "respmsg": text, "resperr": ""}).encode()

    GatewayProtocol.limits = Limits(
        max_head_s=limits.max_head_s,
        max_body_s=limits.max_body_s,
        max_idle_s=limits.max_idle_s,
        max_head_bytes=limits.max_head_bytes,
        max_connections=limits.max_connections,
    )
    return GatewayProtocol


def allow_open_files(limit: int) -> None:
    """Raise this process's limit as far as the system permits: each connection is an open file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def serve_by_several(listener: socket.socket, workers: int, is_demo: bool) -> None:
    """Keep `workers` processes serving on `listener` until SIGTERM or SIGINT."""
    supervisor = Supervisor()
    ending = False

    def stop(*_: object) -> None:
        nonlocal ending
        ending = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        for index in range(workers):
            supervisor.keep(f"api-{index}", lambda: start_api(listener, os.environ, is_demo))
        while not ending:
            supervisor.watch()
            time.sleep(WATCH_S)
    finally:
        supervisor.end()
